"""Metrics of the core, after queries over the network."""

import socket
import struct
import time
from collections.abc import Callable, Iterator

import dns.message
import dns.query
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from musterd._core import STATE_LOADING, Core
from musterd.histogram import Histogram
from musterd.server.core_metrics import core_samples
from musterd.server.exposition import write
from tests.dnskit import core_with_zone, listening, load, make_query, new_core, wire
from tests.servers import host_and_port

DURATION = "musterd_dns_response_duration_seconds"


class ServedCore:
    """A core that listens on loopback."""

    def __init__(self, core: Core, address: str) -> None:
        """Create the test's view of a core."""
        self.core = core
        self.host, self.port = host_and_port(address)

    def udp(self, name: str, rtype: str = "A") -> dns.message.Message:
        """Query over UDP."""
        return dns.query.udp(make_query(name, rtype), self.host, port=self.port, timeout=30)

    def tcp(self, name: str, rtype: str = "A") -> dns.message.Message:
        """Query over TCP."""
        return dns.query.tcp(make_query(name, rtype), self.host, port=self.port, timeout=30)

    async def families(self) -> dict[str, Metric]:
        """Return the metrics by name."""
        text = (await write(core_samples(self.core), open_metrics=False)).decode()
        return {family.name: family for family in text_string_to_metric_families(text)}

    async def samples(self, name: str, suffix: str = "") -> dict[tuple[str, ...], float]:
        """Return the samples of a metric by the values of their labels."""
        return {
            tuple(sample.labels.values()): sample.value
            for sample in (await self.families())[name].samples
            if sample.name == name + suffix
        }

    def durations(self, transport: str) -> tuple[int, float]:
        """Return number and sum of the durations."""
        found = {name: (sum(counts), total / 1e9) for name, counts, total in self.core.durations()}
        return found[transport]


@pytest.fixture
def served() -> Iterator[ServedCore]:
    core = core_with_zone("a A 10.0.0.1\nb TXT x")
    with listening(core) as (address,):
        yield ServedCore(core, address)


