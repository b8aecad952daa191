"""Large names: their cost to other names, and their truncation."""

import json
from typing import Any

import pytest

from musterd.sources.etcd import keys, rrsets
from musterd.sources.etcd.limits import LIMITS
from tests.etcd_records.kit import IndexModel, model


def address(number: int, **more: Any) -> dict[str, Any]:
    return {"host": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "port": -1, **more}


def looked(made: IndexModel) -> int:
    """Return the number of services that are read when changes are taken."""
    made.note(made.index.take(0.0))
    return made.index._resolver.services_read


def test_put_reads_no_large_name() -> None:
    """A chain of labels with many keys at its end, and aliases to all names of it."""
    chain = ["/".join(str(label % 10) for label in range(depth)) for depth in range(1, 60)]
    made = model({f"{chain[-1]}/k{n}": address(n) for n in range(300)})
    assert made.index._dirty == {}
    for number, path in enumerate(chain):
        name = ".".join(reversed(path.split("/")))
        made.put(f"alias{number}", {"host": f"{name}.lab.internal", "port": 80})
    made.take()
    assert len(made.of("alias0", "A")) == 300
    made.put(f"{chain[-1]}/k1", address(1000))
    assert looked(made) < LIMITS.max_small
    assert "A 10.0.3.232" in made.of("alias0", "A")
    made.delete(f"{chain[-1]}/k1")
    assert looked(made) < LIMITS.max_small
    assert len(made.of("alias0", "A")) == 299


def test_new_large_name_is_resolved_in_the_background() -> None:
    made = IndexModel()
    for number in range(LIMITS.max_small + 1):
        made.put(f"many/k{number}", address(number))
    made.note(made.index.take(0.0))
    assert "/skydns/internal/lab/many/..." not in made.rows
    assert "/skydns/internal/lab/many/k0" in made.rows
    assert len(made.of("many", "A")) == LIMITS.max_small + 1


def test_new_alias_to_a_large_name_is_resolved_in_the_background() -> None:
    made = model({f"many/k{number}": address(number) for number in range(300)})
    made.put("alias", {"host": "many.lab.internal", "port": 80})
    assert looked(made) < LIMITS.max_small
    assert len(made.of("alias", "A")) == 300


def test_many_changed_names_are_resolved_in_the_background() -> None:
    """Many small aliases of one name that changes."""
    values: dict[str, Any] = {f"some/k{number}": address(number) for number in range(90)}
    for number in range(100):
        values[f"alias{number}"] = {"host": "some.lab.internal", "port": 80}
    made = model(values)
    made.put("some/k0", address(1000))
    assert looked(made) <= LIMITS.max_at_once + LIMITS.max_small
    text = made.text()
    assert all(f"alias{number} A 10.0.3.232" in text for number in range(100))


