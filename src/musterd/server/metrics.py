"""The HTTP endpoints for Prometheus and Kubernetes: /metrics, /healthz, /readyz."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from musterd.registry.applied import Applied
from musterd.rr.names import name_to_text
from musterd.server.connection import HttpLimits
from musterd.server.listener import HttpEndpoint, HttpService
from musterd.server.snapshot_files import SnapshotFiles
from musterd.server.state import ServerState
from musterd.settings import Settings

LIMITS: Final = HttpLimits(max_connections=64)

ZONE_STATES: Final = ("live", "loading", "stale", "restoring")
SOURCE_STATES: Final = ("loading", "restored", "synced", "lost")
_GROUPS: Final = {
    "queries": ("musterd_dns_queries", "Queries by transport.", "transport"),
    "type": ("musterd_dns_queries_by_type", "Queries by type.", "type"),
    "rcode": ("musterd_dns_responses", "Responses by response code.", "rcode"),
}
"""First word of the name of a counter of the core -> metric, help text, label."""
_GAUGES: Final = {"tcp_open": ("musterd_dns_tcp_connections", "Open TCP connections.")}
"""Counters of the core that also go down."""


class MusterdCollector(Collector):
    """Collects the metrics on request."""

    def __init__(self, state: ServerState) -> None:
        """Create a collector for a running server."""
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics of musterd."""
        yield _gauge("musterd_build_info", "Version of musterd.", {"version": _version()}, 1)
        yield from _core_metrics(self._state.core.counters())
        yield from self._zones()
        yield from self._memory()
        yield from self._sources()
        if self._state.applied is not None:
            yield from _registry(self._state.applied)
        reloads = CounterMetricFamily(
            "musterd_reloads", "Reloads of the settings by result.", labels=["result"]
        )
        reloads.add_metric(["ok"], self._state.reloads_ok)
        reloads.add_metric(["failed"], self._state.reloads_failed)
        yield reloads
        if self._state.snapshots is not None:
            yield from _snapshots(self._state.snapshots)

    def _zones(self) -> Iterator[Metric]:
        state = _family(
            "musterd_zone_state",
            "1 for the current state of a zone, 0 for the others.",
            "zone",
            "state",
        )
        since = _family(
            "musterd_zone_state_since_timestamp_seconds",
            "Time of the last change of the state of a zone.",
            "zone",
        )
        serial = _family("musterd_zone_serial", "SOA serial of a zone.", "zone")
        records = _family(
            "musterd_zone_records", "Records of a source in a zone, including shadowed ones.",
            "zone", "source",
        )  # fmt: skip
        refused = CounterMetricFamily(
            "musterd_zone_refused_rrsets", "RRsets rejected by the core.", labels=["zone"]
        )
        for zone in self._state.catalog.zone_reports():
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
            "musterd_zone_names", "Owner names of a zone, including empty non-terminals.", "zone"
        )
        memory = _family("musterd_zone_memory_bytes", "Memory used by a zone in the core.", "zone")
        for apex, _, owners, size in self._state.core.zones():
            names.add_metric([name_to_text(apex)], owners)
            memory.add_metric([name_to_text(apex)], size)
        yield from (names, memory)

    def _sources(self) -> Iterator[Metric]:
        state = _family(
            "musterd_source_state",
            "1 for the current state of a source, 0 for the others.",
            "source",
            "state",
        )
        synced = _family(
            "musterd_source_last_sync_timestamp_seconds",
            "Time of the last complete sync of a source.",
            "source",
        )
        keys = _family("musterd_source_keys", "Keys of a source.", "source")
        problems = CounterMetricFamily(
            "musterd_source_problems", "Records and keys rejected so far.", labels=["source"]
        )
        left_out = _family(
            "musterd_source_left_out", "Records and keys currently rejected.", "source"
        )
        for source in self._state.catalog.source_reports():
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
        if name in _GAUGES:
            single.append(GaugeMetricFamily(*_GAUGES[name], value=value))
        elif group in _GROUPS:
            family, about, label = _GROUPS[group]
            if family not in groups:
                groups[family] = CounterMetricFamily(family, about, labels=[label])
            groups[family].add_metric([word], value)
        else:
            about = f"Counter {name} of the core."
            single.append(CounterMetricFamily(f"musterd_dns_{name}", about, value=value))
    return [*groups.values(), *single]


def _registry(applied: Applied) -> Iterator[Metric]:
    yield _gauge(
        "musterd_store_revision", "Revision of the store that is being answered.", {},
        applied.revision,
    )  # fmt: skip
    yield _gauge(
        "musterd_store_lag_seconds", "Replication lag between the store and the answers.",
        {}, applied.lag,
    )  # fmt: skip


def _snapshots(snapshots: SnapshotFiles) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "musterd_snapshots_bad", "Corrupt files in the state directory that were ignored.",
        value=snapshots.bad_total,
    )  # fmt: skip
    yield CounterMetricFamily(
        "musterd_snapshots_failed", "Failed writes to the state directory.",
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


def app(state: ServerState) -> Starlette:
    """Create the HTTP application."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MusterdCollector(state))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": kind})

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        ready, report = state.readiness()
        return JSONResponse(report, status_code=200 if ready else 503)

    routes = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
    return Starlette(routes=[Route(path, answer) for path, answer in routes.items()])


class MetricsService(HttpService):
    """Serves the metrics of a server."""

    def __init__(self, state: ServerState) -> None:
        """Create the service; nothing is opened yet."""
        super().__init__(state.files)
        self._state = state

    def endpoint(self, settings: Settings) -> HttpEndpoint | None:
        """Return where the metrics are served, or None for nowhere."""
        listen = settings.metrics.listen
        return HttpEndpoint("metrics", listen, LIMITS) if listen else None

    def committed(self, settings: Settings, address: str) -> None:
        """Publish the address."""
        self._state.metrics_address = address

    async def application(self) -> Starlette:
        """Return the HTTP application."""
        return app(self._state)
