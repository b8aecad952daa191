"""musterd answers from etcd as CoreDNS does; ``make conformance`` compares at length."""

from pathlib import Path

import pytest
from bench.native import built_coredns

from tests.conformance.etcd_coredns import run
from tests.needs import needs

COREDNS = built_coredns()


@needs("etcd")
@pytest.mark.slow
@pytest.mark.skipif(COREDNS is None, reason="CoreDNS is not built: make conformance")
async def test_answers_as_coredns_does() -> None:
    """All questions about some sets of keys, plain and odd ones."""
    assert isinstance(COREDNS, Path)
    report = await run(COREDNS, sets=6, seed=1)
    assert not report.unexplained, report.text()
    assert report.asked > 500
