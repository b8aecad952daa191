"""Rules for the answers of servers that share an etcd, whatever fails.

A writer records every write with its outcome, a prober every answer. Each name is written by one
writer, one write after the other, so the values of a name have an order; the revisions of
acknowledged writes order those of different names.
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from math import inf
from typing import NamedTuple

Value = frozenset[str]
"""The addresses of a name, empty if it doesn't exist."""

BATCH_SECONDS = 1.0
"""Time for which two names may show different revisions: names change one at a time."""
LOST_SECONDS = 10.0
"""Time to notice the loss of etcd; the zone's ``stale_after`` is added to it."""
SHOWN = 4
"""Number of earlier answers to show with a wrong one."""


class Outcome(Enum):
    """Outcome of a write according to its response."""

    DONE = "done"
    REFUSED = "refused"
    """Nothing was written."""
    UNSURE = "unsure"
    """Unknown: no response came, or it says that the write is uncertain."""


class Write(NamedTuple):
    """One write of a name. begun, ended: seconds of the steady clock; detail: of the response."""

    server: str
    name: str
    value: Value
    begun: float
    ended: float
    outcome: Outcome
    revision: int | None
    detail: str


class Answer(Enum):
    """Kind of an answer."""

    VALUE = "value"
    LOADING = "loading"
    """SERVFAIL because the zone is loading (EDE 14)."""
    WRONG = "wrong"
    """No answer, or an invalid one."""


class Seen(NamedTuple):
    """One answer. run: which start of the server, from 0; stale: it has EDE 3."""

    server: str
    run: int
    name: str
    kind: Answer
    value: Value
    stale: bool
    asked: float
    answered: float
    detail: str = ""


class Version(NamedTuple):
    """A value that a name had, or may have had, at revisions from ``low`` to before ``high``."""

    value: Value
    low: float
    high: float
    write: Write | None


class PastVersions:
    """The versions of every name, in order."""

    def __init__(self, writes: Iterable[Write]) -> None:
        """Create the history from writes; refused writes add no version."""
        self.writes: dict[str, list[Write]] = defaultdict(list)
        for write in writes:
            self.writes[write.name].append(write)
        self.versions = {name: _versions(writes) for name, writes in self.writes.items()}
        self._places: dict[tuple[str, Value], list[int]] = defaultdict(list)
        self._done: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for name, versions in self.versions.items():
            for number, version in enumerate(versions):
                self._places[name, version.value].append(number)
                if version.write and version.write.outcome is Outcome.DONE:
                    self._done[name].append((version.write.ended, number))

    def places(self, name: str, value: Value) -> Sequence[int]:
        """Return the versions of a name that have a value."""
        return self._places.get((name, value), ())

    def last_done(self, name: str, before: float = inf) -> int:
        """Return the version of the last write acknowledged before a time."""
        done = self._done[name]
        at = bisect_left(done, (before, 0))
        return done[at - 1][1] if at else 0


def _versions(writes: Sequence[Write]) -> list[Version]:
    happened = [write for write in writes if write.outcome is not Outcome.REFUSED]
    lows = [0.0]
    for write in happened:
        lows.append(lows[-1] if write.revision is None else float(write.revision))
    values = [Value(), *(write.value for write in happened)]
    befores = [None, *happened]
    highs = [inf]
    for low, write in zip(reversed(lows[1:]), reversed(happened), strict=True):
        highs.append(highs[-1] if write.revision is None else low)
    highs.reverse()
    return [Version(*answer) for answer in zip(values, lows, highs, befores, strict=True)]


class Run(NamedTuple):
    """Answers of one server, in order."""

    seen: Sequence[Seen]

    def describe(self, at: int, why: str) -> str:
        """Describe an answer and the earlier answers for its name."""
        answer = self.seen[at]
        earlier = (other for other in reversed(self.seen[:at]) if other.name == answer.name)
        before = [*islice(earlier, SHOWN)][::-1]
        lines = [f"{answer.server} (start {answer.run}): {answer.name}: {why}"]
        lines += [f"    {shown(other)}" for other in [*before, answer]]
        return "\n".join(lines)


def shown(answer: Seen) -> str:
    """Format an answer as one line."""
    value = " ".join(sorted(answer.value)) or "nothing"
    stale = ", stale" if answer.stale else ""
    detail = f" {answer.detail}" if answer.detail else ""
    return f"at {answer.asked:.3f}: {answer.kind.value} {value}{stale}{detail}"


def wrong(
    past: PastVersions,
    seen: Sequence[Seen],
    stale_after: float,
    crashed: Container[int] = (),
) -> Iterator[str]:
    """Yield a description of each violation.

    seen: the answers of one server; crashed: those of its starts that came after a crash.
    """
    run = Run(seen)
    yield from answers(run)
    yield from backwards(past, run, crashed)
    yield from unmarked(past, run, LOST_SECONDS + stale_after)


