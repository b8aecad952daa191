"""The embedded store when its disk fills up, and when space is available again."""

from pathlib import Path

import pytest

from tests.needs import needs
from tests.smalldisk import run_driver


@needs("unshare", "mount")
@pytest.mark.parametrize("size", ["1m", "24m"])
@pytest.mark.parametrize("when", ["while_open", "at_restart"])
def test_full_disk_loses_no_acknowledged_write(tmp_path: Path, size: str, when: str) -> None:
    run_driver(tmp_path, size, "tests.store.disk_full", when)
