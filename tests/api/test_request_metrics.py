"""Metrics of requests have few labels, whatever clients send."""

import asyncio
import http.client
from collections import Counter
from time import perf_counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from musterd.api.app import _routes
from musterd.api.request_metrics import BOUNDS, OTHER, RequestMetrics, RouteTemplates
from tests.api.kit import ApiKit
from tests.servers import ServerFixture, ServerProcess

RECORD = "/v1/records/{zone}/{owner}/{type}/{id}"
RRSET = "/v1/records/{zone}/{owner}/{type}"
BODY = {"data": "10.0.0.1"}


@pytest.mark.parametrize("fast", [True, False])
async def test_both_paths_count_the_same(api: ApiKit, fast: bool) -> None:
    api.fast = fast
    one = "/records/lab.internal/web/A/one"
    await api.call("PUT", one, BODY)
    await api.call("PUT", one, BODY)
    await api.call("GET", one)
    await api.call("POST", "/records/lab.internal/web/A", BODY)
    await api.call("PUT", one, {"data": "nonsense"})
    await api.call("DELETE", one)
    await api.call("DELETE", one)
    await api.call("GET", "/records/lab.internal")
    assert api.context.requests.counts == Counter({
        ("PUT", RECORD, 201): 1, ("PUT", RECORD, 200): 1, ("GET", RECORD, 200): 1,
        ("POST", RRSET, 201): 1, ("PUT", RECORD, 422): 1, ("DELETE", RECORD, 204): 1,
        ("DELETE", RECORD, 404): 1, ("GET", "/v1/records/{zone}", 200): 1,
    })  # fmt: skip


async def test_rejected_requests_are_counted_by_route(api: ApiKit) -> None:
    one = "/records/lab.internal/web/A/one"
    await api.call("PUT", one, BODY, token="")
    await api.call("PUT", one, BODY, token="x" * 40)
    await api.call("PUT", one, BODY, token=await api.token("read"))
    await api.call("PATCH", one, BODY)
    await api.call("GET", f"{one}?unknown=1")
    await api.call("POST", "/zones/lab.internal/import", content=b"x")
    api.rate_limit = 1
    for _ in range(3):
        await api.call("GET", "/status")
    counts = api.context.requests.counts
    limited = counts.pop(("GET", "/v1/status", 429))
    assert limited + counts.pop(("GET", "/v1/status", 200), 0) == 3
    assert counts == Counter({
        ("PUT", RECORD, 401): 2, ("PUT", RECORD, 403): 1, ("PATCH", RECORD, 405): 1,
        ("GET", RECORD, 422): 1, ("POST", "/v1/zones/{zone}/import", 422): 1,
    })  # fmt: skip


async def test_unknown_paths_and_methods_share_a_label(api: ApiKit) -> None:
    for number in range(50):
        await api.call("GET", f"/nonsense{number}")
        await api.call(f"M{number}", f"/records/lab.internal/n{number}/A/one", token="")
    await api.call("GET", "/records//web/A/one")
    await api.call("GET", "/records/lab.internal/web/A/one/more/" + "x/" * 1000)
    await api.call("GET", "/records/%ff/web/A/one")
    counts = api.context.requests.counts
    assert {route for _, route, _ in counts} <= {OTHER, RECORD}
    assert counts["GET", OTHER, 404] == 52
    assert counts[OTHER, RECORD, 401] == 50
    assert len(api.context.requests.durations) == 3


async def test_failure_of_the_server_is_counted(api: ApiKit) -> None:
    api.gate._app = None  # type: ignore[assignment]
    api.fast = False
    await api.call("GET", "/records/lab.internal/web/A/one")
    assert api.context.requests.counts == Counter({("GET", RECORD, 500): 1})


def test_every_route_has_its_template() -> None:
    templates = RouteTemplates(route.path for route in _routes())
    for route in _routes():
        path = route.path.replace("{", "a").replace("}", "b")
        assert templates.find(path) == route.path
        assert templates.find(route.path) == route.path
        for other in (f"{path}/", f"{path}//x", f"x{path}", path[1:], path.upper(), ""):
            assert templates.find(other) in {OTHER, "/v1/records/{zone}/{owner}/{type}/{id}"} - {
                route.path
            }


def test_duration_is_counted_by_method_and_route() -> None:
    requests = RequestMetrics()
    for seconds in (0.0001, 0.02, 100):
        requests.add("GET", "/v1/status", 200, seconds)
    requests.add("BREW", "/v1/status", 405, 1)
    assert requests.durations["GET", "/v1/status"].counts == [1, 0, 0, 0, 1, *[0] * 8, 1]
    assert sum(requests.durations[OTHER, "/v1/status"].counts) == 1
    assert len(BOUNDS) == 13


async def samples(server: ServerProcess) -> dict[tuple[str, ...], float]:
    """Return the samples about requests by their name and labels."""

    def get() -> str:
        connection = http.client.HTTPConnection(server.metrics)
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()

    return {
        (sample.name, *(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(await asyncio.to_thread(get))
        for sample in family.samples
        if sample.name.startswith("musterd_api_")
    }


async def test_metrics_of_a_server(fixture: ServerFixture) -> None:
    fixture.set(('[metrics]\nlisten = ""', '[metrics]\nlisten = "127.0.0.1:0"'))
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client:
            for _ in range(3):
                await client.put("/records/lab.internal/web/A/one", json=BODY)
            start = perf_counter()
            stream = await client.send(client.build_request("GET", "/watch"), stream=True)
            opened = perf_counter() - start
            # The stream stays open for longer than it took to open.
            await asyncio.sleep(opened + 0.1)
            await stream.aclose()
        watched = "musterd_api_requests_total", "GET", "/v1/watch", "200"
        while watched not in (found := await samples(server)):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
    assert found["musterd_api_requests_total", "PUT", RECORD, "201"] == 1
    assert found["musterd_api_requests_total", "PUT", RECORD, "200"] == 2
    duration = "musterd_api_request_duration_seconds"
    assert found[f"{duration}_count", "PUT", RECORD] == 3
    assert found[f"{duration}_bucket", "PUT", RECORD, "+Inf"] == 3
    assert 0 < found[f"{duration}_sum", "PUT", RECORD] < 30
    # Until the stream starts, not until it ends.
    assert found[f"{duration}_sum", "GET", "/v1/watch"] <= opened
