"""An index after random changes equals a new one of the same keys.

``OPERATIONS=200000 pytest tests/etcd_records/test_random.py`` does as many for each layout.
"""

import os
import random
from typing import Any

import pytest

from musterd.sources.etcd.limits import NameLimits
from tests.etcd_records.kit import IndexModel

OPERATIONS = int(os.environ.get("OPERATIONS", "2000"))
LABELS = ("a", "a-b", "b", "b!", "dns", "ns", "apex", "dns-ip", "mail", "txt", "x.y", "B", "*")
ZONES = ("lab.internal", "b.lab.internal", "10.in-addr.arpa")
MODES = [("skydns", True), ("skydns", False), ("hades", True), ("hades", False),
         ("containerdns", True)]  # fmt: skip


LIMITS = NameLimits(
    max_records=4, max_followed=3, max_small=2, max_at_once=5, step=1, follow_step=1
)
"""Low limits, so that names with few services are truncated, or resolved later."""


def value(pick: random.Random, names: list[str]) -> Any:
    if pick.random() < 0.05:
        return b"{"
    host = pick.choice((
        f"10.0.0.{pick.randrange(4)}", f"10.0.0.{pick.randrange(4)}", f"fd00::{pick.randrange(3)}",
        pick.choice(names), pick.choice(names), "out.test", "",
    ))  # fmt: skip
    some = {
        "port": pick.choice((80, -1)), "weight": pick.randrange(3), "ttl": pick.randrange(1, 9),
        "text": pick.choice("tu"), "mail": True, "targetstrip": pick.randrange(3),
        "group": pick.choice("gh"), "type": pick.choice(("A", "CNAME", "SRV", "TXT", "MX", "NS")),
    }  # fmt: skip
    return {"host": host} | {name: held for name, held in some.items() if pick.random() < 0.25}


def path(pick: random.Random, layout: str) -> str:
    if layout != "skydns" and pick.random() < 0.15:
        return f"/{layout}/monitor/status/10.0.0.{pick.randrange(4)}"
    if pick.random() < 0.05:
        return f"/{layout}/arpa/in-addr/10/{pick.randrange(3)}"
    depth = pick.choices((0, 1, 2, 3), (1, 8, 8, 2))[0]
    end = pick.choice(("", "/", "/")) if layout == "containerdns" else ""
    whole = "/".join(["internal/lab", *(pick.choice(LABELS) for _ in range(depth))])
    return f"/{layout}/{whole}{end}"


@pytest.mark.parametrize(("layout", "subtree"), MODES)
@pytest.mark.parametrize("seed", [1, 2])
def test_changed_index_equals_a_new_index(layout: str, subtree: bool, seed: int) -> None:
    pick = random.Random(f"{layout} {subtree} {seed}")  # noqa: S311
    names = [
        "lab.internal",
        "a.lab.internal",
        "b.a.lab.internal",
        "b.lab.internal",
        "dns.a.b.lab.internal",
        "txt.lab.internal",
    ]
    held: dict[str, tuple[Any, int]] = {}
    mine = IndexModel(layout, ZONES, subtree=subtree, limits=LIMITS)
    for step in range(OPERATIONS // 2):
        where = pick.choice(sorted(held)) if held and pick.random() < 0.4 else path(pick, layout)
        if where in held and pick.random() < 0.5:
            del held[where]
            mine.delete(where)
        else:
            what: Any = {"status": pick.choice(("UP", "DOWN"))}
            if "/monitor/" not in where:
                what = value(pick, names)
            mine.put(where, what)
            held[where] = what, mine.revision
        if pick.random() < 0.5:
            mine.take(steps=pick.randrange(5))
        if pick.random() < 0.1:
            mine.take()
            other = listed_again(layout, held, subtree=subtree)
            assert mine.rows == other.rows, f"after {step} steps"
            assert mine.problems == other.problems, f"after {step} steps"
        if len(held) > 30:
            mine.delete(last := pick.choice(sorted(held)))
            del held[last]


def listed_again(layout: str, held: dict[str, tuple[Any, int]], *, subtree: bool) -> IndexModel:
    """Return a model of the present keys, listed in their order in a few steps."""
    made = IndexModel(layout, ZONES, subtree=subtree, limits=LIMITS)
    for number, (where, (what, revision)) in enumerate(sorted(held.items())):
        made.load(where, what, revision)
        if number % 7 == 0:
            made.note(made.index.take(0.0))
    made.take()
    return made
