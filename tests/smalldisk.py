"""Runs of a program on a file system so small that it fills up, in a mount namespace of its own."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import CI

ROOT = Path(__file__).parents[1]
NOT_PERMITTED = 77
"""Exit status of a script that may not mount."""
PASSED = "passed"
"""The output of a driver whose checks all held."""
_DRIVER = f"""
mount -t tmpfs -o size=$1 none "$2" || exit {NOT_PERMITTED}
shift
folder=$1 python=$2 module=$3
shift 3
exec "$python" -m "$module" "$folder" "$@"
"""


def run_in_namespace(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace that ends with it; skip the test if forbidden."""
    shell = ["sh", "-c", script, "sh", *arguments]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *shell],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    not_permitted = done.returncode == NOT_PERMITTED or "unshare failed" in done.stderr
    if not_permitted and not CI:
        pytest.skip("mounting needs root")
    return done


def run_driver(folder: Path, size: str, module: str, *arguments: str) -> None:
    """Mount ``size`` at the folder and run ``python -m MODULE FOLDER ARGUMENTS`` there.

    Raises AssertionError unless PASSED is the last line that the module prints.
    """
    done = run_in_namespace(_DRIVER, size, str(folder), sys.executable, module, *arguments)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [PASSED]), done.stderr


def fill_up(path: Path) -> None:
    """Append to a file until the disk is full."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))


async def enlarge(folder: Path) -> None:
    """Enlarge the file system that ``run_driver`` mounted."""
    mount = await asyncio.create_subprocess_exec("mount", "-o", "remount,size=100m", folder)
    assert await mount.wait() == 0
