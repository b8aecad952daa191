"""Processes to measure: pinned, accounted with all their children, and always stopped."""

import atexit
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SERVER_CPU = 0
LOAD_CPU = 1
STOP_SECONDS = 5.0

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_running: set["Process"] = set()


class BenchError(Exception):
    """A subject cannot be measured; the text gives the reason and the remedy."""


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds, in user and in system mode."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """User and system together, in seconds."""
        return self.user + self.system

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        """Return the CPU time since an earlier reading."""
        return Cpu(self.user - earlier.user, self.system - earlier.system)

    def per(self, count: int) -> "Cpu":
        """Return microseconds for each of ``count``."""
        scale = 1e6 / max(count, 1)
        return Cpu(self.user * scale, self.system * scale)


def pinned(argv: Sequence[str], cpu: int | None) -> list[str]:
    """Return the command that runs ``argv`` on a CPU (None: any) and ends with this process."""
    guard = ["setpriv", "--pdeathsig", "TERM", "--"]
    return [*guard, *(["taskset", "-c", str(cpu)] if cpu is not None else []), *argv]


class Process:
    """A server in its own session that writes to a log file; a context manager that stops it."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        cpu: int | None = SERVER_CPU,
        env: dict[str, str] | None = None,
    ) -> None:
        """Start it. Raises OSError if the program is missing."""
        self.log = log
        self.started = time.monotonic()
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                pinned(argv, cpu),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        _running.add(self)

    def __enter__(self) -> Self:
        """Return the process, which is already started."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self._popen.poll() is None

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def cpu(self) -> Cpu:
        """Return the CPU time so far of the process and its descendants."""
        user = system = 0
        for fields in _tree(self._popen.pid).values():
            # utime, stime and those of reaped children: proc_pid_stat(5), fields 14 to 17
            user += int(fields[11]) + int(fields[13])
            system += int(fields[12]) + int(fields[14])
        return Cpu(user * _TICK, system * _TICK)

    def memory(self) -> int:
        """Return the memory in bytes, each shared page divided among its processes (PSS)."""
        return sum(_pss(pid) for pid in _tree(self._popen.pid))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def forget_peak(self) -> None:
        """Reset ``peak``: proc(5), clear_refs."""
        Path(f"/proc/{self._popen.pid}/clear_refs").write_text("5")

    def peak(self) -> tuple[int, int]:
        """Return peak and present memory in bytes, with shared pages (VmHWM, VmRSS)."""
        fields = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self._popen.pid}/status").read_text().splitlines()
        )
        peak, now = (int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))
        return peak, now

    def stop(self) -> None:
        """Send TERM, so that it stops its children; send KILL to the session after STOP_SECONDS."""
        _running.discard(self)
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait(STOP_SECONDS)


def run_client(argv: Sequence[str], seconds: float, cpu: int | None = LOAD_CPU) -> str:
    """Run a load generator to its end and return its output.

    Raises BenchError with its error message if it fails or takes longer than ``seconds``.
    """
    try:
        done = subprocess.run(
            pinned(argv, cpu),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{argv[0]}: not done after {seconds:.0f} s; stopped") from error
    if done.returncode:
        message = (done.stderr or done.stdout).strip()
        raise BenchError(f"{argv[0]}: exit status {done.returncode}: {message}")
    return done.stdout


def stop_all() -> None:
    """Stop every process that still runs."""
    for process in list(_running):
        process.stop()


def _tree(root: int) -> dict[int, list[str]]:
    """Return the fields of /proc/PID/stat after the name, of a process and its descendants."""
    every: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:  # it ended in the meantime
                continue
            every[int(entry.name)] = text.rpartition(")")[2].split()
    found = {root} & every.keys()
    while more := {pid for pid, f in every.items() if int(f[1]) in found} - found:
        found |= more
    return {pid: every[pid] for pid in found}


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:  # ended in the meantime, or not supported by the kernel
        return 0
    return 0


atexit.register(stop_all)
