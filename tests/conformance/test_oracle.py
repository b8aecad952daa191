"""The oracle of the message tests is right: NSD answers as it says."""

import asyncio
import dataclasses
import random
from pathlib import Path

import dns.name
import pytest
from dns.rdatatype import ANY, AXFR, IXFR

from tests.conformance import compare, peers, zones
from tests.conformance.oracle import Oracle
from tests.conformance.questions import Asker
from tests.conformance.transport import tcp_many
from tests.needs import needs

NO_LIMIT = 100
"""CNAMEs that NSD follows, at least."""


@needs("nsd")
@pytest.mark.slow
def test_the_oracle_answers_as_nsd_does(tmp_path: Path) -> None:
    """1,500 questions of class IN."""
    family = zones.family(4)
    apexes = frozenset(dns.name.from_text(zone.origin).to_digestable() for zone in family)
    asked = [
        dataclasses.replace(question, edns=None)
        for question in Asker(family, random.Random(4)).questions(1500)
        if question.rclass == 1 and question.rtype not in {ANY, AXFR, IXFR}
    ]
    with peers.running(peers.NSD, family, tmp_path) as address:
        replies = asyncio.run(tcp_many(address, [question.wire() for question in asked]))
    oracle = Oracle(family)
    for question, reply in zip(asked, replies, strict=True):
        got = compare.view(reply, apexes)
        assert got is not None, str(question)
        expected = oracle.ask(question.labels, question.rtype, NO_LIMIT)
        fields = ("rcode", "aa", "answer", "soa", "referral")
        wrong = [name for name in fields if getattr(got, name) != getattr(expected, name)]
        assert wrong == [], str(question)
