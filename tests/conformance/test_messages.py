"""Valid, mutated and random messages get correct replies.

``make conformance`` checks 1,000,000 messages.
"""

import pytest

from tests.conformance.parsing import check


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_every_message_gets_correct_reply(seed: int) -> None:
    """5,000 messages of the seed."""
    report = check(seed, 5000)
    assert not report.failures, report.text()
    assert sum(report.rcodes.values()) == 5000
    assert {0, 1, 3, 4, 5, -1} <= set(report.rcodes)