def test_alias_follows_a_target_that_is_listed_later() -> None:
    """The reads of one step are used up before the target is listed."""
    made = IndexModel()
    paths = [f"m{m:02}/k{k:02}" for m in range(LIMITS.max_at_once // 50) for k in range(60)]
    paths = ["alias", *paths, "web/1", "web/2"]
    for number, path in enumerate(paths):
        value = {"host": "web.lab.internal", "port": 80} if not number else address(number)
        made.load(path, value, number + 1)
        if path == "web/1":
            made.note(made.index.take(0.0))
    assert len(made.of("alias", "A")) == 2


def aliases(number: int) -> IndexModel:
    """A name with so many aliases, each of a name with an address; nothing is reported yet."""
    made = IndexModel()
    for n in range(number):
        made.put(f"alias/x{n}", {"host": f"t{n}.lab.internal"})
        made.put(f"t{n}", address(n))
    return made


def test_many_aliases_are_followed_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    made = aliases(500)
    made.take()
    calls = 0

    def path_of(name: bytes) -> bytes:
        nonlocal calls
        calls += 1
        return keys.path_of(name)

    monkeypatch.setattr(rrsets, "path_of", path_of)
    made.put("alias/x0", {"host": "t1.lab.internal"})
    made.note(made.index.take(0.0))
    most = total = 0
    for reports in made.index.later(0.0):
        made.note(reports)
        most, total, calls = max(most, calls), total + calls, 0
    assert total >= 500
    assert most <= LIMITS.follow_step + 1
    assert len(made.of("alias", "A")) == 499


@pytest.mark.parametrize("target", ["t0", "t499"])
def test_target_changed_during_a_pause_is_seen(target: str) -> None:
    made = aliases(500)
    made.take(steps=12)
    assert made.index._begun[0] == b"internal/lab/alias"
    made.put(target, address(1000))
    made.take()
    assert "A 10.0.3.232" in made.of("alias", "A")
    assert len(made.of("alias", "A")) == 500


def test_resync_resumes_partially_resolved_name() -> None:
    made = aliases(500)
    made.take()
    made.put("alias/y", address(1000))
    made.take(steps=3)
    assert made.index._begun[0]
    made.later = made.index.later(0.0)
    assert "A 10.0.3.232" in made.of("alias", "A")


def test_followed_services_are_bounded() -> None:
    values = {
        f"t{target}/k{number}": address(1000 * target + number)
        for target in range(3)
        for number in range(600)
    }
    for target in range(3):
        values[f"alias/x{target}"] = {"host": f"t{target}.lab.internal"}
    made = model(values)
    assert len(made.of("alias", "A")) == LIMITS.max_followed
    where = "alias.lab.internal."
    assert "more than 1000 services" in made.problems[where]
    made.delete("alias/x1")
    made.put("alias/x2", address(5000))
    made.take()
    assert where not in made.problems
    assert len(made.of("alias", "A")) == 601


def test_truncated_name_is_a_fault_until_it_is_smaller() -> None:
    made = model({f"web/k{number:04}": address(number) for number in range(1002)})
    wheres = ["lab.internal.", "web.lab.internal."]
    assert sorted(made.problems) == wheres
    assert "more than 1000 keys" in made.problems[wheres[0]]
    made.put("web/k1002", address(1002))
    made.take()
    assert len(made.problems) == 2, "reported once"
    for number in (0, 1002, 1001):
        assert sorted(made.problems) == wheres
        made.delete(f"web/k{number:04}")
        made.take()
    assert made.problems == {}


def test_truncated_rrset_is_reported() -> None:
    long = "/".join(["x" * 60] * 3)
    made = model({f"{long}/k{n}": {**address(n), "port": 80} for n in range(900)})
    owner = f"{'.'.join(['x' * 60] * 3)}"
    assert len(made.of(owner, "A")) == 900
    assert len(made.of(owner, "SRV")) < 900
    assert made.problems[f"{owner}.lab.internal."].startswith(
        "has more SRV records than an RRset can hold"
    )
    for number in range(10, 900):
        made.delete(f"{long}/k{number}")
    made.take()
    assert made.problems == {}


def test_apex_with_own_addresses_is_complete() -> None:
    """Truncated records of the whole zone are not answered at its apex."""
    values: dict[str, Any] = {
        f"/skydns/test/other/t/k{number:03}": address(number) for number in range(900)
    }
    values["u/a"] = {"host": "t.other.test", "port": -1}
    values["dns/apex/x"] = {"host": "t.other.test", "port": -1}
    made = model(values, zones=("lab.internal", "other.test"))
    assert made.problems == {}
    assert len(made.of("@", "A")) == 900


def test_unreadable_key_is_a_fault_until_fixed_or_deleted() -> None:
    made = model({"a": b"{", "b": b"{", "c d": address(1)})
    base = "/skydns/internal/lab"
    assert sorted(made.problems) == [f"{base}/a", f"{base}/b", f"{base}/c d"]
    # A fault of the name, whose key has the same text.
    made.put("a/x", address(1))
    made.take()
    assert f"{base}/a" in made.problems
    made.put("a", address(1))
    made.delete("b")
    made.delete("c d")
    made.take()
    assert made.problems == {}


def test_faults_of_two_long_keys_are_distinct() -> None:
    one, other = (f"{'x' * 500}{middle}{'x' * 500}" for middle in "yz")
    made = model({one: b"{", other: b"{"})
    assert len(made.problems) == 2
    made.delete(one)
    made.take()
    (left,) = made.problems
    made.put(other, b"}")
    made.take()
    assert list(made.problems) == [left]
    made.delete(other)
    made.take()
    assert made.problems == {}


def test_binary_key_is_distinct_from_its_escaped_text() -> None:
    made = IndexModel()
    for key in (b"\xff", rb"\xff", rb"\\xff"):
        made.index.put(b"/skydns/internal/lab/" + key, b"{", 1, None)
    made.take()
    assert len(made.problems) == 3


def test_fault_text_is_bounded() -> None:
    made = IndexModel()
    path = "x" * 1_000_000
    made.put(path, address(1))
    made.put("web", json.dumps({"host": "\\" + "y" * 60_000}).encode())
    made.take()
    assert len(made.problems) == 2
    for where, reason in made.problems.items():
        assert len(where) <= 300
        assert len(reason) <= 300
    assert sum(map(len, made.index.faults.keys)) < 1000
    made.delete(path)
    made.delete("web")
    made.take()
    assert made.problems == {}
