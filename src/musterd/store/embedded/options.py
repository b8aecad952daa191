"""What may be set of an embedded store."""

from dataclasses import dataclass, field

from musterd.kv.values import Limits


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """How much of anything an embedded store takes, keeps and waits for.

    Each bounds memory or disk; the defaults suit 100,000 keys on a small machine.
    """

    limits: Limits = field(default_factory=Limits)
    history: int = 100_000
    """Changes of keys that are kept for watches to start from; the oldest go first."""
    history_age: float = 7 * 86_400.0
    """Seconds after which a change is kept no longer."""
    pending: int = 10_000
    """Writes that may wait, before StoreBusy."""
    pending_octets: int = 67_108_864
    """Octets of keys and values that may wait to be written, before StoreBusy."""
    leases: int = 200_000
    """Leases at once, before StoreBusy."""
    watches: int = 1000
    """Watches at once, before StoreBusy."""
    queue: int = 10_000
    """Events that wait in memory for a slow watch; beyond that it reads them from disk."""
    queue_octets: int = 4_194_304
    """Octets of keys and values that wait so."""
    snapshots: int = 64
    """Ranges and scans at once, before StoreBusy."""
    scan_time: float = 20.0
    """Seconds for which a scan may last: while it does, what is written can't leave the WAL."""
    check_time: float = 0.5
    """Seconds at most that the check for damage may take at opening."""
