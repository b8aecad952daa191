"""Scheduling of background work."""

import pytest

from musterd.sources.etcd.fair_share import FairShare


def test_work_waits_for_the_debounce_interval() -> None:
    share = FairShare(debounce=0.5, share=0.1)
    assert not share.allow(10.0)
    assert share.delay(10.2) == pytest.approx(0.3)
    assert share.allow(10.5)
    assert not share.allow(10.6), "the next work is debounced again"


def test_long_work_is_followed_by_a_longer_rest() -> None:
    share = FairShare(debounce=0.0, share=0.1)
    assert share.allow(1.0)
    share.spent(1.0, 0.25)
    share.spent(1.25, 0.25)
    assert share.delay(1.5) == pytest.approx(4.5)
    assert not share.allow(5.9)
    assert share.allow(6.1)


def test_cancelled_work_starts_a_new_debounce() -> None:
    share = FairShare(debounce=0.5, share=0.1)
    share.delay(1.0)
    share.cancel()
    assert share.delay(2.0) == pytest.approx(0.5)
