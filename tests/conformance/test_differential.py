"""musterd answers like NSD, Knot and BIND; ``make conformance`` asks 100,000 questions."""

import pytest

from tests.conformance.differential import run
from tests.needs import needs


@needs("nsd", "knotd", "named")
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_answers_agree_with_most_peers(seed: int) -> None:
    """2,500 questions about the zones of the seed."""
    report = run(2500, seed)
    assert not report.unexplained, report.text()
    assert report.asked == 2500
