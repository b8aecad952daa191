"""Notifications of systemd, received on a real socket."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.server.notify import NotifyService
from tests.needs import needs

UNIT = Path(__file__).resolve().parent.parent / "deploy" / "musterd.service"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


async def _received(receiver: socket.socket) -> str:
    return (await asyncio.to_thread(receiver.recv, 4096)).decode()


async def test_readiness_watchdog_and_stop_are_reported(systemd: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "20000"}
    service = NotifyService(environ)
    running = asyncio.create_task(service.run())
    assert await _received(systemd) == "READY=1"
    assert await _received(systemd) == "WATCHDOG=1"
    service.reloading()
    service.stop()
    await running
    systemd.setblocking(False)
    rest = []
    while True:
        try:
            rest.append(systemd.recv(4096).decode())
        except BlockingIOError:
            break
    reloading = next(message for message in rest if message != "WATCHDOG=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert rest[-1] == "STOPPING=1"


async def test_abstract_socket_is_understood() -> None:
    name = f"musterd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(5)
        NotifyService({"NOTIFY_SOCKET": f"@{name}"}).send("READY=1")
        assert await _received(receiver) == "READY=1"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": "/nonexistent/socket"},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"},
    ],
)
async def test_server_runs_without_systemd(environ: dict[str, str]) -> None:
    service = NotifyService(environ)
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0.01)
    service.stop()
    await asyncio.wait_for(running, 5)


@needs("systemd-analyze")
def test_unit_is_valid(tmp_path: Path) -> None:
    """The program and the man page are not installed, so both are replaced."""
    program = shutil.which("true")
    unit = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/musterd/bin/musterd", str(program))
    unit.write_text(text.replace("Documentation=man:musterd(1)\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
