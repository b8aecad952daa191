import pytest

from musterd.backoff import Backoff


def upper(low: float, high: float) -> float:
    return high


def lower(low: float, high: float) -> float:
    return low


def test_bound_doubles_up_to_the_maximum() -> None:
    delays = Backoff(0.5, 3.0).start(upper)
    assert [delays.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_takes_off_at_most_half() -> None:
    delays = Backoff(1.0, 4.0).start(lower)
    assert [delays.next() for _ in range(4)] == [0.5, 1.0, 2.0, 2.0]


def test_reset_starts_over() -> None:
    delays = Backoff(1.0, 60.0).start(upper)
    delays.next()
    delays.next()
    delays.reset()
    assert delays.bound == 1.0
    assert delays.next() == 1.0


@pytest.mark.parametrize("first", [0.0, 0.01, 5.0])
def test_random_delays_stay_within_bounds(first: float) -> None:
    backoff = Backoff(first, 10.0)
    delays = backoff.start()
    for _ in range(20):
        bound = delays.bound
        assert bound / 2 <= delays.next() <= bound <= 10.0


def test_runs_are_independent() -> None:
    backoff = Backoff(1.0, 8.0)
    first, second = backoff.start(upper), backoff.start(upper)
    first.next()
    assert second.next() == 1.0
