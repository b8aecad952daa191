"""The harness finds the faults that it exists for."""

import dataclasses
import random
import struct
from collections.abc import Callable

import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from tests.conformance import compare, zones
from tests.conformance.compare import View
from tests.conformance.messages import Messages
from tests.conformance.properties import Checker
from tests.conformance.questions import Asker, Edns, Question
from tests.dnskit import core_with_zone

ORIGIN = "example."
TEXT = """
@ 60 IN SOA ns h 1 1 1 1 1
www 60 IN A 192.0.2.1
www 60 IN A 192.0.2.2
"""
WWW = Question((b"www", b"example"), 1, edns=Edns())
APEXES = frozenset({dns.name.from_text(ORIGIN).to_digestable()})


@pytest.fixture(scope="module")
def checker() -> Checker:
    core = core_with_zone(TEXT)
    return Checker(lambda wire: core.answer(wire, tcp=True), APEXES)


def reply_to(question: Question) -> bytes:
    """Return musterd's reply."""
    reply = core_with_zone(TEXT).answer(question.wire(7))
    assert reply is not None
    return reply


def changed(change: Callable[[dns.message.Message], object]) -> bytes:
    """Return the reply to ``WWW`` with a fault."""
    message = dns.message.from_wire(reply_to(WWW))
    change(message)
    return message.to_wire()


def _change_ttl(message: dns.message.Message) -> None:
    message.answer[0].update_ttl(59)


def _remove_record(message: dns.message.Message) -> None:
    (rrset,) = message.answer
    message.answer = [dns.rrset.from_rdata(rrset.name, rrset.ttl, rrset[0])]


def _change_owner(message: dns.message.Message) -> None:
    message.answer[0].name = dns.name.from_text("w.example.")


FAULTS: dict[str, Callable[[], bytes | None]] = {
    "silence": lambda: None,
    "junk": lambda: b"junk",
    "trailing byte": lambda: reply_to(WWW) + b"\0",
    "wrong id": lambda: b"\0\0" + reply_to(WWW)[2:],
    "QR clear": lambda: reply_to(WWW)[:2] + b"\x04" + reply_to(WWW)[3:],
    "AA clear": lambda: reply_to(WWW)[:2] + b"\x80" + reply_to(WWW)[3:],
    "RD set": lambda: reply_to(WWW)[:2] + b"\x85" + reply_to(WWW)[3:],
    "RA set": lambda: reply_to(WWW)[:3] + b"\x80" + reply_to(WWW)[4:],
    "CD set": lambda: reply_to(WWW)[:3] + b"\x10" + reply_to(WWW)[4:],
    "wrong rcode": lambda: reply_to(WWW)[:3] + b"\x02" + reply_to(WWW)[4:],
    "question in wrong case": lambda: reply_to(WWW).replace(b"www", b"WWW", 1),
    "no OPT": lambda: changed(lambda message: message.use_edns(False)),
    "no answer": lambda: changed(lambda message: message.answer.clear()),
    "missing record": lambda: changed(_remove_record),
    "wrong TTL": lambda: changed(_change_ttl),
    "wrong owner": lambda: changed(_change_owner),
    "SOA beside an answer": lambda: changed(
        lambda message: message.authority.append(
            dns.rrset.from_text(ORIGIN, 1, "IN", "SOA", "ns.example. h.example. 1 1 1 1 1")
        )
    ),
}


def test_correct_reply_has_no_fault(checker: Checker) -> None:
    assert checker.check(WWW.wire(7), tcp=False, reply=reply_to(WWW)) == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_fault_is_found(checker: Checker, fault: Callable[[], bytes | None]) -> None:
    assert checker.check(WWW.wire(7), tcp=False, reply=fault()) != []


def test_too_long_reply_is_found(checker: Checker) -> None:
    """The limit is 512 bytes without EDNS."""
    question = dataclasses.replace(WWW, edns=None)
    message = dns.message.from_wire(reply_to(question))
    addresses = [f"10.0.0.{number}" for number in range(60)]
    message.answer = [dns.rrset.from_text_list("www.example.", 60, "IN", "A", addresses)]
    found = checker.check(question.wire(7), tcp=False, reply=message.to_wire())
    assert any("bytes" in text for text in found)


def test_reply_to_reply_or_short_message_is_found(checker: Checker) -> None:
    reply = reply_to(WWW)
    query = bytearray(WWW.wire(7))
    query[2] |= 0x80
    assert checker.check(bytes(query), tcp=False, reply=reply) != []
    assert checker.check(b"short", tcp=False, reply=reply) != []


def _view() -> View:
    view = compare.view(reply_to(WWW), APEXES)
    assert view is not None
    return view


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rcode", dns.rcode.NXDOMAIN),
        ("aa", False),
        ("flags", 0x100),
        ("answer", frozenset()),
        ("soa", frozenset({(b"", 6, 0, b"")})),
        ("referral", frozenset({(b"", 2, 0, b"")})),
        ("edns", None),
        ("nsid", b"x"),
        ("additional", frozenset({(b"", 1, 0, b"")})),
    ],
)
def test_every_field_is_compared(field: str, value: object) -> None:
    """musterd must agree with the majority of the peers."""
    good = _view()
    bad = dataclasses.replace(good, **{field: value})  # type: ignore[arg-type]
    agreed = {"nsd": good, "knot": good, "bind": good}
    assert compare.differences(good, agreed, 1232) == []
    assert compare.differences(bad, agreed, 1232) == [field]
    assert compare.differences(good, {**agreed, "bind": bad}, 1232) == []
    assert compare.differences(None, agreed, 1232) == ["reply"]


def test_truncation_is_compared() -> None:
    """TC must be set if and only if records are missing; a part has no other records."""
    whole = _view()
    peers = {"nsd": whole, "knot": whole}
    big = dataclasses.replace(whole, size=2000)
    part = dataclasses.replace(whole, answer=frozenset(list(whole.answer)[:1]), tc=True)
    assert compare.truncated_differences(part, peers, big, 1232) == []
    assert compare.truncated_differences(part, peers, whole, 1232) == ["tc"]
    unmarked = dataclasses.replace(part, tc=False)
    assert compare.truncated_differences(unmarked, peers, big, 1232) == ["tc"]
    strange = dataclasses.replace(part, answer=frozenset({(b"", 1, 0, b"")}))
    assert compare.truncated_differences(strange, peers, big, 1232) == ["part"]


def test_seed_determines_run() -> None:
    def run(seed: int) -> tuple[object, ...]:
        family = zones.family(seed)
        rng = random.Random(seed)
        questions = tuple(Asker(family, random.Random(seed)).questions(50))
        return family, questions, tuple(Messages(Asker(family, rng), rng).messages(50))

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_generated_names_are_valid() -> None:
    for question in Asker(zones.family(3), random.Random(3)).questions(2000):
        assert sum(len(label) + 1 for label in question.labels) <= 254
        assert struct.unpack_from("!H", question.wire(), 4) == (1,)
