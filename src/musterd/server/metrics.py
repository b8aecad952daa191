"""The HTTP endpoints for Prometheus and Kubernetes: /metrics, /healthz, /readyz."""

import asyncio
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from musterd.api.request_metrics import RequestMetrics
from musterd.catalog import SourceReport, ZoneReport
from musterd.rr.names import name_to_text
from musterd.server.connection import HttpLimits
from musterd.server.core_metrics import core_samples
from musterd.server.exposition import STEP, MetricSamples, label, write
from musterd.server.listener import HttpEndpoint, HttpService
from musterd.server.state import ServerState
from musterd.settings import Settings

LIMITS: Final = HttpLimits(max_connections=64)

ZONE_STATES: Final = ("live", "loading", "stale", "restoring")
SOURCE_STATES: Final = ("loading", "restored", "synced", "lost")

_Zones = Sequence[tuple[str, ZoneReport]]
"""The label and the report of each zone."""
_Sources = Sequence[tuple[str, SourceReport]]


async def musterd_metrics(state: ServerState, *, open_metrics: bool) -> bytes:
    """Return the metrics of a server as text, in steps between which other tasks run."""
    zones: list[tuple[str, ZoneReport]] = []
    for number, zone in enumerate(list(state.catalog.zones.values()), 1):
        zones.append((label("zone", zone.text), state.catalog.zone_report(zone)))
        if number % STEP == 0:
            await asyncio.sleep(0)
    sources = [(label("source", each.name), each) for each in state.catalog.source_reports()]
    families = chain(
        core_samples(state.core),
        _zones(zones),
        _memory(state.core.zones()),
        _sources(sources),
        _server(state),
        _api(state.api_requests),
    )
    return await write(families, open_metrics=open_metrics)


def _zones(zones: _Zones) -> Iterator[MetricSamples]:
    yield MetricSamples(
        "gauge", "musterd_zone_state", "State of a zone: 1 for the current one, 0 for the others.",
        ((f"{label('state', word)},{name}", int(zone.state == word))
         for name, zone in zones for word in ZONE_STATES),
    )  # fmt: skip
    yield MetricSamples(
        "gauge", "musterd_zone_state_since_timestamp_seconds",
        "Unix time at which the state of a zone changed last.",
        ((name, zone.since) for name, zone in zones),
    )  # fmt: skip
    yield MetricSamples(
        "gauge", "musterd_zone_serial", "Serial number in the SOA record of a zone.",
        ((name, zone.serial) for name, zone in zones),
    )  # fmt: skip
    yield MetricSamples(
        "gauge", "musterd_zone_records",
        "Records that a source has for a zone, also if another source overrides them.",
        ((f"{label('source', source)},{name}", count)
         for name, zone in zones for source, count in zone.records.items()),
    )  # fmt: skip
    yield MetricSamples(
        "counter", "musterd_zone_refused_rrsets",
        "RRsets of a zone that can't be answered, for example because they are too large.",
        ((name, zone.refused_total) for name, zone in zones),
    )  # fmt: skip


def _memory(zones: Sequence[tuple[bytes, int, int, int]]) -> Iterator[MetricSamples]:
    yield MetricSamples(
        "gauge", "musterd_zone_names", "Owner names in a zone, including empty non-terminals.",
        ((label("zone", name_to_text(apex)), names) for apex, _, names, _ in zones),
    )  # fmt: skip
    yield MetricSamples(
        "gauge", "musterd_zone_memory_bytes", "Memory that the records of a zone take in the core.",
        ((label("zone", name_to_text(apex)), size) for apex, _, _, size in zones),
    )  # fmt: skip


def _sources(sources: _Sources) -> Iterator[MetricSamples]:
    yield MetricSamples(
        "gauge", "musterd_source_state",
        "State of a source: 1 for the current one, 0 for the others.",
        ((f"{name},{label('state', word)}", int(source.state == word))
         for name, source in sources for word in SOURCE_STATES),
    )  # fmt: skip
    yield MetricSamples(
        "gauge", "musterd_source_last_sync_timestamp_seconds",
        "Unix time at which a source was last read completely.",
        ((name, source.synced) for name, source in sources if source.synced is not None),
    )  # fmt: skip
    yield MetricSamples(
        "gauge", "musterd_source_keys",
        "Keys in a source: RRsets of a zone file, keys in etcd, or registered records.",
        ((name, source.keys) for name, source in sources),
    )  # fmt: skip
    yield MetricSamples(
        "counter", "musterd_source_problems",
        "Records and keys of a source that were skipped since the start.",
        ((name, source.problems_total) for name, source in sources),
    )  # fmt: skip
    yield MetricSamples(
        "gauge", "musterd_source_left_out", "Records and keys of a source that are skipped now.",
        ((name, len(source.problems) + source.problems_forgotten) for name, source in sources),
    )  # fmt: skip


