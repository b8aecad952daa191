"""History of records, from the change log of the store."""

from contextlib import suppress
from typing import Any, NamedTuple

from pydantic_core import from_json

from musterd.kv import Entry, Event, EventBatch, EventKind, Store
from musterd.registry.keys import DELETED
from musterd.registry.record import decode, show, who


class RecordHistory(NamedTuple):
    """Changes, newest first. before: the revision below which older changes are, if any."""

    entries: list[dict[str, Any]]
    before: int | None


async def changes(store: Store, prefix: bytes, before: int | None, limit: int) -> RecordHistory:
    """Return the last changes below a revision of records whose keys have a prefix.

    A revision is never split, so there may be more than ``limit``.
    """
    past = await store.history(prefix, before=before, limit=limit)
    entries = [entry for batch in past.batches for entry in _of_batch(batch, prefix)]
    last = past.batches[-1].revision if past.batches else None
    return RecordHistory(entries, last if past.more else None)


def _of_batch(batch: EventBatch, prefix: bytes) -> list[dict[str, Any]]:
    deleter = _deleter(batch)
    return [_entry(batch, event, deleter) for event in batch.events if event.key.startswith(prefix)]


def _deleter(batch: EventBatch) -> str:
    """Return who made the deletions of a transaction; empty if nobody did."""
    for event in batch.events:
        if event.key == DELETED and event.entry is not None:
            return str(from_json(event.entry.value).get("by", ""))
    return ""


def _time(batch: EventBatch) -> float | None:
    """Return the time of a transaction from its values, for stores that keep no times."""
    found: list[float] = []
    for entry in (event.entry for event in batch.events if event.entry is not None):
        with suppress(ValueError, TypeError, KeyError):
            value = from_json(entry.value)
            found.append(float(value["modified" if entry.key != DELETED else "time"]))
    return max(found, default=None)


def _entry(batch: EventBatch, event: Event, deleter: str) -> dict[str, Any]:
    if event.entry is None:
        action = "expired" if event.kind is EventKind.EXPIRED else "deleted"
        by = "" if event.kind is EventKind.EXPIRED else deleter
    else:
        action = "changed" if event.previous is not None else "created"
        by = _who(event.entry)
    return {
        "revision": batch.revision,
        "time": batch.time or _time(batch),
        "who": by,
        "action": action,
        "record": _shown(event.entry),
        "before": _shown(event.previous),
    }


def _who(entry: Entry) -> str:
    try:
        return who(decode(entry.value))
    except ValueError:
        return ""


def _shown(entry: Entry | None) -> dict[str, Any] | None:
    try:
        return None if entry is None else show(entry)
    except ValueError:
        return None
