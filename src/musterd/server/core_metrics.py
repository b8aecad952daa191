"""Metrics of the core: queries, responses and connections."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from musterd._core import DURATION_BOUNDS, ZONE_RCODES, Core
from musterd.histogram import Histogram
from musterd.rr.names import name_to_text
from musterd.server.exposition import MetricSamples, label

_LABELED: Final = {
    "queries": (
        "musterd_dns_queries",
        "transport",
        "DNS messages received, by transport, including invalid and ignored ones.",
    ),
    "type": (
        "musterd_dns_queries_by_type",
        "type",
        "Valid DNS queries of permitted clients, by the record type asked for.",
    ),
    "rcode": ("musterd_dns_responses", "rcode", "DNS responses that were sent, by response code."),
}
"""First word of the name of a counter -> metric, label, help text."""
_PLAIN: Final = {
    "nodata": "DNS answers without records, because the name has only records of other types.",
    "truncated": "DNS responses with the TC bit, which tells the client to retry over TCP.",
    "dropped_packets": "Packets ignored because they are too short or are DNS responses.",
    "rate_dropped": "DNS responses not sent because of the rate limit.",
    "rate_slipped": "DNS responses replaced by an empty truncated one because of the rate limit.",
    "denied": "DNS queries refused because the client is not in the access list.",
    "cookies_good": "DNS queries with a valid server cookie.",
    "cookies_bad": "DNS queries with a server cookie that is forged, expired or malformed.",
    "proxy_bad": "UDP packets and TCP connections of a proxy without a valid PROXY header.",
    "udp_batches": "Batches of UDP packets, each read with one system call.",
    "udp_send_errors": "DNS responses over UDP that the kernel could not send.",
    "tcp_opened": "TCP connections accepted.",
    "tcp_closed": "TCP connections closed for any reason.",
    "tcp_evicted": "TCP connections closed to make room for new ones.",
    "tcp_idle_closed": "TCP connections closed because they were idle for too long.",
}
"""Name of a counter -> help text."""
_TAPPED: Final = {
    "query_log_written": "DNS queries written to the query log.",
    "dnstap_sent": "DNS queries sent to the reader of dnstap.",
    "dnstap_dropped": "DNS queries not sent to the reader of dnstap: it was too slow or missing.",
    "query_log_dropped": "DNS queries missing in the query log: writing was too slow or failed.",
}
"""Name of a total of the reports about queries -> help text."""
_CODES: Final = [label("rcode", word) for word in ZONE_RCODES]
_BOUNDS: Final = [bound / 1e9 for bound in DURATION_BOUNDS]


def core_samples(core: Core) -> Iterator[MetricSamples]:
    """Return the metrics of the core."""
    yield from _counters(core.counters())
    yield _durations(core.durations())
    totals = core.tapped()
    for name, about in _TAPPED.items():
        yield MetricSamples("counter", f"musterd_{name}", about, [("", totals[name])])
    yield _zones(core.zone_queries())


def _counters(counters: Mapping[str, int]) -> Iterator[MetricSamples]:
    labeled: dict[str, list[tuple[str, float | Histogram]]] = {group: [] for group in _LABELED}
    for name, value in sorted(counters.items()):
        group, _, word = name.partition("_")
        if name == "tcp_open":
            about = "TCP connections that are open now."
            yield MetricSamples("gauge", "musterd_dns_tcp_connections", about, [("", value)])
        elif group in _LABELED:
            labeled[group].append((label(_LABELED[group][1], word), value))
        else:
            yield MetricSamples("counter", f"musterd_dns_{name}", _PLAIN[name], [("", value)])
    for group, samples in labeled.items():
        family, _, about = _LABELED[group]
        yield MetricSamples("counter", family, about, samples)


def _durations(rows: Sequence[tuple[str, Sequence[int], int]]) -> MetricSamples:
    return MetricSamples(
        "histogram", "musterd_dns_response_duration_seconds",
        "Time from reading a DNS query to sending its response, by transport.",
        [(label("transport", name), Histogram(_BOUNDS, counts, total / 1e9))
         for name, counts, total in rows],
    )  # fmt: skip


def _zones(rows: Sequence[tuple[bytes, Sequence[int]]]) -> MetricSamples:
    return MetricSamples(
        "counter", "musterd_zone_queries",
        "DNS queries by zone and response code; no sample until the first such query.",
        ((f"{code},{zone}", count)
         for apex, counts in rows for zone in (label("zone", name_to_text(apex)),)
         for code, count in zip(_CODES, counts, strict=True) if count),
    )  # fmt: skip