def _server(state: ServerState) -> Iterator[MetricSamples]:
    yield MetricSamples(
        "gauge", "musterd_build_info", "Version of musterd, as a label of the value 1.",
        [(label("version", _version()), 1)],
    )  # fmt: skip
    yield MetricSamples(
        "counter", "musterd_reloads", "Reloads of the settings, by result.",
        [(label("result", "ok"), state.reloads_ok),
         (label("result", "failed"), state.reloads_failed)],
    )  # fmt: skip
    if (applied := state.applied) is not None:
        yield _gauge(
            "musterd_store_revision",
            "Revision of the store up to which DNS answers include all changes.",
            applied.revision,
        )  # fmt: skip
        yield _gauge(
            "musterd_store_lag_seconds",
            "Time for which DNS answers may have differed from the store; 0 if they don't.",
            applied.lag,
        )  # fmt: skip
    if (store := state.store) is not None:
        yield _gauge(
            "musterd_store_problem",
            "Problem of the store: 1 if it is damaged or its files were changed, else 0.",
            float(store.problem is not None),
        )  # fmt: skip
    if (certificate := state.certificate) is not None:
        if certificate.validity is not None:
            yield _gauge(
                "musterd_certificate_expiry_timestamp_seconds",
                "Unix time at which the certificate of the API expires, or one of its chain.",
                certificate.validity.expires,
            )  # fmt: skip
        yield _gauge(
            "musterd_certificate_problem",
            "Problem of the certificate of the API: 1 if its files can't be used, else 0.",
            float(certificate.unusable is not None),
        )  # fmt: skip
    if (snapshots := state.snapshots) is not None:
        yield _counter(
            "musterd_snapshots_bad", "Damaged files in the state directory that were ignored.",
            snapshots.bad_total,
        )  # fmt: skip
        yield _counter(
            "musterd_snapshots_failed", "Files in the state directory that could not be written.",
            snapshots.failed_total,
        )  # fmt: skip


def _api(requests: RequestMetrics) -> Iterator[MetricSamples]:
    yield MetricSamples(
        "counter", "musterd_api_requests",
        "Requests to the API that got a response, by method, route and status.",
        [(f"{label('method', method)},{label('route', route)},status=\"{status}\"", count)
         for (method, route, status), count in requests.counts.items()],
    )  # fmt: skip
    yield MetricSamples(
        "histogram", "musterd_api_request_duration_seconds",
        "Time from the head of a request to the API to the end of its response.",
        [(f"{label('method', method)},{label('route', route)}", histogram)
         for (method, route), histogram in requests.durations.items()],
    )  # fmt: skip


def _gauge(name: str, about: str, value: float) -> MetricSamples:
    return MetricSamples("gauge", name, about, [("", value)])


def _counter(name: str, about: str, value: float) -> MetricSamples:
    return MetricSamples("counter", name, about, [("", value)])


def _version() -> str:
    try:
        return version("musterd")
    except PackageNotFoundError:
        return "unknown"


def app(state: ServerState) -> Starlette:
    """Create the HTTP application."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        own = await musterd_metrics(state, open_metrics="openmetrics" in kind)
        # OpenMetrics ends with a line that the encoder writes.
        return Response(own + encode(registry), headers={"content-type": kind})

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
        metrics = settings.metrics
        if not metrics.listen:
            return None
        return HttpEndpoint("metrics", metrics.listen, LIMITS, metrics.hosts)

    def committed(self, settings: Settings, address: str) -> None:
        """Publish the address."""
        self._state.metrics_address = address

    async def application(self) -> Starlette:
        """Return the HTTP application."""
        return app(self._state)
