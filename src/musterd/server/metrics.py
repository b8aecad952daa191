"""What Prometheus and Kubernetes ask over HTTP: /metrics, /healthz, /readyz."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from musterd.catalog import Catalog
from musterd.registry.applied import Applied
from musterd.rr.names import name_to_text
from musterd.server.snapshots import Snapshots

CONNECTIONS: Final = 64
"""HTTP connections at once; more are answered with 503."""

ZONE_STATES: Final = ("live", "loading", "stale", "restoring")
SOURCE_STATES: Final = ("loading", "restored", "synced", "lost")
_GROUPS: Final = {
    "queries": ("musterd_dns_queries", "Queries by transport.", "transport"),
    "type": ("musterd_dns_queries_by_type", "Queries by type.", "type"),
    "rcode": ("musterd_dns_responses", "Responses by response code.", "rcode"),
}
"""Counters of the core that differ in one word -> name, help, label."""
_NOW: Final = {"tcp_open": ("musterd_dns_tcp_connections", "TCP connections that are open.")}
"""What the core counts up and down."""


class Core(Protocol):
    """What the metrics need of ``musterd._core.Core``."""

    def counters(self) -> dict[str, int]: ...  # noqa: D102
    def zones(self) -> list[tuple[bytes, int, int, int]]: ...  # noqa: D102


@dataclass(slots=True)
class Running:
    """The parts of a server that are watched, and what it counts itself."""

    core: Core
    catalog: Catalog
    snapshots: Snapshots | None = None
    listening: Sequence[str] = ()
    """Addresses on which DNS is answered."""
    applied: Applied | None = None
    """How far the registry is in answers, if there is one."""
    reloads_ok: int = 0
    reloads_failed: int = 0

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Whether what is asked is answered truly, and what is not as it should be, since when."""
        zones = self.catalog.zone_reports()
        ready = bool(self.listening) and not any(
            zone.state in {"loading", "restoring"} for zone in zones
        )
        return ready, {
            "ready": ready,
            "listening": list(self.listening),
            "zones": {
                zone.name: {"state": zone.state, "since": zone.since}
                for zone in zones
                if zone.state != "live"
            },
            "sources": {
                source.name: {
                    "state": source.state, "since": source.lost, "reason": source.reason,
                    "synced": source.synced, "restored": source.restored,
                }
                for source in self.catalog.source_reports()
                if source.state != "synced"
            },
        }  # fmt: skip


