"""The rules detect violations: a harness that can't fail proves nothing."""

import pytest

from tests.cluster.invariants import (
    Answer,
    Outcome,
    PastVersions,
    Seen,
    Value,
    Write,
    kept,
    marked,
    wrong,
)

STALE_AFTER = 1.0
PAST = [
    # Name, addresses, acknowledged at, outcome, revision.
    ("a", "1", 1, "done", 10),
    ("b", "1", 2, "done", 11),
    ("a", "2", 3, "done", 12),
    ("a", "3", 4, "unsure", None),
    ("b", "2", 5, "refused", None),
    ("a", "4", 6, "done", 15),
    ("b", "3 4", 7, "done", 16),
    ("g", "1", 8, "done", 17),
    ("g", "", 9, "done", None),
    ("g", "2", 10, "done", 19),
    ("g", "", 11, "unsure", None),
]


def past() -> PastVersions:
    return PastVersions(
        Write("s", name, Value(text.split()), at - 0.1, at, Outcome(outcome), revision, "told")
        for name, text, at, outcome, revision in PAST
    )


def seen(line: str) -> list[Seen]:
    """``TIME NAME=ADDRESSES``, with commas, ``!`` at the end for stale; ``|`` is a restart."""
    found, run = list[Seen](), 0
    for word in line.split():
        if word == "|":
            run += 1
            continue
        at, _, rest = word.partition(":")
        name, _, value = rest.partition("=")
        time, stale = float(at), value.endswith("!")
        kind = {"loading": Answer.LOADING, "none": Answer.WRONG}.get(value, Answer.VALUE)
        text = value.rstrip("!").replace(",", " ") if kind is Answer.VALUE else ""
        found.append(Seen("s", run, name, kind, Value(text.split()), stale, time, time))
    return found


@pytest.mark.parametrize(
    "line",
    [
        "1:a= 1:a=1 3:a=2 4:a=3 6:a=4",
        "3:a=2 6:a=4",
        "4:a=2 5:a=3",
        "1:g= 8:g=1 9:g= 10:g=2 11:g=",
        "1:g= 11:g=2 12:g=",
        "3:a=2 3.5:b=1 6:a=4 6.5:b=1 7:b=3,4",
        "1:a=loading 1:a=1 | 2:a=loading 3:a=2",
        "40:a=2!",
        "1:a=1 2:a=1! | 3:a=2",
    ],
)
def test_consistent_answers_are_accepted(line: str) -> None:
    assert list(wrong(past(), seen(line), STALE_AFTER)) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("3:a=2 4:a=1", "went back"),
        ("6:a=4 7:a=3", "went back"),
        ("3:a=2 | 4:a=1!", "went back"),
        ("3:a=1,2", "it has parts of"),
        ("8:b=3", "it has parts of"),
        ("6:b=2", "its write was refused: told"),
        ("6:b=7", "never was so"),
        ("10:g=2 11:g= 12:g=1", "went back"),
        ("7:b=3,4 9:a=2", "of before revision 16"),
        ("14.5:a=1", "is not marked"),
        ("25:g=", ""),
        ("1:a=1 2:a=loading", "is loading after"),
        ("1:a=none", "is not answered"),
    ],
)
def test_inconsistent_answers_are_reported(line: str, why: str) -> None:
    found = list(wrong(past(), seen(line), STALE_AFTER))
    assert bool(found) is bool(why), found
    assert why in "".join(found)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        # The value is that of the older snapshot, not the same value written later.
        ("10:g=2 | 10.5:g=! 10.8:g=2", ""),
        ("7:b=3,4 8:b=3,4 | 9:a=2! 9.5:a=4! 9.6:a=4", ""),
        ("10:g=2 | 10.5:g=1! 10.6:g=1", "went back"),
        ("10:g=2 | 10.4:a=4! 10.5:a=2!", "went back"),
        ("10:g=2 | 10.4:a=4! 10.5:a=2", "went back"),
        ("9:g= | 9.1:g=2!", "was not written yet"),
    ],
)
def test_older_answers_after_crash_must_be_marked(line: str, why: str) -> None:
    found = list(wrong(past(), seen(line), STALE_AFTER, {1}))
    assert bool(found) is bool(why), found
    assert why in "".join(found)


def test_stale_marks_are_checked() -> None:
    answers = seen("1:a=1 2:a=1! 3:a=1")
    assert len(list(marked(answers, 0, 9, stale=True))) == 2
    assert len(list(marked(answers, 1.5, 2.5, stale=True))) == 0
    assert len(list(marked(answers, 0, 9, stale=False))) == 1


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [("a", "4", True), ("a", "3", False), ("b", "3 4", True), ("b", "3", False),
     ("g", "2", True), ("g", "", True), ("g", "1", False)],
)  # fmt: skip
def test_final_state_must_keep_acknowledged_writes(name: str, value: str, right: bool) -> None:
    end = {"a": "4", "b": "3 4", "g": "2", name: value}
    found = kept(past(), {name: Value(text.split()) for name, text in end.items()}, "etcd")
    assert (not [*found]) is right
