"""The certificate of an HTTPS server, which is reloaded when its files change."""

import asyncio
import ssl
from pathlib import Path

import structlog

from musterd.errors import SettingsError
from musterd.file_watch import FileWatch, look

log = structlog.get_logger()


class Certificate:
    """A certificate and its key, read from files."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Read the files. Raises SettingsError."""
        self._cert = cert
        self._key = key
        self.context = self._read()
        """The context for the server. A reload applies to new connections."""

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # An empty password: without one, OpenSSL asks for it on the terminal.
            context.load_cert_chain(self._cert, self._key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"[api] tls_cert {self._cert} and tls_key {self._key} can't be used: "
                f"{error.strerror or error}: expected a PEM certificate and its key"
            ) from error

    async def follow(self, files: FileWatch) -> None:
        """Reload the files when they change, until cancelled; invalid ones are not used."""
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
                    await self._reload()
                    # A link may have another target now.
                    await watch.follow(paths)
        finally:
            watch.close()

    async def _reload(self) -> None:
        try:
            # Try it in a separate context: a mismatched pair would break the one in use.
            await asyncio.to_thread(self._read)
            self._load(self.context)
        except SettingsError as error:
            log.warning("certificate not reloaded, keeping the previous one", problem=str(error))
        else:
            log.info("certificate reloaded", file=str(self._cert))
