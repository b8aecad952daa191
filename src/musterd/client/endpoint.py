"""Address of the server and its token: from options, environment or client.toml."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from musterd.errors import UsageError

DEFAULT_SERVER: Final = "http://127.0.0.1:8053"
"""Default address of the API of ``musterd serve``."""
FIRST_TOKENS: Final = (Path("musterd-state/token"), Path("/var/lib/musterd/token"))
"""Files of the first token of a local server: of one started in this directory, and by default."""
PORTS: Final = {"http": 80, "https": 443}
KEYS: Final = ("server", "token_file", "ca")
MAX_TOKEN_BYTES: Final = 4096
"""Maximum bytes of a token file; a longer file is some other file."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A token and its origin; its text is never shown."""

    text: str
    origin: str

    def __repr__(self) -> str:
        """Return the origin without the text."""
        return f"Credential(origin={self.origin!r})"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server. base: prefix of all paths; ca: CA file that replaces the system's."""

    scheme: str
    host: str
    port: int
    base: str = ""
    token: Credential | None = None
    ca: Path | None = None
    file: Path = Path("client.toml")
    timeout: float = 60.0
    """Seconds without a byte after which a request fails."""

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}{self.base}"

    @property
    def local(self) -> bool:
        """True if the server is on this host."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def bracketed(host: str) -> str:
    """Return a host as written in a URL."""
    return f"[{host}]" if ":" in host else host


def reachable(endpoint: Endpoint, listener: str) -> tuple[str, str]:
    """Return host and port to reach a listener; a wildcard address becomes the server's host."""
    host, _, port = listener.rpartition(":")
    bare = host.strip("[]")
    return (endpoint.host if bare in {"0.0.0.0", "::"} else bare), port  # noqa: S104


def find(
    server: str | None = None,
    token_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Return the server from arguments, environment, file or default, in this order.

    Raises UsageError.
    """
    file = _file(environ)
    settings = _read(file)
    url = server or environ.get("MUSTERD_SERVER") or settings.get("server") or DEFAULT_SERVER
    endpoint = parse(url)
    ca = file.parent / Path(settings["ca"]).expanduser() if "ca" in settings else None
    token = _token(endpoint, token_file, environ, settings, file)
    return Endpoint(endpoint.scheme, endpoint.host, endpoint.port, endpoint.base, token, ca, file)


def parse(url: str) -> Endpoint:
    """Parse the URL of a server. Raises UsageError."""
    invalid = UsageError(
        f'"{_no_secret(url)}" is not the URL of a server: expected for example {DEFAULT_SERVER}'
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise invalid from None
    if parts.scheme not in PORTS or not parts.hostname or parts.query or parts.fragment:
        raise invalid
    if parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise invalid
    host, base = parts.hostname, parts.path.rstrip("/")
    return Endpoint(parts.scheme, host, PORTS[parts.scheme] if port is None else port, base)


def _no_secret(url: str) -> str:
    """Return a URL without a user and password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else url


def _file(environ: Mapping[str, str]) -> Path:
    folder = environ.get("XDG_CONFIG_HOME") or ""
    home = Path(folder) if folder.startswith("/") else Path("~/.config").expanduser()
    return home / "musterd" / "client.toml"


def _read(file: Path) -> dict[str, str]:
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from error
    for key, value in settings.items():
        if key not in KEYS:
            raise UsageError(f"{file}: {key}: unknown key; known keys: {', '.join(KEYS)}")
        if not isinstance(value, str) or not value:
            raise UsageError(f"{file}: {key}: expected a non-empty string")
    return settings


def _token(
    endpoint: Endpoint,
    token_file: Path | None,
    environ: Mapping[str, str],
    settings: Mapping[str, str],
    file: Path,
) -> Credential | None:
    if token_file is not None:
        return _from_file(token_file, "--token-file")
    if text := environ.get("MUSTERD_TOKEN"):
        return _checked(text, "MUSTERD_TOKEN")
    if path := environ.get("MUSTERD_TOKEN_FILE"):
        return _from_file(Path(path), "MUSTERD_TOKEN_FILE")
    if "token_file" in settings:
        return _from_file(file.parent / Path(settings["token_file"]).expanduser(), f"{file}")
    if endpoint.local:
        for first in FIRST_TOKENS:
            if os.access(first, os.R_OK):
                return _from_file(first, "the first token")
    return None


def _from_file(path: Path, by: str) -> Credential:
    try:
        with path.open("rb") as opened:
            text = opened.read(MAX_TOKEN_BYTES + 1).decode("latin-1")
    except OSError as error:
        raise UsageError(f"{by}: {path}: can't be read: {error.strerror}") from error
    return _checked(text, str(path))


def _checked(text: str, origin: str) -> Credential:
    token = text.strip()
    if not token or len(token) > MAX_TOKEN_BYTES or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"{origin}: no valid token: expected one line, as printed by musterd token create"
        )
    if " " in token:
        raise UsageError(f"{origin}: more than a token: expected the token alone on one line")
    return Credential(token, origin)