class MusterdCollector(Collector):
    """Makes the metrics when they are asked for."""

    def __init__(self, running: Running) -> None:
        """Of a running server."""
        self._running = running

    def collect(self) -> Iterator[Metric]:
        """Every metric of ours."""
        yield _gauge("musterd_build_info", "The version.", {"version": _version()}, 1)
        yield from _core_metrics(self._running.core.counters())
        yield from self._zones()
        yield from self._memory()
        yield from self._sources()
        if self._running.applied is not None:
            yield from _registry(self._running.applied)
        reloads = CounterMetricFamily(
            "musterd_reloads", "Reloads of the settings by result.", labels=["result"]
        )
        reloads.add_metric(["ok"], self._running.reloads_ok)
        reloads.add_metric(["failed"], self._running.reloads_failed)
        yield reloads
        if self._running.snapshots is not None:
            yield from _snapshots(self._running.snapshots)

    def _zones(self) -> Iterator[Metric]:
        state = _family("musterd_zone_state", "1 for the state of a zone.", "zone", "state")
        since = _family(
            "musterd_zone_state_since_timestamp_seconds", "When a zone's state began.", "zone"
        )
        serial = _family("musterd_zone_serial", "The serial of a zone's SOA.", "zone")
        records = _family(
            "musterd_zone_records", "Records of a source in a zone, hidden ones too.",
            "zone", "source",
        )  # fmt: skip
        refused = CounterMetricFamily(
            "musterd_zone_refused_rrsets", "RRsets that the core did not take.", labels=["zone"]
        )
        for zone in self._running.catalog.zone_reports():
            for word in ZONE_STATES:
                state.add_metric([zone.name, word], float(zone.state == word))
            since.add_metric([zone.name], zone.since)
            serial.add_metric([zone.name], zone.serial)
            refused.add_metric([zone.name], zone.refused_total)
            for source, count in zone.records.items():
                records.add_metric([zone.name, source], count)
        yield from (state, since, serial, records, refused)

    def _memory(self) -> Iterator[Metric]:
        names = _family(
            "musterd_zone_names", "Owner names of a zone, empty non-terminals too.", "zone"
        )
        memory = _family("musterd_zone_memory_bytes", "Memory of a zone in the core.", "zone")
        for apex, _, owners, octets in self._running.core.zones():
            names.add_metric([name_to_text(apex)], owners)
            memory.add_metric([name_to_text(apex)], octets)
        yield from (names, memory)

    def _sources(self) -> Iterator[Metric]:
        state = _family("musterd_source_state", "1 for the state of a source.", "source", "state")
        synced = _family(
            "musterd_source_last_sync_timestamp_seconds", "When a source was complete.", "source"
        )
        keys = _family("musterd_source_keys", "Keys that a source has.", "source")
        problems = CounterMetricFamily(
            "musterd_source_problems", "Records and keys that were left out.", labels=["source"]
        )
        left_out = _family(
            "musterd_source_left_out", "Records and keys that are left out now.", "source"
        )
        for source in self._running.catalog.source_reports():
            for word in SOURCE_STATES:
                state.add_metric([source.name, word], float(source.state == word))
            if source.synced is not None:
                synced.add_metric([source.name], source.synced)
            keys.add_metric([source.name], source.keys)
            problems.add_metric([source.name], source.problems_total)
            now = len(source.problems) + source.problems_forgotten
            left_out.add_metric([source.name], now)
        yield from (state, synced, keys, problems, left_out)


def _core_metrics(counters: Mapping[str, int]) -> Iterable[Metric]:
    groups: dict[str, CounterMetricFamily] = {}
    single: list[Metric] = []
    for name, value in sorted(counters.items()):
        group, _, word = name.partition("_")
        if name in _NOW:
            single.append(GaugeMetricFamily(*_NOW[name], value=value))
        elif group in _GROUPS:
            family, about, label = _GROUPS[group]
            if family not in groups:
                groups[family] = CounterMetricFamily(family, about, labels=[label])
            groups[family].add_metric([word], value)
        else:
            about = f"What the core counts as {name}."
            single.append(CounterMetricFamily(f"musterd_dns_{name}", about, value=value))
    return [*groups.values(), *single]


def _registry(applied: Applied) -> Iterator[Metric]:
    yield _gauge(
        "musterd_store_revision", "Revision of the store up to which answers are.", {},
        applied.revision,
    )  # fmt: skip
    yield _gauge(
        "musterd_store_lag_seconds", "How long answers may have differed from the store; 0: no.",
        {}, applied.lag,
    )  # fmt: skip


def _snapshots(snapshots: Snapshots) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "musterd_snapshots_bad", "Files of the state directory that were ignored as bad.",
        value=snapshots.bad_total,
    )  # fmt: skip
    yield CounterMetricFamily(
        "musterd_snapshots_failed", "Files of the state directory that could not be written.",
        value=snapshots.failed_total,
    )  # fmt: skip


def _version() -> str:
    try:
        return version("musterd")
    except PackageNotFoundError:
        return "unknown"


def _family(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=labels)


def _gauge(name: str, about: str, labels: Mapping[str, str], value: float) -> Metric:
    family = _family(name, about, *labels)
    family.add_metric(list(labels.values()), value)
    return family


def app(running: Running) -> Starlette:
    """The HTTP application."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MusterdCollector(running))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": kind})

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        ready, report = running.readiness()
        return JSONResponse(report, status_code=200 if ready else 503)

    routes = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
    return Starlette(routes=[Route(path, answer) for path, answer in routes.items()])
