"""Strays: records that were registered under a zone which is no longer the zone of their name.

A zone that is declared below another, or no longer declared, leaves such records behind. They are
answered where their name belongs, so they are shown and deleted there. The first write to a name
moves its strays into the zone of the name.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

from musterd.kv import Compare, DeleteOp, Entry, Is, LeaseNotFound, Operation, PutOp
from musterd.registry.errors import Mismatch
from musterd.registry.keys import DELETED, RecordKey
from musterd.registry.preconditions import ANY, Preconditions
from musterd.registry.record import ID_BYTES, show
from musterd.registry.registry import RegisteredRRset, Registry, tombstone

AT_ONCE: Final = 15
"""Records moved in one transaction, which has room for the largest."""
_MAX_TRIES: Final = 16
"""Maximum attempts to move records while others write them."""


async def adopt(
    registry: Registry,
    strays: Sequence[RecordKey],
    key: RecordKey,
    who: str,
    expect: Preconditions,
) -> Preconditions:
    """Move the strays of an owner name into the zone of a key.

    The key names the record that will be written, or an RRset if its id is empty. Preconditions
    are checked before the move. Return those for the write itself, with the tags after the move.
    Raises Mismatch, StoreError.
    """
    if expect:
        before = await _found(registry, key, strays)
        expect.check(f"{key.owner} {key.rtype} in zone {key.zone}", _tags(key, before))
    revision = 0
    for at in range(0, len(strays), AT_ONCE):
        revision = await _move(registry, strays[at : at + AT_ONCE], key, who)
    await registry.applied.reached(revision)
    if expect.match is None:
        return expect
    after = await _found(registry, key, ())
    if after.revision > max(revision, before.revision):
        raise Mismatch(f"{key.owner} {key.rtype} was written meanwhile: read it again",
                       after.revision)  # fmt: skip
    return Preconditions(frozenset(_tags(key, after)[:1]) or ANY, expect.none)


async def entries(registry: Registry, strays: Sequence[RecordKey]) -> list[Entry]:
    """Return the entries of strays that still exist."""
    found = [await registry.store.get(stray.raw) for stray in strays]
    return [entry for entry in found if entry is not None]


async def shown(
    registry: Registry, strays: Sequence[RecordKey], keep: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Return the API form of the strays that still exist and that ``keep`` is for."""
    return [record for entry in await entries(registry, strays) if keep(record := show(entry))]


async def _move(registry: Registry, strays: Sequence[RecordKey], key: RecordKey, who: str) -> int:
    """Move strays in one transaction; return its revision, or 0 if none is left."""
    for _ in range(_MAX_TRIES):
        compares: list[Compare] = []
        steps: dict[bytes, Operation] = {}
        for stray in strays:
            entry = await registry.store.get(stray.raw)
            if entry is None:
                continue
            compares.append(Compare(entry.key, Is.MODIFIED_AT, entry.mod_revision))
            new = key._replace(rtype=stray.rtype, id=stray.id).raw
            if new in steps or await registry.store.get(new) is not None:
                # The id is taken, so the record gets an id that depends on its whole content.
                name = blake2b(entry.key + entry.value, digest_size=ID_BYTES).hexdigest()
                new = key._replace(rtype=stray.rtype, id=name).raw
            compares.append(Compare(new, Is.ABSENT))
            steps[new] = PutOp(new, entry.value, entry.lease)
            steps[entry.key] = DeleteOp(entry.key)
        if not steps:
            return 0
        deleted = PutOp(DELETED, tombstone(who, registry.now()))
        try:
            done = await registry.store.transaction(compares, [*steps.values(), deleted])
        except LeaseNotFound:
            # The record goes with its lease.
            continue
        if done.succeeded:
            return done.revision
    raise Mismatch(f"{key.owner} in zone {key.zone}: too many concurrent writes: try again", 0)


async def _found(
    registry: Registry, key: RecordKey, strays: Sequence[RecordKey]
) -> RegisteredRRset:
    """Return the entries of a key, with the strays of the same type and id."""
    same = [stray for stray in strays if stray.rtype == key.rtype]
    if key.id:
        entry = await registry.store.get(key.raw)
        found = [] if entry is None else [entry]
        same = [] if entry is not None else [stray for stray in same if stray.id == key.id]
    else:
        found = list((await registry.rrset(*key[:3])).entries)
    found += await entries(registry, same)
    revision = max((entry.mod_revision for entry in found), default=0)
    return RegisteredRRset(tuple(found), revision, revision)


def _tags(key: RecordKey, found: RegisteredRRset) -> tuple[str, ...]:
    """Return the entity tags of a record or an RRset."""
    return found.tags[1:] if key.id else found.tags
