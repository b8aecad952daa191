"""Metrics, health and readiness over HTTP."""

import asyncio
import http.client
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from musterd._core import Core
from musterd.catalog import Catalog
from musterd.errors import ListenError
from musterd.kv import StoreUnavailable
from musterd.registry.applied import Applied
from musterd.server.certificate import Certificate
from musterd.server.http import HttpServer
from musterd.server.metrics import LIMITS, app, musterd_metrics
from musterd.server.snapshot_files import SnapshotFiles
from musterd.server.state import ServerState
from musterd.sources.changes import Begin, Fault, Lost, Put, Synced
from musterd.store.embedded import EmbeddedStore
from tests.catalogkit import NOW, ManualClock, records, settings
from tests.certkit import make
from tests.dnskit import make_query
from tests.needs import needs

ZONE = "lab.internal"


@dataclass
class ServedMetrics:
    state: ServerState
    catalog: Catalog
    clock: ManualClock
    server: HttpServer

    async def get(self, path: str, **headers: str) -> tuple[int, str, str]:
        """Return status, content type and body."""
        return await asyncio.to_thread(self._get, path, headers)

    def _get(self, path: str, headers: dict[str, str]) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection(self.server.address)
        try:
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.headers["content-type"], reply.read().decode()
        finally:
            connection.close()

    async def metrics(self) -> dict[str, float]:
        """Return the samples of musterd by name and labels."""
        _, _, body = await self.get("/metrics")
        return {
            " ".join([sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))]): (
                sample.value
            )
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name.startswith("musterd_")
        }


@pytest.fixture
async def served() -> AsyncIterator[ServedMetrics]:
    core, clock = Core(), ManualClock()
    catalog = Catalog(core, clock)
    await catalog.reconfigure(settings(sources=[{"name": "one", "zone": ZONE}]))
    state = ServerState(core, catalog, clock)
    server = HttpServer("127.0.0.1:0", "metrics", LIMITS)
    task = asyncio.create_task(server.run(app(state)))
    yield ServedMetrics(state, catalog, clock, server)
    server.stop()
    await task


async def test_healthz(served: ServedMetrics) -> None:
    assert await served.get("/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    assert (await served.get("/elsewhere"))[0] == 404


async def test_ready_when_listening_and_loaded(served: ServedMetrics) -> None:
    status, kind, body = await served.get("/readyz")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body) == {
        "ready": False,
        "listening": [],
        "zones": {f"{ZONE}.": {"state": "loading", "since": NOW}},
        "sources": {
            "one": {
                "state": "loading", "since": None, "reason": "", "synced": None, "restored": None
            }
        },
    }  # fmt: skip
    served.catalog.apply("one", Begin(), Synced(1))
    assert (await served.get("/readyz"))[0] == 503
    served.state.listening = ("127.0.0.1:53",)
    status, _, body = await served.get("/readyz")
    assert (status, json.loads(body)["zones"]) == (200, {})


async def test_lost_source_is_reported_but_the_server_stays_ready(served: ServedMetrics) -> None:
    served.state.listening = ("127.0.0.1:53",)
    served.catalog.apply("one", Begin(), Synced(1))
    served.clock.advance(10)
    served.catalog.apply("one", Lost("no route"))
    served.clock.advance(30)
    status, _, body = await served.get("/readyz")
    assert status == 200
    report = json.loads(body)
    assert report["zones"] == {f"{ZONE}.": {"state": "stale", "since": NOW + 40}}
    assert report["sources"]["one"]["since"] == NOW + 10
    assert report["sources"]["one"]["reason"] == "no route"


async def test_lag_of_the_registry(served: ServedMetrics) -> None:
    assert "musterd_store_revision" not in (await served.get("/metrics"))[2]
    now = 100.0
    served.state.applied = Applied(lambda: now)
    served.state.applied.upto(7)
    found = await served.metrics()
    assert found["musterd_store_revision"] == 7
    assert found["musterd_store_lag_seconds"] == 0
    served.state.applied.lost()
    now += 30
    assert (await served.metrics())["musterd_store_lag_seconds"] == 30


async def test_problem_of_the_store(served: ServedMetrics, tmp_path: Path) -> None:
    assert "musterd_store_problem" not in (await served.get("/metrics"))[2]
    path = tmp_path / "store.db"
    async with await EmbeddedStore.open(path) as store:
        served.state.store = store
        assert (await served.metrics())["musterd_store_problem"] == 0
        assert "store" not in json.loads((await served.get("/readyz"))[2])
        path.unlink()
        with pytest.raises(StoreUnavailable):
            await store.put(b"a", b"")
        assert (await served.metrics())["musterd_store_problem"] == 1
        report = json.loads((await served.get("/readyz"))[2])
        assert "was removed or replaced" in report["store"]["problem"]


