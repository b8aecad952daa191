"""A process with a catalog, a core and a test source in it (``bench.inside``), from outside."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.native import ROOT
from bench.procs import SERVER_CPU, BenchError, Process

READY_SECONDS = 60.0
POLL_SECONDS = 0.02


class Child:
    """It runs for as long as the ``with`` block, and writes one line of JSON for each event."""

    def __init__(self, zone: Path, records: int, *, changes: int = 0, measure: int = 0) -> None:
        """zone: a file of ``records`` hosts; changes: a second; measure: how many to time."""
        argv = [sys.executable, "-m", "bench.inside", "--zone", str(zone)]
        argv += ["--records", str(records), "--changes", str(changes), "--measure", str(measure)]
        path = {"PYTHONPATH": str(ROOT)}
        self._process = Process(argv, zone.with_suffix(".log"), SERVER_CPU, path)
        self.port = 0

    def __enter__(self) -> Self:
        """Wait until it listens. Raises BenchError with the end of its log if it does not."""
        try:
            self.port = int(self._await(1, READY_SECONDS)["port"])
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it; it tells what it did."""
        self._process.stop()

    def wait(self, seconds: float) -> dict[str, float]:
        """What it told after ``ready``. Raises BenchError if that takes longer than ``seconds``."""
        return self._await(2, seconds)

    def last(self) -> dict[str, Any]:
        """The last that it told."""
        told = self._told()
        if not told:
            raise BenchError(f"bench.inside told nothing; its log ends:\n{self._process.tail()}")
        return told[-1]

    def _await(self, lines: int, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            told = self._told()
            if len(told) >= lines:
                return told[lines - 1]
            if not self._process.alive:
                break
            time.sleep(POLL_SECONDS)
        raise BenchError(f"bench.inside is not ready; its log ends:\n{self._process.tail()}")

    def _told(self) -> list[dict[str, Any]]:
        text = self._process.log.read_text(errors="replace")
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]
