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

from musterd._core import Core
from musterd.histogram import Histogram
from musterd.server.core_metrics import core_samples
from musterd.server.exposition import write
from tests.dnskit import core_with_zone, listening, make_query
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


async def test_all_counters_of_the_core_are_exported(served: ServedCore) -> None:
    samples = [
        sample
        for family in (await served.families()).values()
        for sample in family.samples
        if family.type != "histogram"
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
