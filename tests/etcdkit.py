"""Real etcd clusters on loopback, with TLS and logins, that tests kill, freeze or cut off."""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from musterd.etcd import EtcdOptions
from tests.needs import CI

ROOT = Path(__file__).parent.parent
BINARIES = {
    "etcd-3.4": os.environ.get("ETCD_OLD") or shutil.which("etcd"),
    "etcd-3.5": os.environ.get("ETCD_NEW") or str(ROOT / ".venv/etcd-new/usr/bin/etcd"),
}
"""Program of each version by its name in tests; the first may be newer on some systems."""
START_SECONDS = 30.0
SMALL = ("--quota-backend-bytes", str(4 * 1024 * 1024))
"""Flags of an etcd with a small quota."""
_READY = "serving client traffic"
_LINES = 15
"""Lines of a log to show after a failure."""


def binary(name: str) -> str:
    """Return the program of a version; without it, skip the test, or fail it in CI."""
    found = BINARIES[name]
    if found is None or not os.access(found, os.X_OK):
        reason = f"{name} is missing: run make setup-test"
        if CI:
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def ports(count: int) -> list[int]:
    """Return free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@dataclass
class Certificates:
    """A CA with certificates for servers on loopback and for a client."""

    home: Path

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._run(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            " -subj /CN=ca -keyout ca.key -out ca.pem"
        )
        self.sign("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.sign("client", "extendedKeyUsage=clientAuth")

    @property
    def ca(self) -> Path:
        return self.home / "ca.pem"

    def cert(self, name: str) -> Path:
        return self.home / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.home / f"{name}.key"

    def name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the environment variables of a client."""
        monkeypatch.setenv("ETCD_CACERT", str(self.ca))
        monkeypatch.setenv("ETCD_TLSPEM", str(self.cert("client")))
        monkeypatch.setenv("ETCD_TLSKEY", str(self.key("client")))

    def sign(self, name: str, extension: str) -> None:
        self._run(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
            f" -subj /CN={name} -keyout {name}.key -out {name}.csr"
        )
        (self.home / "extensions").write_text(extension + "\n")
        self._run(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
            f" -extfile extensions -out {name}.pem"
        )

    def _run(self, line: str) -> None:
        subprocess.run(["openssl", *line.split()], cwd=self.home, check=True, capture_output=True)


@dataclass
class Member:
    """One process of etcd."""

    name: str
    home: Path
    port: int
    peer_port: int
    process: subprocess.Popen[bytes] | None = None
    read: int = 0
    """Size of the log when the process started, bytes."""

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"


