"""The certificate of an HTTPS server, which is reloaded when its files change."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog

from musterd.errors import SettingsError
from musterd.file_watch import FileWatch

MAX_FILE = 2**20
"""Bytes of a file that are compared with its last content."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _PemFiles:
    """The contents of both files, and a context with them, or why they can't be used."""

    contents: tuple[bytes, bytes]
    outcome: ssl.SSLContext | SettingsError


class Certificate:
    """A certificate and its key, read from files."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Read the files. Raises SettingsError."""
        self._cert = cert
        self._key = key
        self._seen = self._read()
        if isinstance(self._seen.outcome, SettingsError):
            raise self._seen.outcome
        self._current = self._seen.outcome
        self.context = _context()
        """The context for the server. A reload applies to new connections."""
        # Swapped as a whole: a pair that is replaced in a context in use can fail half-way.
        self.context.sni_callback = self._select
        self._load(self.context)

    def _select(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._current

    def _read(self) -> _PemFiles:
        contents = _content(self._cert), _content(self._key)
        context = _context()
        try:
            self._load(context)
        except SettingsError as error:
            return _PemFiles(contents, error)
        return _PemFiles(contents, context)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self._cert, self._key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"[api] tls_cert {self._cert} and tls_key {self._key} can't be used: "
                f"{error.strerror or error}: expected a PEM certificate and its key"
            ) from error

    async def follow(self, files: FileWatch) -> None:
        """Reload the files when they change, until cancelled; invalid ones are not used."""
        watch = files.watch()
        try:
            await watch.follow([str(self._cert), str(self._key)])
            while True:
                seen = await watch.read(self._read, self._is_doubtful)
                if seen.contents != self._seen.contents:
                    self._seen = seen
                    self._use(seen.outcome)
                await watch.changed()
        finally:
            watch.close()

    def _is_doubtful(self, seen: _PemFiles) -> bool:
        """Return whether a file looks cut off, or the other one of the pair may follow."""
        cut = [
            last.endswith(b"\n") > new.endswith(b"\n")
            for last, new in zip(self._seen.contents, seen.contents, strict=True)
        ]
        return any(cut) or isinstance(seen.outcome, SettingsError)

    def _use(self, outcome: ssl.SSLContext | SettingsError) -> None:
        if isinstance(outcome, SettingsError):
            log.warning("certificate not reloaded, keeping the previous one", problem=str(outcome))
        else:
            self._current = outcome
            log.info("certificate reloaded", file=str(self._cert))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _content(path: Path) -> bytes:
    """Return the content of a file, empty if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError:
        return b""
