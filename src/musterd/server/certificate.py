"""The certificate of an HTTPS server, which is reloaded when its files change."""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Final

import structlog

from musterd.errors import SettingsError
from musterd.file_watch import FileWatch
from musterd.server.validity import Validity

MAX_FILE: Final = 2**20
"""Bytes of a file that are compared with its last content."""
MAX_WAIT: Final = 3600.0
"""Seconds after which the clock is compared again with the time of expiry."""
_MISMATCHES: Final = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
"""Reasons of OpenSSL for a key of another certificate; the last one if its type differs too."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _PemFiles:
    """The contents of both files, and a context with them, or why they can't be used."""

    contents: tuple[bytes, bytes]
    outcome: ssl.SSLContext | SettingsError


class Certificate:
    """A certificate and its key, read from files."""

    def __init__(self, cert: Path, key: Path, now: Callable[[], float] = time) -> None:
        """Read the files. Raises SettingsError.

        now: returns epoch seconds.
        """
        self._cert = cert
        self._key = key
        self._now = now
        self._seen = self._read()
        if isinstance(self._seen.outcome, SettingsError):
            raise self._seen.outcome
        self._current = self._seen.outcome
        self.validity = Validity.of(self._seen.contents[0])
        """The validity of the certificate in use, None if it is unknown."""
        self._was_valid = self.invalid is None
        self.context = _context()
        """The context for the server. A reload applies to new connections."""
        # Swapped as a whole: a pair that is replaced in a context in use can fail half-way.
        self.context.sni_callback = self._select
        self._load(self.context)

    @property
    def unusable(self) -> str | None:
        """Reason why the files can't be used, so that the previous certificate stays."""
        outcome = self._seen.outcome
        return str(outcome) if isinstance(outcome, SettingsError) else None

    @property
    def invalid(self) -> str | None:
        """Reason why clients reject the certificate in use now, as far as its times say."""
        validity, now = self.validity, self._now()
        if validity is not None and now >= validity.expires:
            problem = f"expired at {_date(validity.expires)}; renew it"
        elif validity is not None and now < validity.starts:
            problem = f"is not valid before {_date(validity.starts)}; check the clock"
        else:
            return None
        return f"[api] tls_cert {self._cert}: {problem}: clients reject it"

    @property
    def problems(self) -> list[str]:
        """Current problems."""
        kept = self.unusable and f"{self.unusable}; the previous certificate is still used"
        return [problem for problem in (kept, self.invalid) if problem]

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
                f"{self._reason(error)}"
            ) from error

    def _reason(self, error: OSError) -> str:
        """Return what is wrong with the files, as far as it can be known."""
        if isinstance(error, ssl.SSLError) and error.reason in _MISMATCHES:
            return "the key does not belong to the certificate; replace both"
        cert = _defect(self._cert, rb"CERTIFICATE", "certificate")
        key = _defect(self._key, rb"PRIVATE KEY", "private key")
        if defects := [
            f"{name} {text}" for name, text in (("tls_cert", cert), ("tls_key", key)) if text
        ]:
            return ", ".join(defects)
        if isinstance(error, ssl.SSLError) and error.reason:
            said = error.reason.replace("_", " ").lower()
        else:
            said = error.strerror or str(error)
        return f"{said}: expected a PEM certificate and its key"

    async def follow(self, files: FileWatch) -> None:
        """Reload the files when they change, until cancelled; invalid ones are not used.

        Log when the certificate expires.
        """
        watch = files.watch()
        try:
            await watch.follow([str(self._cert), str(self._key)])
            while True:
                seen = await watch.read(self._read, self._is_doubtful)
                if seen.contents != self._seen.contents:
                    self._seen = seen
                    self._use(seen)
                while not watch.pending:
                    self._log_expiry()
                    await watch.changed(self._wait())
        finally:
            watch.close()

    def _wait(self) -> float:
        """Return the seconds until the certificate may have expired."""
        left = self.validity.expires - self._now() if self.validity else 0
        return min(left, MAX_WAIT) if left > 0 else MAX_WAIT

    def _log_expiry(self) -> None:
        problem = self.invalid
        if problem and self._was_valid:
            log.warning("certificate is not valid", problem=problem)
        self._was_valid = problem is None

    def _is_doubtful(self, seen: _PemFiles) -> bool:
        """Return whether a file looks cut off, or the other one of the pair may follow."""
        cut = [
            last.endswith(b"\n") > new.endswith(b"\n")
            for last, new in zip(self._seen.contents, seen.contents, strict=True)
        ]
        return any(cut) or isinstance(seen.outcome, SettingsError)

    def _use(self, seen: _PemFiles) -> None:
        outcome = seen.outcome
        if isinstance(outcome, SettingsError):
            log.warning("certificate not reloaded, keeping the previous one", problem=str(outcome))
        else:
            self._current = outcome
            self.validity = Validity.of(seen.contents[0])
            self._was_valid = True
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


def _defect(path: Path, label: bytes, noun: str) -> str | None:
    """Return why a file has no usable PEM block with a label, if that can be seen."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE)
    except OSError as error:
        return f"can't be read: {error.strerror}"
    if not content.strip():
        return "is empty"
    if b"ENCRYPTED" in content and noun == "private key":
        return "is encrypted; decrypt it, for example with openssl pkey -in OLD -out NEW"
    start = re.search(rb"-----BEGIN [A-Z0-9 ]*" + label + rb"-----", content)
    if start is None:
        return f"has no PEM {noun}"
    if not re.search(rb"-----END [A-Z0-9 ]*" + label + rb"-----", content[start.end() :]):
        return f"is cut off: its {noun} has no end"
    return None


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