def wait(condition: Callable[[], bool]) -> None:
    """Wait for a worker, which counts a reply after sending it."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


async def test_each_reply_has_a_duration(served: ServedCore) -> None:
    begin = time.monotonic()
    for _ in range(5):
        served.udp("a")
    for _ in range(3):
        served.tcp("missing")
    wait(lambda: served.durations("udp")[0] == 5)
    wait(lambda: served.durations("tcp")[0] == 3)
    elapsed = time.monotonic() - begin
    assert await served.samples(DURATION, "_count") == {("tcp",): 3, ("udp",): 5}
    sums = await served.samples(DURATION, "_sum")
    assert sums.keys() == {("tcp",), ("udp",)}
    assert all(0 < total < elapsed for total in sums.values())


async def test_buckets_are_cumulative(served: ServedCore) -> None:
    served.udp("a")
    wait(lambda: served.durations("udp")[0] == 1)
    buckets = {
        float(bound): value
        for (transport, bound), value in (await served.samples(DURATION, "_bucket")).items()
        if transport == "udp"
    }
    assert (min(buckets), sorted(buckets)[-2:]) == (1e-6, [1, float("inf")])
    values = [value for _, value in sorted(buckets.items())]
    assert values == sorted(values)
    assert values[-1] == 1


async def test_packet_without_reply_has_no_duration(served: ServedCore) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(make_query("a").to_wire()[:5], (served.host, served.port))
    wait(lambda: served.core.counters()["dropped_packets"] == 1)
    served.udp("a")
    wait(lambda: served.durations("udp")[0] > 0)
    assert served.durations("udp")[0] == 1


def test_answers_in_process_have_no_duration(served: ServedCore) -> None:
    assert served.core.answer(make_query("a").to_wire(), "127.0.0.1", tcp=False)
    assert served.durations("udp") == (0, 0)


def test_pipelined_queries_are_counted_once_each(served: ServedCore) -> None:
    wire = make_query("a").to_wire()
    message = struct.pack("!H", len(wire)) + wire
    with socket.create_connection((served.host, served.port), 30) as sock:
        sock.sendall(message * 500 + message[:7])
        wait(lambda: served.durations("tcp")[0] == 500)
        sock.sendall(message[7:])
        wait(lambda: served.durations("tcp")[0] == 501)


def test_delay_of_a_client_that_does_not_read_is_not_counted(served: ServedCore) -> None:
    wire = make_query("a").to_wire()
    message = struct.pack("!H", len(wire)) + wire
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(2)
        sock.connect((served.host, served.port))
        with pytest.raises(TimeoutError):
            sock.sendall(message * 1_000_000)
        assert served.durations("tcp")[0] > 1000
        assert sock.recv(100)
    (slowest,) = (counts[-1] for name, counts, _ in served.core.durations() if name == "tcp")
    assert slowest == 0


async def test_queries_are_counted_by_zone_and_response_code(served: ServedCore) -> None:
    load(served.core, "a A 10.0.0.2\nalias CNAME a.example.", "sub.example.")
    load(served.core, "a A 10.0.0.3", "loading.test.", state=STATE_LOADING)
    for name in ["a", "A", "b", "missing"]:
        served.udp(name)
    served.tcp("a")
    for name in ["a.sub", "alias.sub", "other.sub", "a.loading.test.", "b.loading.test."]:
        served.udp(name)
    for name in ["a.elsewhere.", "."]:
        served.udp(name)
    wait(lambda: sum(sum(counts) for _, counts in served.core.zone_queries()) == 10)
    assert await served.samples("musterd_zone_queries", "_total") == {
        ("noerror", "example."): 4,
        ("nxdomain", "example."): 1,
        ("noerror", "sub.example."): 2,
        ("nxdomain", "sub.example."): 1,
        ("noerror", "loading.test."): 1,
        ("servfail", "loading.test."): 1,
    }


async def test_queries_that_the_rate_limit_drops_are_counted_by_zone() -> None:
    core = core_with_zone("a A 10.0.0.1", rate_limit=1, rate_slip=0)
    query = make_query("a").to_wire()
    replies = [core.answer(query, "192.0.2.1", tcp=False) for _ in range(50)]
    assert None in replies
    assert sum(sum(counts) for _, counts in core.zone_queries()) == 50


def test_zone_that_is_declared_again_counts_from_zero(served: ServedCore) -> None:
    apex = wire("example.")
    served.udp("a")
    wait(lambda: bool(served.core.zone_queries()))
    before = served.core.counters()["rcode_noerror"]
    served.core.drop_zone(apex)
    assert served.core.zone_queries() == []
    served.udp("a")
    for _ in range(3):
        served.core.set_zone(apex)
        served.core.drop_zone(apex)
    load(served.core, "a A 10.0.0.1")
    assert served.core.zone_queries() == []
    served.udp("a")
    wait(lambda: bool(served.core.zone_queries()))
    ((name, counts),) = served.core.zone_queries()
    assert (name, sum(counts)) == (apex, 1)
    assert served.core.counters()["rcode_noerror"] == before + 1


def test_workers_started_later_count_by_zone_too(served: ServedCore) -> None:
    served.udp("a")
    for number in range(3):
        with listening(served.core, ["127.0.0.1:0"], workers=2) as (address,):
            host, port = host_and_port(address)
            dns.query.udp(make_query("a"), host, port=port, timeout=30)
            wait(lambda number=number: served.core.zone_queries()[0][1][0] == number + 2)  # type: ignore[misc]


async def test_only_queried_zones_of_many_have_samples() -> None:
    core = new_core()
    for number in range(5000):
        core.set_zone(wire(f"z{number}.test."))
    for number in (0, 4094, 4095, 4096, 4999):
        core.answer(make_query(f"a.z{number}.test.").to_wire(), "127.0.0.1", tcp=False)
    text = (await write(core_samples(core), open_metrics=False)).decode()
    lines = [line for line in text.splitlines() if line.startswith("musterd_zone_queries_total{")]
    assert sorted(lines) == [
        f'musterd_zone_queries_total{{rcode="servfail",zone="z{number}.test."}} 1'
        for number in (0, 4094, 4095, 4096, 4999)
    ]


async def test_all_counters_of_the_core_are_exported(served: ServedCore) -> None:
    samples = [
        sample
        for family in (await served.families()).values()
        for sample in family.samples
        if family.type != "histogram" and family.name.startswith("musterd_dns_")
    ]
    assert len(samples) == len(served.core.counters())


async def test_histogram_is_valid_open_metrics(served: ServedCore) -> None:
    served.udp("a")
    text = (await write(core_samples(served.core), open_metrics=True)).decode() + "# EOF\n"
    parsed = open_metrics_families(text)  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    assert families[DURATION].type == "histogram"


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.1, 0), (0.100001, 1), (1, 1), (1.5, 2), (1e9, 2)]
)
def test_duration_is_counted_in_first_bucket_that_holds_it(seconds: float, bucket: int) -> None:
    histogram = Histogram.empty([0.1, 1])
    histogram.observe(seconds)
    assert (histogram.counts.index(1), histogram.total) == (bucket, seconds)