def answers(run: Run) -> Iterator[str]:
    """Check that each query is answered and an answered name isn't loading again."""
    known: set[tuple[int, str]] = set()
    for at, answer in enumerate(run.seen):
        if answer.kind is Answer.WRONG:
            yield run.describe(at, "is not answered as it must be")
        elif answer.kind is Answer.VALUE:
            known.add((answer.run, answer.name))
        elif (answer.run, answer.name) in known:
            yield run.describe(at, "is loading after it was answered")


def _begun(version: Version) -> float:
    """Return the time before which no answer can contain a version."""
    return version.write.begun if version.write else 0.0


class _Least:
    """Lower bound of answers: a version for each name and a revision for all."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.bound = 0.0
        self._recent: deque[tuple[float, float]] = deque()

    def take(self, past: PastVersions, answer: Seen) -> bool:
        """Advance to an answer; return whether it was allowed."""
        while self._recent and self._recent[0][0] < answer.asked - BATCH_SECONDS:
            self.bound = max(self.bound, self._recent.popleft()[1])
        versions, same = past.versions[answer.name], past.places(answer.name, answer.value)
        later = same[bisect_left(same, self.versions.get(answer.name, 0)) :]
        found = next((number for number in later if versions[number].high > self.bound), None)
        if found is None or _begun(versions[found]) > answer.answered:
            return False
        self.versions[answer.name] = found
        self._recent.append((answer.answered, versions[found].low))
        return True


def backwards(past: PastVersions, run: Run, crashed: Container[int] = ()) -> Iterator[str]:
    """Check that each answer shows one past revision that never decreases, even over restarts.

    After a crash the snapshot is a minute old, or absent. Answers from it are marked as stale; they
    may be older than answers before the crash, but never go back among themselves.
    """
    least, restored, number = _Least(), _Least(), 0
    for at, answer in enumerate(run.seen):
        if answer.run != number:
            restored, number = _Least(), answer.run
        if answer.kind is not Answer.VALUE:
            continue
        bounds = [least]
        if answer.run in crashed:
            bounds = [restored] if answer.stale else [restored, least]
        broken = next((bound for bound in bounds if not bound.take(past, answer)), None)
        if broken is None:
            continue
        same = past.places(answer.name, answer.value)
        before = broken.versions.get(answer.name, 0)
        if not same:
            yield run.describe(at, f"never was so{_refusal_of(past, answer)}")
        elif _begun(past.versions[answer.name][same[0]]) > answer.answered:
            yield run.describe(at, "was not written yet")
        elif same[-1] < before:
            was = _of(past.versions[answer.name][before])
            yield run.describe(at, f"went back, {was} was answered before")
        else:
            yield run.describe(at, f"is of before revision {broken.bound:.0f}, answered for others")


def _refusal_of(past: PastVersions, answer: Seen) -> str:
    """Explain a value that never existed: a refused write, or parts of several writes."""
    refused = [w for w in past.writes[answer.name] if w.value == answer.value]
    parts = [_of(v) for v in past.versions[answer.name] if v.value & answer.value]
    if refused:
        return f", its write was refused: {refused[0].detail}"
    return f", it has parts of {'; '.join(parts)}" if parts else ""


def _of(version: Version) -> str:
    write = version.write
    if write is None:
        return "nothing"
    value = " ".join(sorted(version.value)) or "nothing"
    return f"{value} ({write.outcome.value} at {write.ended:.3f}, revision {write.revision})"


def unmarked(past: PastVersions, run: Run, seconds: float) -> Iterator[str]:
    """Check that answers without a stale mark are at most ``seconds`` old."""
    for at, answer in enumerate(run.seen):
        if answer.kind is not Answer.VALUE or answer.stale:
            continue
        least = past.last_done(answer.name, answer.asked - seconds)
        if max(past.places(answer.name, answer.value), default=least) < least:
            was = _of(past.versions[answer.name][least])
            yield run.describe(at, f"is not marked, and was {was} before")


def marked(seen: Iterable[Seen], since: float, until: float, *, stale: bool) -> Iterator[str]:
    """Check that between two times all answers, or none, are marked as stale."""
    for answer in seen:
        within = since < answer.asked and answer.answered < until
        if within and answer.kind is Answer.VALUE and answer.stale is not stale:
            word = "is not marked" if stale else "is marked"
            yield f"{answer.server}: {answer.name}: {word} as stale: {shown(answer)}"


def kept(past: PastVersions, found: Mapping[str, Value], where: str) -> Iterator[str]:
    """Check that the final value is the last acknowledged one or a later uncertain one."""
    for name, versions in past.versions.items():
        there, last = found.get(name, Value()), past.last_done(name)
        if max(past.places(name, there), default=-1) < last:
            value = " ".join(sorted(there)) or "nothing"
            yield f"{where}: {name} is {value}, but {_of(versions[last])} was acknowledged"