@dataclass
class Etcd:
    """A cluster of etcd members."""

    home: Path
    program: str
    size: int = 1
    certificates: Certificates | None = None
    flags: Sequence[str] = ()
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        free = ports(2 * self.size)
        self.members = [
            Member(f"m{number}", self.home, free[2 * number], free[2 * number + 1])
            for number in range(self.size)
        ]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self.members)

    @property
    def runs(self) -> bool:
        """True if all members run."""
        processes = [member.process for member in self.members]
        return all(process is not None and process.poll() is None for process in processes)

    def options(self, **more: Any) -> EtcdOptions:
        """Return the options of a client."""
        if self.certificates is not None:
            found = self.certificates
            tls = {"ca": found.ca, "cert": found.cert("client"), "key": found.key("client")}
            more = {**tls, **more}
        return EtcdOptions(**{"endpoints": self.endpoints, **more})

    async def start(self, *numbers: int, wait: bool = True) -> None:
        """Start members, by default all, and wait until they answer."""
        members = [self.members[number] for number in numbers] or self.members
        for member in members:
            self._start(member)
        if wait:
            for member in members:
                await self._ready(member)

    def kill(self, *numbers: int) -> None:
        """Kill members, by default all, with SIGKILL."""
        for member in [self.members[number] for number in numbers] or self.members:
            if member.process is not None:
                member.process.kill()
                member.process.wait()
                member.process = None

    def close(self) -> None:
        """Kill all members and remove their data, some 120 MiB each; the logs stay."""
        self.kill()
        for member in self.members:
            shutil.rmtree(member.home / member.name, ignore_errors=True)

    async def restart(self) -> None:
        """Kill and start all members."""
        self.kill()
        await self.start()

    def freeze(self, number: int) -> None:
        """Stop a member with SIGSTOP; its connections stay open."""
        self._signal(number, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Resume a frozen member."""
        self._signal(number, signal.SIGCONT)

    def forget(self) -> None:
        """Delete the data of the stopped members."""
        for member in self.members:
            shutil.rmtree(member.home / member.name)

    async def gateway(self, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        """Send a JSON request to the first member, to set up a test."""
        async with httpx.AsyncClient() as client:
            url = f"http://{self.members[0].endpoint}/v3/{path}"
            headers = {"Authorization": token} if token else {}
            answer = await client.post(url, json=body, headers=headers)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    async def with_users(self, *users: tuple[str, str, str], read_only: bool = False) -> None:
        """Enable logins: root (password root) and users of (name, password, key prefix)."""
        permission = "READ" if read_only else "READWRITE"
        for name, password, prefix in (("root", "root", ""), *users):
            await self.gateway("auth/user/add", {"name": name, "password": password})
            await self.gateway("auth/role/add", {"name": name})
            if name != "root":
                await self.gateway(
                    "auth/role/grant", {"name": name, "perm": _permission_for(prefix, permission)}
                )
            await self.gateway("auth/user/grant", {"user": name, "role": name})
        await self.gateway("auth/enable", {})

    async def fill(self) -> None:
        """Write until the quota is used up; start the cluster with ``SMALL``."""
        value = base64.b64encode(bytes(200_000)).decode()
        body = {"key": base64.b64encode(b"x").decode(), "value": value}
        with contextlib.suppress(httpx.HTTPStatusError):
            for _ in range(100):
                await self.gateway("kv/put", body)
            pytest.fail("etcd accepted everything")

    def tail(self) -> str:
        """Return the ends of the logs."""
        return "\n".join(
            f"== {member.name}\n" + "\n".join(member.log.read_text().splitlines()[-_LINES:])
            for member in self.members
            if member.log.exists()
        )

    def _signal(self, number: int, which: signal.Signals) -> None:
        process = self.members[number].process
        assert process is not None
        process.send_signal(which)

    def _start(self, member: Member) -> None:
        with member.log.open("ab") as log:
            member.read = log.tell()
            # The process dies with the thread that started it, the tests' main thread.
            member.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", self.program, *self._flags(member)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.defpath},
            )

    def _flags(self, member: Member) -> list[str]:
        scheme = "http" if self.certificates is None else "https"
        client, peer = f"{scheme}://{member.endpoint}", f"http://127.0.0.1:{member.peer_port}"
        cluster = ",".join(f"{m.name}=http://127.0.0.1:{m.peer_port}" for m in self.members)
        # One member elects itself; three need time to hear each other on a busy machine.
        beat, election = (20, 200) if self.size == 1 else (100, 1000)
        flags = [
            *("--name", member.name, "--data-dir", str(member.home / member.name)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", cluster, "--logger", "zap"),
            *("--heartbeat-interval", str(beat), "--election-timeout", str(election)),
        ]
        if self.certificates is not None:
            found = self.certificates
            flags += ["--client-cert-auth", "--trusted-ca-file", str(found.ca)]
            flags += ["--cert-file", str(found.cert("server"))]
            flags += ["--key-file", str(found.key("server"))]
        return [*flags, *self.flags]

    async def _ready(self, member: Member) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                while _READY not in _after(member):
                    assert member.process is not None
                    assert member.process.poll() is None, self.tail()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"etcd doesn't start:\n{self.tail()}") from None


class Etcds(dict[str, Etcd]):
    """Clusters that many tests share, by version, created on first use."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.home = home

    def __missing__(self, version: str) -> Etcd:
        self[version] = Etcd(self.home / version, binary(version))
        return self[version]

    def close(self) -> None:
        for etcd in self.values():
            etcd.close()


def _after(member: Member) -> str:
    with member.log.open("rb") as log:
        log.seek(member.read)
        return log.read().decode("utf-8", "replace")


def _permission_for(prefix: str, permission: str) -> dict[str, str]:
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return {
        "permType": permission,
        "key": base64.b64encode(prefix.encode()).decode(),
        "range_end": base64.b64encode(end.encode()).decode(),
    }


@contextlib.asynccontextmanager
async def running(home: Path, name: str, **more: Any) -> AsyncIterator[Etcd]:
    """Run an etcd during the block; print its log on failure."""
    etcd = Etcd(home, binary(name), **more)
    try:
        await etcd.start()
        yield etcd
    except BaseException:
        print(etcd.tail())
        raise
    finally:
        etcd.close()


class Proxy:
    """A proxy between a client and an endpoint that can stop forwarding."""

    def __init__(self, endpoint: str) -> None:
        self._host, _, port = endpoint.rpartition(":")
        self._port = int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        assert self._server is not None
        self._server.close()

    def silence(self) -> None:
        """Stop forwarding; connections stay open."""
        self._open.clear()

    def forward(self) -> None:
        """Resume forwarding, including held data."""
        self._open.set()

    def cut(self) -> None:
        """Close all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._open.wait()
            there, back = await asyncio.open_connection(self._host, self._port)
            self._writers.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            self._writers.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
