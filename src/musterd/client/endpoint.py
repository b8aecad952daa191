"""Where the server is, and the token for it: by flag, environment or file."""

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
"""Where ``musterd serve`` has its API by default."""
FIRST_TOKEN: Final = Path("/var/lib/musterd/token")
"""Where a server with default settings writes its first token; for a server on this host only."""
PORTS: Final = {"http": 80, "https": 443}
KEYS: Final = ("server", "token_file", "ca")
MAX_TOKEN_BYTES: Final = 4096
"""No token is longer: what is, is some other file."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, and where it is from: its text is never shown."""

    text: str
    origin: str

    def __repr__(self) -> str:
        """Its origin alone."""
        return f"Token(origin={self.origin!r})"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server. base: of every path; ca: certificates to trust instead of the system's."""

    scheme: str
    host: str
    port: int
    base: str = ""
    token: Credential | None = None
    ca: Path | None = None
    file: Path = Path("client.toml")

    @property
    def url(self) -> str:
        """As people write it."""
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}{self.base}"

    @property
    def local(self) -> bool:
        """Whether it is on this host."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def bracketed(host: str) -> str:
    """A host as a URL has it."""
    return f"[{host}]" if ":" in host else host


def reachable(place: Endpoint, listener: str) -> tuple[str, str]:
    """Where to ask what listens on ``host:port`` at the server: every address is the server's."""
    host, _, port = listener.rpartition(":")
    bare = host.strip("[]")
    return (place.host if bare in {"0.0.0.0", "::"} else bare), port  # noqa: S104


def find(
    server: str | None = None,
    token_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Where to go: what is given, else the environment, else the file, else the default.

    Raises UsageError.
    """
    file = _file(environ)
    kept = _read(file)
    url = server or environ.get("MUSTERD_SERVER") or kept.get("server") or DEFAULT_SERVER
    place = parse(url)
    ca = file.parent / Path(kept["ca"]).expanduser() if "ca" in kept else None
    token = _token(place, token_file, environ, kept, file)
    return Endpoint(place.scheme, place.host, place.port, place.base, token, ca, file)


def parse(url: str) -> Endpoint:
    """A server from its URL. Raises UsageError."""
    wrong = UsageError(f'"{_no_secret(url)}" is no server: expected a URL as {DEFAULT_SERVER}')
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in PORTS or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    if parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    host, base = parts.hostname, parts.path.rstrip("/")
    return Endpoint(parts.scheme, host, PORTS[parts.scheme] if port is None else port, base)


def _no_secret(url: str) -> str:
    """A URL without the user and password that someone may have put into it."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else url


def _file(environ: Mapping[str, str]) -> Path:
    folder = environ.get("XDG_CONFIG_HOME") or ""
    home = Path(folder) if folder.startswith("/") else Path("~/.config").expanduser()
    return home / "musterd" / "client.toml"


def _read(file: Path) -> dict[str, str]:
    try:
        kept = tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: is no TOML: {error}") from error
    for key, value in kept.items():
        if key not in KEYS:
            raise UsageError(f"{file}: {key}: unknown key; there are {', '.join(KEYS)}")
        if not isinstance(value, str) or not value:
            raise UsageError(f"{file}: {key}: expected a text")
    return kept


def _token(
    place: Endpoint,
    token_file: Path | None,
    environ: Mapping[str, str],
    kept: Mapping[str, str],
    file: Path,
) -> Credential | None:
    if token_file is not None:
        return _from_file(token_file, "--token-file")
    if text := environ.get("MUSTERD_TOKEN"):
        return _checked(text, "MUSTERD_TOKEN")
    if path := environ.get("MUSTERD_TOKEN_FILE"):
        return _from_file(Path(path), "MUSTERD_TOKEN_FILE")
    if "token_file" in kept:
        return _from_file(file.parent / Path(kept["token_file"]).expanduser(), f"{file}")
    if place.local and os.access(FIRST_TOKEN, os.R_OK):
        return _from_file(FIRST_TOKEN, "the first token")
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
            f"{origin}: holds no token: expected one line, as musterd token create prints"
        )
    if " " in token:
        raise UsageError(f"{origin}: holds more than a token: expected it alone on one line")
    return Credential(token, origin)
