"""History of records, from the change log of the store."""

from collections.abc import Iterator, Sequence
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


async def changes(
    store: Store, prefixes: Sequence[bytes], before: int | None, limit: int
) -> RecordHistory:
    """Return the last changes below a revision of records whose keys have one of some prefixes.

    A prefix is a whole key, or ends in "/". A revision is never split, so there may be more than
    ``limit``.
    """
    pasts = [await store.history(each, before=before, limit=limit) for each in prefixes]
    # Changes before this revision may be missing from one of them.
    whole = max((past.batches[-1].revision for past in pasts if past.more), default=0)
    found: dict[int, dict[bytes, dict[str, Any]]] = {}
    for batch in (batch for past in pasts for batch in past.batches):
        if batch.revision >= whole:
            found.setdefault(batch.revision, {}).update(_of_batch(batch, prefixes))
    entries = [
        entry for revision in sorted(found, reverse=True) for entry in found[revision].values()
    ]
    return RecordHistory(entries, whole or None)


def _of_batch(
    batch: EventBatch, prefixes: Sequence[bytes]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    deleter = _deleter(batch)
    for event in batch.events:
        if any(_has(event.key, prefix) for prefix in prefixes):
            yield event.key, _entry(batch, event, deleter)


def _has(key: bytes, prefix: bytes) -> bool:
    return key.startswith(prefix) if prefix.endswith(b"/") else key == prefix


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
