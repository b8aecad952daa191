"""Where etcd is, and who asks it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from musterd.settings import EtcdLogin


@dataclass(frozen=True, slots=True)
class Options:
    """What a client must know of its etcd.

    endpoints: of its members, ``host:port`` each; ca, cert, key: PEM files, and TLS is spoken
    where ca or cert is given; user: who logs in, nobody if empty.
    """

    endpoints: tuple[str, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    connect: float = 2.0
    """Seconds in which an endpoint must be connected, before the next is tried."""
    request: float = 5.0
    """Seconds in which a request must be answered, all its tries together."""

    @classmethod
    def of(cls, endpoints: Sequence[str], login: "EtcdLogin") -> Self:
        """Those of settings."""
        password = "" if login.password is None else login.password.get_secret_value()
        return cls(
            endpoints=tuple(endpoints),
            ca=login.ca,
            cert=login.cert,
            key=login.key,
            user=login.user,
            password=password,
            connect=min(2.0, login.timeout),
            request=login.timeout,
        )

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.ca is not None or self.cert is not None

    @property
    def shown(self) -> str:
        """The endpoints for people."""
        return ", ".join(self.endpoints)