async def test_metrics(served: ServedMetrics) -> None:
    catalog = served.catalog
    given = records("a A 10.0.0.1", "a A 10.0.0.2", "b TXT x")
    catalog.apply("one", Begin(), Fault("file:1", "bad"), Put("k", 1, NOW, given), Synced(1))
    served.state.reloads_failed = 2
    found = await served.metrics()
    expected = {
        f"musterd_zone_records source=one zone={ZONE}.": 3,
        f"musterd_zone_names zone={ZONE}.": 3,
        f"musterd_zone_serial zone={ZONE}.": int(NOW),
        f"musterd_zone_state state=live zone={ZONE}.": 1,
        f"musterd_zone_state state=loading zone={ZONE}.": 0,
        f"musterd_zone_state_since_timestamp_seconds zone={ZONE}.": NOW,
        f"musterd_zone_refused_rrsets_total zone={ZONE}.": 0,
        "musterd_source_state source=one state=synced": 1,
        "musterd_source_last_sync_timestamp_seconds source=one": NOW,
        "musterd_source_keys source=one": 1,
        "musterd_source_problems_total source=one": 1,
        "musterd_source_left_out source=one": 1,
        "musterd_reloads_total result=failed": 2,
        "musterd_reloads_total result=ok": 0,
        "musterd_dns_queries_total transport=udp": 0,
        "musterd_dns_responses_total rcode=nxdomain": 0,
        "musterd_dns_queries_by_type_total type=aaaa": 0,
        "musterd_dns_truncated_total": 0,
        "musterd_dns_tcp_connections": 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert 0 < found[f"musterd_zone_memory_bytes zone={ZONE}."] < 10_000
    assert found.keys() >= expected.keys()


async def test_formats(served: ServedMetrics) -> None:
    _, kind, body = await served.get("/metrics", accept="application/openmetrics-text")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")
    _, kind, _ = await served.get("/metrics")
    assert kind.startswith("text/plain")


async def test_address_in_use(served: ServedMetrics) -> None:
    with pytest.raises(ListenError, match=r"musterd itself listens on it; set \[metrics\] listen"):
        HttpServer(served.server.address, "metrics", LIMITS)


async def test_ipv6() -> None:
    server = HttpServer("[::1]:0", "metrics", LIMITS)
    assert server.address.startswith("[::1]:")
    server.close()


async def test_other_tasks_run_while_many_zones_are_written() -> None:
    core, clock = Core(), ManualClock()
    catalog = Catalog(core, clock)
    zones = [{"name": f"z{number}.test"} for number in range(3000)]
    await catalog.reconfigure(settings(*zones, sources=[]))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(count_turns())
    text = await musterd_metrics(ServerState(core, catalog, clock), open_metrics=False)
    task.cancel()
    assert text.count(b'state="live",zone=') == 3000
    # Each step writes 1,000 of about 30,000 samples.
    assert turns > 25


async def test_label_is_escaped(served: ServedMetrics) -> None:
    name = r"a\"b\\c.test"
    await served.catalog.reconfigure(settings({"name": name}, sources=[]))
    found = await served.metrics()
    assert f"musterd_zone_serial zone={name}." in found


async def everything(served: ServedMetrics, folder: Path) -> dict[str, Metric]:
    """Return all metrics of a server in which each has a sample."""
    core, state = served.state.core, served.state
    served.catalog.apply("one", Begin(), Put("k", 1, NOW, records("a A 10.0.0.1")), Synced(1))
    core.answer(make_query("a.lab.internal.").to_wire(), "127.0.0.1", tcp=False)
    state.api_requests.add("GET", "/v1/status", 200, 0.1)
    state.applied = Applied()
    state.certificate = Certificate(*make(folder))
    state.snapshots = SnapshotFiles(folder, served.catalog, served.clock.time)
    async with await EmbeddedStore.open(folder / "store.db") as store:
        state.store = store
        text = (await musterd_metrics(state, open_metrics=False)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


@needs("openssl")
async def test_names_and_help_texts_follow_conventions(
    served: ServedMetrics, tmp_path: Path
) -> None:
    wrong = []
    for name, family in (await everything(served, tmp_path)).items():
        counter = family.type == "counter"
        suffix = {"_total"} if counter else {""}
        if family.type == "histogram":
            suffix = {"_bucket", "_sum", "_count"}
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if not (
            re.fullmatch(r"musterd(_[a-z]+)+", name)
            and family.samples
            and {sample.name for sample in family.samples} == {name + end for end in suffix}
            and not re.search(r"_(total|count|sum|bucket|gauge|counter|histogram)(_|$)", name)
            and not re.search(
                r"_(ms|us|ns|milli\w+|micro\w+|nano\w+|minutes|hours|kb|mb)(_|$)", name
            )
            and ("_seconds" not in name or name.endswith("_seconds"))
            and ("_bytes" not in name or name.endswith("_bytes"))
            and not ("duration" in name and not name.endswith("_seconds"))
            and all(re.fullmatch(r"[a-z]+", label) for label in labels)
            and re.fullmatch(r"[A-Z][^\n\\.]{15,110}\.", family.documentation)
            and name.removeprefix("musterd_") not in family.documentation
        ):
            wrong.append((name, family.type, family.documentation))
    assert wrong == []


@needs("openssl")
async def test_every_metric_is_documented(served: ServedMetrics, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
    table = page.partition("### All metrics\n")[2].partition("\n#")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `musterd_")]
    assert rows == sorted(rows)
    expected = []
    for name, family in (await everything(served, tmp_path)).items():
        full = f"{name}_total" if family.type == "counter" else name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        names = ", ".join(f"`{label}`" for label in sorted(labels))
        about = family.documentation.removesuffix(".")
        expected.append(f"| `{full}` | {family.type} | {names} | {about} |".replace("|  |", "| |"))
    assert rows == sorted(expected), "\n".join(sorted(expected))
