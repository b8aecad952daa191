"""Writes ever higher numbers to names of its own by the API of one server, and notes each write."""

import asyncio
import re
from typing import Any, Final, NamedTuple

import httpx

from tests.cluster.invariants import Outcome, Value, Write
from tests.cluster.server import ZONE, Server

PAUSE: Final = 0.01
"""Seconds between two writes."""
REQUEST_SECONDS: Final = 5.0
"""In which the server has an answer of etcd to a request, or none."""
PATIENCE: Final = 3 * REQUEST_SECONDS
"""Seconds in which each answer must come: a write reads first. Then the client gives up."""
CLEAR: Final = re.compile("etcd at|the store can't be|the server is shutting down")
"""What every refusal names."""
UNSURE: Final = "may have happened"
"""What a refusal says that isn't one for certain."""
RRSET: Final = 3
"""Records of an RRset that is replaced at once."""

_Body = dict[str, Any] | None


class Request(NamedTuple):
    """What is asked of the API so that a name has a value."""

    method: str
    path: str
    body: _Body
    value: Value


def address(number: int, place: int = 0) -> str:
    """An IPv4 address that says a number."""
    return f"10.{place}.{number >> 8 & 255}.{number & 255}"


def one(name: str, number: int) -> Request:
    """One record, changed."""
    data = address(number)
    return Request("PUT", f"{name}/A/x", {"data": data}, Value([data]))


def several(name: str, number: int) -> Request:
    """All records of an RRset, which are others each time."""
    data = [address(number, place) for place in range(1, RRSET + 1)]
    return Request("PUT", f"{name}/A", {"records": [{"data": each} for each in data]}, Value(data))


def gone(name: str, number: int) -> Request:
    """An RRset that is removed every other time."""
    if number % 2:
        data = address(number)
        return Request("PUT", f"{name}/A", {"records": [{"data": data}]}, Value([data]))
    return Request("DELETE", f"{name}/A", None, Value())


KINDS: Final = {"one": one, "several": several, "gone": gone}


def names_of(server: str) -> list[str]:
    """The names that the writer of a server writes."""
    return [f"{kind}-{server}" for kind in KINDS]


class Writer:
    """Writes by one server, whenever it runs."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.names = names_of(server.name)
        self.writes: list[Write] = []
        self.wrong: list[str] = []
        """Answers that should never be."""
        self._number = 0
        self._stopped = False

    def stop(self) -> None:
        """Write nothing after what is under way; then ``run`` ends."""
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
        """How many writes were acknowledged that began after a time."""
        return sum(w.outcome is Outcome.DONE and w.begun >= since for w in self.writes)

    async def _write(self, client: httpx.AsyncClient, run: int, name: str, asked: Request) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome, revision, told = Outcome.UNSURE, None, "cancelled"
        try:
            path = f"/records/{ZONE}/{asked.path}"
            answer = await client.request(asked.method, path, json=asked.body)
            outcome, revision, told = self._judge(answer)
        except httpx.HTTPError as error:
            told = f"{type(error).__name__}: {error}"
            if isinstance(error, httpx.ConnectError):
                outcome = Outcome.REFUSED
            if self.server.dns is not None and self.server.runs == run:
                self._fault(f"{name}: no answer after {loop.time() - begun:.1f} s: {told}")
        finally:
            self.writes.append(
                Write(
                    self.server.name, name, asked.value, begun, loop.time(), outcome, revision, told
                )
            )

    def _judge(self, answer: httpx.Response) -> tuple[Outcome, int | None, str]:
        if answer.status_code == httpx.codes.NO_CONTENT:
            return Outcome.DONE, None, "204"
        if "json" not in answer.headers.get("content-type", ""):
            self._fault(f"{answer.status_code} without a word: {answer.text}")
            return Outcome.UNSURE, None, answer.text
        told = answer.json()
        if answer.is_success:
            return Outcome.DONE, told["revision"], str(answer.status_code)
        text = f"{answer.status_code} {told.get('detail')}"
        match answer.status_code:
            case httpx.codes.NOT_FOUND if told["type"] == "urn:musterd:problem:not-registered":
                # It was to be removed, and what would have put it there didn't happen.
                return Outcome.DONE, None, text
            case httpx.codes.SERVICE_UNAVAILABLE:
                self._judge_refusal(answer, told)
                return Outcome.UNSURE if UNSURE in text else Outcome.REFUSED, None, text
        self._fault(f"unexpected: {text}")
        return Outcome.UNSURE, None, text

    def _judge_refusal(self, answer: httpx.Response, told: dict[str, Any]) -> None:
        """A refusal says what failed, where, and when to come again."""
        detail = str(told.get("detail", ""))
        if not CLEAR.search(detail) or "retry-after" not in answer.headers:
            self._fault(f"unclear: {answer.headers} {told}")

    def _fault(self, text: str) -> None:
        self.wrong.append(f"{self.server.name} API: {text}")
