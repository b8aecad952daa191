"""The embedded store on a disk that is full, and has room again."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import CI, needs

ROOT = Path(__file__).parents[2]
NOT_PERMITTED = 77
RUN = f"""
mount -t tmpfs -o size=$1 none "$2" || exit {NOT_PERMITTED}
exec "$3" -m tests.store.full "$2" "$4"
"""


@needs("unshare", "mount")
@pytest.mark.parametrize("size", ["1m", "24m"])
@pytest.mark.parametrize("when", ["while_open", "at_restart"])
def test_a_full_disk(tmp_path: Path, size: str, when: str) -> None:
    """In a mount namespace of its own, which goes with the process."""
    shell = ["sh", "-c", RUN, "sh", size, str(tmp_path), sys.executable, when]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *shell],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    not_permitted = done.returncode == NOT_PERMITTED or "unshare failed" in done.stderr
    if not_permitted and not CI:
        pytest.skip("mounting needs root")
    assert (done.returncode, done.stdout) == (0, "as it should be\n"), done.stderr
