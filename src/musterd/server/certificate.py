"""The certificate of an HTTPS server, read again when its files change."""

import asyncio
import ssl
from pathlib import Path

import structlog

from musterd.errors import SettingsError
from musterd.file_watch import FileWatch, look

log = structlog.get_logger()


class Certificate:
    """A certificate with its key, as the files have them."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Read them. Raises SettingsError."""
        self._cert = cert
        self._key = key
        self.context = self._read()
        """For the server; what is read later counts for new connections."""

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # Without a password: that of an encrypted key would be asked on the terminal.
            context.load_cert_chain(self._cert, self._key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"[api] tls_cert {self._cert} and tls_key {self._key} can't be used: "
                f"{error.strerror or error}: expected a PEM certificate and its key"
            ) from error

    async def follow(self, files: FileWatch) -> None:
        """Read them again when they change, until cancelled; a pair that is wrong is not taken."""
        watch = files.watch()
        paths = [str(self._cert), str(self._key)]
        try:
            await watch.follow(paths)
            seen = await asyncio.to_thread(look, paths)
            while True:
                await watch.changed()
                now = await asyncio.to_thread(look, paths)
                if now != seen:
                    seen = now
                    await self._again()
                    # A link on the way may lead elsewhere now.
                    await watch.follow(paths)
        finally:
            watch.close()

    async def _again(self) -> None:
        try:
            # In a context of its own first: half a pair would break the one in use.
            await asyncio.to_thread(self._read)
            self._load(self.context)
        except SettingsError as error:
            log.warning("the certificate was not taken, the old one stays", problem=str(error))
        else:
            log.info("certificate read again", file=str(self._cert))
