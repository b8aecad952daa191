"""How the commands that ask an etcd come in: as a server does, by the same names."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import Parameter

from musterd.errors import UsageError

if TYPE_CHECKING:
    from musterd.settings import EtcdLogin, StoreSettings

PASSWORDS: Final = ("MUSTERD_STORE__PASSWORD", "ETCD_PASSWORD")
"""Variables that may hold the password; the first that does counts."""
FILES: Final = ("ca", "cert", "key", "password_file")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class EtcdLoginOptions:
    """How the etcds are asked, both if both are."""

    ca: Path | None = None
    """PEM file, who signed for the servers (environment: ETCD_CACERT)."""
    cert: Path | None = None
    """PEM file, the client's certificate (environment: ETCD_TLSPEM)."""
    key: Path | None = None
    """PEM file of the client's key (environment: ETCD_TLSKEY)."""
    user: str = ""
    """Who logs in; with the password of MUSTERD_STORE__PASSWORD, or else of ETCD_PASSWORD."""
    password_file: Path | None = None
    """File that holds the password instead, read at each login."""

    def settings(self) -> "EtcdLogin":
        """Those of a server that asks so. Raises UsageError."""
        from musterd.settings import EtcdLogin

        return EtcdLogin.model_validate(self._raw(), context={"base": Path.cwd()})

    def store(self, endpoints: str, prefix: str = "/") -> "StoreSettings":
        """Those of a server whose store is at ``HOST:PORT,HOST:PORT``. Raises UsageError."""
        from pydantic import ValidationError

        from musterd.settings import StoreSettings

        raw = {"url": f"etcd://{endpoints}", "prefix": prefix, **self._raw()}
        try:
            found = StoreSettings.model_validate(raw, context={"base": Path.cwd()})
        except ValidationError as error:
            wrong = error.errors()[0]
            cause = (wrong.get("ctx") or {}).get("error", wrong["msg"])
            raise UsageError(f"{wrong['loc'][0]} of etcd://…: {cause}") from None
        if warning := found.plain_password_warning("use --ca FILE"):
            print(warning, file=sys.stderr)
        return found

    def _raw(self) -> dict[str, str]:
        from musterd.settings.check import login
        from musterd.settings.environ import etcd_files

        given = {name: str(path) for name in FILES if (path := getattr(self, name))}
        table = {"store": {"url": "etcd://", **given}}
        given |= {str(loc[-1]): file for loc, (_, file) in etcd_files(table, os.environ).items()}
        if self.user:
            given["user"] = self.user
        if self.user and not self.password_file:
            password = next((text for name in PASSWORDS if (text := os.environ.get(name))), "")
            if not password:
                raise UsageError(
                    f"--user {self.user}: its password is missing: give --password-file, or set"
                    f" {' or '.join(PASSWORDS)}"
                )
            given["password"] = password
        for loc, problem in login((), given):
            raise UsageError(f"--{str(loc[-1]).replace('_', '-')}: {problem}")
        return given


NO_LOGIN = EtcdLoginOptions()


def without_login(place: str) -> str:
    """A place as it was given, if nobody's password is in it. Raises UsageError."""
    if "@" in place.partition("://")[2]:
        raise UsageError(
            "who logs in is no part of an URL: say --user, and the password in --password-file,"
            f" {' or '.join(PASSWORDS)}"
        )
    return place
