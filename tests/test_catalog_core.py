"""The contract between catalog and core, checked on the real core and on the recording one."""

from typing import Protocol

import dns.message
import pytest

from musterd._core import Core
from musterd.catalog.outbox import Row
from musterd.rr.names import name_from_text, name_to_text
from musterd.rr.rrset import pack
from musterd.rr.types import type_text
from tests.catalogkit import RecordingCore

APEX = name_from_text("lab.internal")
HERE = name_from_text("a.lab.internal")
GOOD = pack(30, [(1, b"\x0a\0\0\x01")])


class EitherCore(Protocol):
    """A core, and whether it has an RRset."""

    core: Core | RecordingCore

    def has(self, owner: bytes, rtype: int) -> bool: ...


class Real:
    def __init__(self) -> None:
        self.core: Core | RecordingCore = Core()

    def has(self, owner: bytes, rtype: int) -> bool:
        query = dns.message.make_query(name_to_text(owner), type_text(rtype), flags=0)
        assert isinstance(self.core, Core)
        reply = dns.message.from_wire(self.core.answer(query.to_wire()) or b"")
        return any(rrset.rdtype == rtype for rrset in reply.answer)


class Recording:
    def __init__(self) -> None:
        self.core: Core | RecordingCore = RecordingCore()

    def has(self, owner: bytes, rtype: int) -> bool:
        assert isinstance(self.core, RecordingCore)
        return any((owner, rtype) in zone for zone in self.core.rrsets.values())


@pytest.fixture(params=[Real, Recording])
def either(request: pytest.FixtureRequest) -> EitherCore:
    made: EitherCore = request.param()
    made.core.set_zone(APEX)
    made.core.set_state(APEX, 0)
    return made


def test_core_answers_put_and_deleted_records(either: EitherCore) -> None:
    assert either.core.apply([(APEX, HERE, 1, GOOD)]) == []
    assert either.has(HERE, 1)
    assert either.core.apply([(APEX, HERE, 1, None), (APEX, HERE, 28, None)]) == []
    assert not either.has(HERE, 1)


def test_core_ignores_case(either: EitherCore) -> None:
    assert either.core.apply([(APEX.upper(), HERE.upper(), 1, GOOD)]) == []
    assert either.has(HERE, 1)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((name_from_text("other"), name_from_text("a.other"), 1, GOOD), "unknown zone"),
        ((APEX, name_from_text("a.other"), 1, GOOD), "outside the zone"),
        ((APEX, b"\x01a", 1, GOOD), "wire"),
        ((APEX, HERE, 1, b""), "RRset"),
        ((APEX, HERE, 1, GOOD[:-1]), ""),
        ((APEX, HERE, 1, pack(30, [(1, b"\x0a\0\0")])), ""),
        ((APEX, HERE, 1, pack(30, [])), ""),
        ((APEX, HERE, 1, GOOD[:12] + b"\xff" + GOOD[13:]), "policy 255"),
        ((APEX, HERE, 5, pack(30, [(1, b"\x01b\0"), (1, b"\x01c\0")])), "2 records, expected one"),
    ],
)
def test_refused_rrset_does_not_affect_others(either: EitherCore, row: Row, why: str) -> None:
    beside = name_from_text("b.lab.internal")
    ((index, reason),) = either.core.apply([(APEX, HERE, 16, None), row, (APEX, beside, 1, GOOD)])
    assert index == 1
    assert why in reason
    assert either.has(beside, 1)
    assert not either.has(row[1], row[2]) if row[1] == HERE else True


def test_zones_are_added_and_removed(either: EitherCore) -> None:
    either.core.apply([(APEX, HERE, 1, GOOD)])
    either.core.set_zone(APEX)
    assert either.has(HERE, 1), "a zone that is known stays as it is"
    either.core.drop_zone(APEX)
    assert either.core.apply([(APEX, HERE, 1, GOOD)])
    with pytest.raises(KeyError):
        either.core.set_state(APEX, 0)
    either.core.drop_zone(APEX)
    either.core.set_zone(APEX)
    assert not either.has(HERE, 1)
