"""A reader of dnstap at a unix socket, and the program dnstap-read of BIND."""

import asyncio
import contextlib
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

CONTENT = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY, FINISH = range(1, 6)


def control(kind: int, content: bytes = b"") -> bytes:
    """Return a control frame of Frame Streams, with a content type if it is not empty."""
    field = struct.pack("!II", 1, len(content)) + content if content else b""
    return struct.pack("!III", 0, 4 + len(field), kind) + field


class Reader:
    """A reader that records what it gets. Clear ``reads`` to stall it."""

    def __init__(self) -> None:
        """Create a reader that reads."""
        self.frames: list[bytes] = []
        self.connections = 0
        self.finished = 0
        """Streams that the sender ended properly."""
        self.reads = asyncio.Event()
        self.reads.set()
        self.accepts: bytes | None = CONTENT
        """Content type that it accepts; None to say nothing."""
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one connection."""
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._read(reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await self._frame(reader) == control(READY, CONTENT)[8:]
        if self.accepts is None:
            await reader.read()
            return
        writer.write(control(ACCEPT, self.accepts))
        assert await self._frame(reader) == control(START, CONTENT)[8:]
        while True:
            await self.reads.wait()
            frame = await self._frame(reader)
            if frame == control(STOP)[8:]:
                self.finished += 1
                writer.write(control(FINISH))
                await writer.drain()
                return
            self.frames.append(frame)

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next frame, a control frame without its first eight bytes."""
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        if not size:
            (size,) = struct.unpack("!I", await reader.readexactly(4))
        return await reader.readexactly(size)

    def hang_up(self) -> None:
        """Close all connections without a word."""
        for writer in list(self._writers):
            writer.transport.abort()

    def texts(self, folder: Path, *options: str) -> list[str]:
        """Return the lines that dnstap-read prints for all frames."""
        data = [struct.pack("!I", len(frame)) + frame for frame in self.frames]
        file = folder / "frames.fstrm"
        file.write_bytes(control(START, CONTENT) + b"".join(data) + control(STOP))
        done = subprocess.run(["dnstap-read", *options, file], capture_output=True, check=True)
        assert done.stderr == b""
        return done.stdout.decode().splitlines()


@asynccontextmanager
async def reading(path: Path, reader: Reader | None = None) -> AsyncIterator[Reader]:
    """Listen at a path while the block runs."""
    reader = reader or Reader()
    server = await asyncio.start_unix_server(reader.serve, path)
    try:
        yield reader
    finally:
        reader.reads.set()
        server.close()
        reader.hang_up()
        path.unlink(missing_ok=True)  # noqa: ASYNC240
