"""A writer puts ever higher numbers through one server's API and records each write."""

import asyncio
import re
from typing import Any, Final, NamedTuple

import httpx

from tests.cluster.invariants import Outcome, Value, Write
from tests.cluster.server import ZONE, ClusterServer

PAUSE: Final = 0.01
"""Seconds between two writes."""
REQUEST_SECONDS: Final = 5.0
"""Timeout of the server for a request to etcd."""
PATIENCE: Final = 3 * REQUEST_SECONDS
"""Timeout of the client, seconds: a write reads first."""
CLEAR: Final = re.compile("etcd at|the store can't be|the server is shutting down")
"""Causes, one of which every refusal names."""
UNSURE: Final = "may have happened"
"""Text of a response to an uncertain write."""
RRSET: Final = 3
"""Records of an RRset that is replaced in one request."""

_Body = dict[str, Any] | None


class Request(NamedTuple):
    """An API request that gives a name a value."""

    method: str
    path: str
    body: _Body
    value: Value


def address(number: int, place: int = 0) -> str:
    """Return an IPv4 address that encodes a number."""
    return f"10.{place}.{number >> 8 & 255}.{number & 255}"


def change_record(name: str, number: int) -> Request:
    """Change one record."""
    data = address(number)
    return Request("PUT", f"{name}/A/x", {"data": data}, Value([data]))


def replace_rrset(name: str, number: int) -> Request:
    """Replace all records of an RRset."""
    data = [address(number, place) for place in range(1, RRSET + 1)]
    return Request("PUT", f"{name}/A", {"records": [{"data": each} for each in data]}, Value(data))


def toggle_rrset(name: str, number: int) -> Request:
    """Create or remove an RRset, in turn."""
    if number % 2:
        data = address(number)
        return Request("PUT", f"{name}/A", {"records": [{"data": data}]}, Value([data]))
    return Request("DELETE", f"{name}/A", None, Value())


KINDS: Final = {"one": change_record, "several": replace_rrset, "gone": toggle_rrset}


def names_of(server: str) -> list[str]:
    """Return the names that the writer of a server writes."""
    return [f"{kind}-{server}" for kind in KINDS]


class ServerWriter:
    """Writes through one server while it runs."""

    def __init__(self, server: ClusterServer) -> None:
        self.server = server
        self.names = names_of(server.name)
        self.writes: list[Write] = []
        self.wrong: list[str] = []
        """Invalid responses."""
        self._number = 0
        self._stopped = False

    def stop(self) -> None:
        """Make ``run`` end after the current write."""
        self._stopped = True

    async def run(self) -> None:
        """Write until stopped."""
        self._stopped = False
        while not self._stopped:
            if self.server.dns is None:
                await asyncio.sleep(PAUSE)
                continue
            run = self.server.runs
            async with self.server.client(PATIENCE) as client:
                while self.server.dns is not None and self.server.runs == run and not self._stopped:
                    self._number += 1
                    for kind, name in zip(KINDS.values(), self.names, strict=True):
                        await self._write(client, run, name, kind(name, self._number))
                        await asyncio.sleep(PAUSE)

    def done(self, since: float = 0.0) -> int:
        """Return the number of acknowledged writes that began after a time."""
        return sum(w.outcome is Outcome.DONE and w.begun >= since for w in self.writes)

    async def _write(self, client: httpx.AsyncClient, run: int, name: str, asked: Request) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome, revision, reason = Outcome.UNSURE, None, "cancelled"
        try:
            path = f"/records/{ZONE}/{asked.path}"
            answer = await client.request(asked.method, path, json=asked.body)
            outcome, revision, reason = self._judge(answer)
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, httpx.ConnectError):
                outcome = Outcome.REFUSED
            if self.server.dns is not None and self.server.runs == run:
                self._fault(f"{name}: no answer after {loop.time() - begun:.1f} s: {reason}")
        finally:
            self.writes.append(
                Write(
                    self.server.name,
                    name,
                    asked.value,
                    begun,
                    loop.time(),
                    outcome,
                    revision,
                    reason,
                )
            )

    def _judge(self, answer: httpx.Response) -> tuple[Outcome, int | None, str]:
        if answer.status_code == httpx.codes.NO_CONTENT:
            return Outcome.DONE, None, "204"
        if "json" not in answer.headers.get("content-type", ""):
            self._fault(f"{answer.status_code} without a problem document: {answer.text}")
            return Outcome.UNSURE, None, answer.text
        reason = answer.json()
        if answer.is_success:
            return Outcome.DONE, reason["revision"], str(answer.status_code)
        text = f"{answer.status_code} {reason.get('detail')}"
        match answer.status_code:
            case httpx.codes.NOT_FOUND if reason["type"] == "urn:musterd:problem:not-registered":
                # The record to delete is absent: the write before it didn't happen.
                return Outcome.DONE, None, text
            case httpx.codes.SERVICE_UNAVAILABLE:
                self._judge_refusal(answer, reason)
                return Outcome.UNSURE if UNSURE in text else Outcome.REFUSED, None, text
        self._fault(f"unexpected: {text}")
        return Outcome.UNSURE, None, text

    def _judge_refusal(self, answer: httpx.Response, reason: dict[str, Any]) -> None:
        """Check that a refusal names the cause and has Retry-After."""
        detail = str(reason.get("detail", ""))
        if not CLEAR.search(detail) or "retry-after" not in answer.headers:
            self._fault(f"unclear: {answer.headers} {reason}")

    def _fault(self, text: str) -> None:
        self.wrong.append(f"{self.server.name} API: {text}")
