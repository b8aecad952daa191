"""``musterd explain`` and ``musterd status``."""

import json

from tests.apikit import RunningApi

pytest_plugins = ["tests.apifixture"]


def test_explain_prints_zone_records_and_answer(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "A", "10.0.0.1", "--ttl", "30")
    lines = api("explain", "web.lab.internal", "A", "--client", "192.0.2.7").splitlines()
    facts = dict(line.split(None, 1) for line in lines[: lines.index("")])
    assert facts["zone"] == "lab.internal, live"
    assert facts["client"] == "192.0.2.7"
    assert facts["policy"] == "all"
    known = lines[lines.index("answered:") :]
    assert known[1].split()[:5] == ["type", "data", "ttl", "weight", "source"]
    assert known[2].split()[:5] == ["A", "10.0.0.1", "30", "1", "registry"]
    assert lines[-2] == "answer: NOERROR"
    assert lines[-1].split() == ["web.lab.internal.", "30", "IN", "A", "10.0.0.1"]


def test_explain_in_json(api: RunningApi) -> None:
    found = json.loads(api("explain", "web.lab.internal", "--json"))
    assert set(found) >= {"name", "type", "zone", "state", "policy", "records", "answer"}


def test_status_shows_zones_and_sources(api: RunningApi) -> None:
    text = api("status")
    facts = dict(line.split("  ", 1) for line in text.partition("\n\n")[0].splitlines())
    assert list(facts) == ["version", "up", "answers on", "store"]
    _, zones, sources = text.split("\n\n")[:3]
    assert [line.split()[:2] for line in zones.splitlines()] == [
        ["zone", "state"],
        ["lab.internal", "live"],
        ["deep.lab.internal", "live"],
    ]
    assert ["registry", "synced"] in [line.split()[:2] for line in sources.splitlines()]


def test_status_in_json(api: RunningApi) -> None:
    found = json.loads(api("status", "--json"))
    assert set(found) >= {"version", "started", "listeners", "zones", "sources", "problems"}


def test_explain_prints_referral(api: RunningApi) -> None:
    api("record", "set", "cut.lab.internal", "NS", "ns.other.test.")
    lines = api("explain", "web.cut.lab.internal", "A").splitlines()
    assert lines[-2] == "answer: NOERROR, a referral to"
    assert lines[-1].split() == ["cut.lab.internal.", "30", "IN", "NS", "ns.other.test."]
