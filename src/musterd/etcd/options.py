"""Where etcd is, and who asks it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from musterd.kv.errors import StoreUnavailable

if TYPE_CHECKING:
    from musterd.settings import EtcdLogin

PASSWORD_OCTETS: Final = 4096
"""The most that a file for a password may hold."""


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """What a client must know of its etcd.

    endpoints: of its members, ``host:port`` each; ca, cert, key: PEM files, and TLS is spoken
    where ca or cert is given; user: who logs in, nobody if empty; password_file: what holds the
    password, where password is empty.
    """

    endpoints: tuple[str, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
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
            password_file=login.password_file,
            connect=min(2.0, login.timeout),
            request=login.timeout,
        )

    def read_password(self) -> str:
        """The password as it is now. Raises StoreUnavailable."""
        path = self.password_file
        if path is None:
            return self.password
        try:
            with path.open("rb") as file:
                text = file.read(PASSWORD_OCTETS + 1).decode().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8"
            raise StoreUnavailable(
                f"etcd at {self.shown}: {path}: the password can't be read: {reason}"
            ) from error
        if not 0 < len(text) <= PASSWORD_OCTETS:
            size = f"1 to {PASSWORD_OCTETS} octets"
            raise StoreUnavailable(f"etcd at {self.shown}: {path}: expected a password of {size}")
        return text

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.ca is not None or self.cert is not None

    @property
    def shown(self) -> str:
        """The endpoints for people."""
        return ", ".join(self.endpoints)
