"""Options of the embedded store."""

from dataclasses import dataclass, field

from musterd.kv.values import Limits


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """Limits of an embedded store.

    Each bounds memory, disk or time; the defaults suit 100,000 keys on a small machine.
    """

    limits: Limits = field(default_factory=Limits)
    history: int = 100_000
    """Changes of keys kept for watches and history; the oldest are removed first."""
    history_age: float = 7 * 86_400.0
    """Seconds after which a change is removed."""
    pending: int = 10_000
    """Pending writes before StoreBusy."""
    pending_bytes: int = 67_108_864
    """Bytes of keys and values in pending writes before StoreBusy."""
    leases: int = 200_000
    """Leases at once before StoreBusy."""
    watches: int = 1000
    """Watches at once before StoreBusy."""
    queue: int = 10_000
    """Events queued in memory for a slow watch; beyond that it reads them from disk."""
    queue_bytes: int = 4_194_304
    """Bytes of keys and values queued in memory for a slow watch."""
    snapshots: int = 64
    """Ranges and scans at once before StoreBusy."""
    busy: float = 2.0
    """Seconds that a write waits for another program's lock, such as the sqlite3 shell's."""
    scan_time: float = 20.0
    """Longest duration of a scan, seconds: the WAL can't be checkpointed meanwhile."""
