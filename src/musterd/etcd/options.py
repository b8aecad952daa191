"""Addresses and credentials of an etcd."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from musterd.kv.errors import StoreUnavailable

if TYPE_CHECKING:
    from musterd.settings import EtcdLogin

MAX_PASSWORD_BYTES: Final = 4096
"""Largest password file, bytes."""


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """Options of a client of etcd.

    endpoints: ``host:port`` of each member; ca, cert, key: PEM files; user: for authentication,
    none if empty; password_file: file with the password, if password is empty; tls: use TLS even
    without ca and cert, with the CAs that the system trusts.
    """

    endpoints: tuple[str, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    tls: bool = False
    connect: float = 2.0
    """Seconds to connect to an endpoint before the next is tried."""
    request: float = 5.0
    """Seconds for a request, including all its retries."""

    @classmethod
    def of(cls, endpoints: Sequence[str], login: "EtcdLogin") -> Self:
        """Create options from settings."""
        password = "" if login.password is None else login.password.get_secret_value()
        return cls(
            endpoints=tuple(endpoint.rpartition("://")[2] for endpoint in endpoints),
            tls=login.uses_tls(endpoints),
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
        """Return the current password. Raises StoreUnavailable."""
        path = self.password_file
        if path is None:
            return self.password
        try:
            with path.open("rb") as file:
                text = (
                    file.read(MAX_PASSWORD_BYTES + 1).decode().removesuffix("\n").removesuffix("\r")
                )
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8"
            raise StoreUnavailable(
                f"etcd at {self.shown}: {path}: the password can't be read: {reason}"
            ) from error
        if not 0 < len(text) <= MAX_PASSWORD_BYTES:
            size = f"1 to {MAX_PASSWORD_BYTES} bytes"
            raise StoreUnavailable(f"etcd at {self.shown}: {path}: expected a password of {size}")
        return text

    @property
    def secure(self) -> bool:
        """True if TLS is used."""
        return self.tls or self.ca is not None or self.cert is not None

    @property
    def shown(self) -> str:
        """Text of the endpoints for messages."""
        return ", ".join(self.endpoints)
