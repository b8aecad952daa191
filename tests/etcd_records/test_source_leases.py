"""TTLs from leases: their cache, and lookups that are denied."""

from musterd.kv import LeaseNotFound, StoreDenied
from musterd.sources.changes import Fault, Resolved
from musterd.sources.etcd.lease_ttl import KNOWN_SECONDS, MAX_TTL, MIN_TTL, WHERE, LeaseTtls

GONE, DENIED = 8, 9


class GrantedTtls:
    """Returns the granted times of leases, as etcd does."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[int] = []
        self.ttls: dict[int, int] = {1: 60, 2: 1, 3: 100_000}

    async def __call__(self, lease: int) -> int:
        self.asked.append(lease)
        if lease == DENIED and DENIED not in self.ttls:
            raise StoreDenied("may not")
        if lease not in self.ttls:
            raise LeaseNotFound(lease)
        return self.ttls[lease]


def leases() -> tuple[LeaseTtls, GrantedTtls]:
    granted = GrantedTtls()
    return LeaseTtls(granted, lambda: granted.now), granted


async def test_lease_is_looked_up_once_per_interval() -> None:
    made, granted = leases()
    assert await made.learn([1, 0, 2, 3, 1]) == []
    assert sorted(granted.asked) == [1, 2, 3]
    assert [made.ttl(lease) for lease in (0, 1, 2, 3)] == [None, 60, MIN_TTL, MAX_TTL]
    await made.learn([1, 2, 3])
    assert len(granted.asked) == 3
    # The ID of a lease that ended may be given to another.
    granted.ttls[1] = 90
    granted.now += KNOWN_SECONDS
    await made.learn([1])
    assert made.ttl(1) == 90


async def test_missing_lease_is_looked_up_again() -> None:
    made, granted = leases()
    assert await made.learn([GONE]) == []
    assert made.ttl(GONE) == MIN_TTL
    granted.ttls[GONE] = 70
    await made.learn([GONE])
    assert made.ttl(GONE) == 70


async def test_denied_lease_lookup_keeps_ttl_and_reports_once() -> None:
    made, granted = leases()
    (fault,) = await made.learn([1, DENIED])
    assert isinstance(fault, Fault)
    assert fault.where == WHERE
    assert "may not" in fault.reason
    assert (made.ttl(1), made.ttl(DENIED)) == (60, None)
    assert await made.learn([DENIED]) == []
    granted.now += KNOWN_SECONDS
    assert await made.learn([1, DENIED]) == []
    granted.ttls[DENIED] = 80
    granted.now += KNOWN_SECONDS
    assert await made.learn([DENIED]) == [Resolved(WHERE)]
    assert made.ttl(DENIED) == 80
