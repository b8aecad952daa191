"""Checks of a server whose file system becomes read-only; ``test_state.py`` runs it.

``python -m tests.api.disk_errors FOLDER``: a file system with an error is mounted below the folder.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx

from tests.servers import ServerFixture
from tests.smalldisk import NOT_PERMITTED, PASSED


async def put(client: httpx.AsyncClient, address: str) -> httpx.Response:
    return await client.put("/records/lab.internal/web/A/x", json={"data": address})


def mount(image: Path, at: Path) -> Path:
    """Mount an image that becomes read-only at an error; return the file that causes one."""
    at.mkdir(exist_ok=True)
    options = "loop,errors=remount-ro"
    done = subprocess.run(["mount", "-o", options, image, at], check=False, capture_output=True)
    if done.returncode:
        sys.exit(NOT_PERMITTED)
    found = subprocess.run(["findmnt", "-no", "SOURCE", at], check=True, capture_output=True)
    return Path("/sys/fs/ext4", Path(found.stdout.decode().strip()).name, "trigger_fs_error")


def make(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(20_000_000)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)


def repair(image: Path, at: Path) -> None:
    subprocess.run(["umount", at], check=True)
    subprocess.run(["fsck.ext4", "-p", image], check=False, capture_output=True)


async def main(folder: Path) -> None:
    fixture, image = ServerFixture(folder), folder / "image"
    make(image)
    error = mount(image, fixture.state)
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client:
            assert (await put(client, "10.0.0.1")).status_code == 201
            error.write_text("1")
            response = await put(client, "10.0.0.2")
            assert response.status_code == 503, response.text
            assert "check the disk and the permissions" in response.json()["detail"]
            problems = (await client.get("/status")).json()["problems"]
            assert any("check the disk" in problem for problem in problems), problems
        assert await server.answers("web.lab.internal", "A") == [(30, "10.0.0.1")]
        await server.kill()
        assert "Traceback" not in server.text, server.text
    async with fixture.process() as server:
        assert await asyncio.wait_for(server.process.wait(), 30) == 1
        await server.kill()
        assert "Read-only file system" in server.text, server.text
    repair(image, fixture.state)
    mount(image, fixture.state)
    async with fixture.process() as server:
        await server.ready()
        assert await server.answers("web.lab.internal", "A") == [(30, "10.0.0.1")]
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
    print(PASSED)
