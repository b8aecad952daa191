"""Processes under measurement: pinned, accounted with all their children, and always stopped."""

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
    """A subject cannot be measured; the text says why and what to do."""


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
        """What was spent since an earlier reading."""
        return Cpu(self.user - earlier.user, self.system - earlier.system)

    def per(self, count: int) -> "Cpu":
        """Microseconds for each of ``count``."""
        scale = 1e6 / max(count, 1)
        return Cpu(self.user * scale, self.system * scale)


def pinned(argv: Sequence[str], cpu: int | None) -> list[str]:
    """The command that runs ``argv`` on one CPU (None: on any), and ends when this process does."""
    guard = ["setpriv", "--pdeathsig", "TERM", "--"]
    return [*guard, *(["taskset", "-c", str(cpu)] if cpu is not None else []), *argv]


class Process:
    """A server in its own session, its output in a log file; a context manager that stops it."""

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
        """Nothing more to do: it was started when it was made."""
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
        """Whether it still runs."""
        return self._popen.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def cpu(self) -> Cpu:
        """CPU time so far of the process and its descendants, in seconds."""
        user = system = 0
        for fields in _tree(self._popen.pid).values():
            # utime, stime and those of reaped children: proc_pid_stat(5), fields 14 to 17
            user += int(fields[11]) + int(fields[13])
            system += int(fields[12]) + int(fields[14])
        return Cpu(user * _TICK, system * _TICK)

    def memory(self) -> int:
        """Octets in memory, each shared page divided among those that share it (PSS)."""
        return sum(_pss(pid) for pid in _tree(self._popen.pid))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def forget_peak(self) -> None:
        """Let ``peak`` count from now: proc(5), clear_refs."""
        Path(f"/proc/{self._popen.pid}/clear_refs").write_text("5")

    def peak(self) -> tuple[int, int]:
        """Octets in memory at most so far, and now, shared pages too (VmHWM, VmRSS)."""
        fields = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self._popen.pid}/status").read_text().splitlines()
        )
        most, now = (int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))
        return most, now

    def stop(self) -> None:
        """TERM, so that it stops its children itself; KILL to the session after STOP_SECONDS."""
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
    """Run a load generator to its end and return what it printed.

    Raises BenchError with its complaint if it fails or takes longer than ``seconds``.
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
        complaint = (done.stderr or done.stdout).strip()
        raise BenchError(f"{argv[0]}: exit status {done.returncode}: {complaint}")
    return done.stdout


def stop_all() -> None:
    """Stop whatever still runs."""
    for process in list(_running):
        process.stop()


def _tree(root: int) -> dict[int, list[str]]:
    """The fields of /proc/PID/stat after the name, of the process and its descendants."""
    every: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:  # it ended meanwhile
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
    except OSError:  # ended meanwhile, or a kernel without it
        return 0
    return 0


atexit.register(stop_all)
