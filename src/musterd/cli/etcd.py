"""TLS and login options of the commands that connect to etcd, named as in the settings."""

import json
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
"""Variables that may hold the password; the first one that is set is used."""
FILES: Final = ("ca", "cert", "key", "password_file")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class EtcdLoginOptions:
    """TLS and login for every etcd that a command connects to."""

    ca: Path | None = None
    """PEM file with the CA certificates (environment: ETCD_CACERT)."""
    cert: Path | None = None
    """PEM file with the client certificate (environment: ETCD_TLSPEM)."""
    key: Path | None = None
    """PEM file with the client key (environment: ETCD_TLSKEY)."""
    user: str = ""
    """User; its password comes from MUSTERD_STORE__PASSWORD or ETCD_PASSWORD."""
    password_file: Path | None = None
    """File with the password instead, read at each login."""

    def settings(self) -> "EtcdLogin":
        """Return the login as server settings. Raises UsageError."""
        from musterd.settings import EtcdLogin

        return EtcdLogin.model_validate(self._raw(), context={"base": Path.cwd()})

    def store(self, endpoints: str, prefix: str = "/", *, as_json: bool = False) -> "StoreSettings":
        """Return the settings of a store at a URL or ``HOST:PORT,HOST:PORT``. Raises UsageError.

        as_json: print warnings as JSON.
        """
        from pydantic import ValidationError

        from musterd.settings import StoreSettings

        url = endpoints if "://" in endpoints else f"etcd://{endpoints}"
        raw = {"url": url, "prefix": prefix, **self._raw()}
        try:
            found = StoreSettings.model_validate(raw, context={"base": Path.cwd()})
        except ValidationError as error:
            first = error.errors()[0]
            cause = (first.get("ctx") or {}).get("error", first["msg"])
            raise UsageError(f"{first['loc'][0]} of etcd://…: {cause}") from None
        if warning := found.plain_password_warning(found.endpoints, "use --ca FILE"):
            print(json.dumps({"warning": warning}) if as_json else warning, file=sys.stderr)
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
                    f"--user {self.user}: no password: pass --password-file, or set"
                    f" {' or '.join(PASSWORDS)}"
                )
            given["password"] = password
        for loc, problem in login((), given):
            raise UsageError(f"--{str(loc[-1]).replace('_', '-')}: {problem}")
        return given


NO_LOGIN = EtcdLoginOptions()


def without_login(location: str) -> str:
    """Return a URL or path that holds no user or password. Raises UsageError."""
    if "@" in location.partition("://")[2]:
        raise UsageError(
            "the URL must not hold a user or password: pass --user, and the password in"
            f" --password-file, {' or '.join(PASSWORDS)}"
        )
    return location
