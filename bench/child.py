"""Runs ``bench.inside``, a process with a catalog, a core and a test source."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.native import ROOT
from bench.procs import SERVER_CPU, BenchError, Process

READY_SECONDS = 60.0
POLL_SECONDS = 0.02


class Child:
    """A running child; it writes one line of JSON for each event to its log."""

    def __init__(self, process: Process) -> None:
        """Wait until the child listens. Raises BenchError with the end of its log if it fails."""
        self._process = process
        self.port = int(self._await(1, READY_SECONDS)["port"])

    def wait(self, seconds: float) -> dict[str, float]:
        """Return the figures of the measurement. Raises BenchError after ``seconds``."""
        return self._await(2, seconds)

    def last(self) -> dict[str, Any]:
        """Return the last event; final once the child has stopped."""
        events = self._events()
        if not events:
            raise BenchError(f"bench.inside wrote nothing; its log ends:\n{self._process.tail()}")
        return events[-1]

    def _await(self, lines: int, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            events = self._events()
            if len(events) >= lines:
                return events[lines - 1]
            if not self._process.alive:
                break
            time.sleep(POLL_SECONDS)
        raise BenchError(f"bench.inside is not ready; its log ends:\n{self._process.tail()}")

    def _events(self) -> list[dict[str, Any]]:
        text = self._process.log.read_text(errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def running_child(
    zone: Path, records: int, *, changes: int = 0, measure: int = 0
) -> Iterator[Child]:
    """Run a child while the block runs.

    Args:
        zone: a master file of ``records`` hosts.
        records: the number of hosts.
        changes: RRsets to change a second.
        measure: changes to time.
    """
    argv = [sys.executable, "-m", "bench.inside", "--zone", str(zone)]
    argv += ["--records", str(records), "--changes", str(changes), "--measure", str(measure)]
    path = {"PYTHONPATH": str(ROOT)}
    with Process(argv, zone.with_suffix(".log"), SERVER_CPU, path) as process:
        yield Child(process)
