"""Records: requested, stored and shown form."""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from musterd.kv import NO_LEASE, Entry
from musterd.registry import names, rdata
from musterd.registry.errors import Invalid
from musterd.registry.keys import ID, RECORDS, RecordKey, check_id, record_path
from musterd.rr.rrset import Policy

ID_BYTES: Final = 10
_KEPT: Final = ("data", "ttl", "weight", "policy", "ptr", "description", "labels", "lease_ttl")
"""User-supplied fields, excluding audit metadata."""
_LABEL: Final = "[a-z0-9_*-]{1,63}"
_PLAIN_PATH: Final = re.compile(rf"([^/]+)/({_LABEL}(?:\.{_LABEL})*|@)/([^/]+)/((?!\.\.?$){ID})")
"""Paths of keys with owner and id in key form already, which are nearly all."""
_SHORT: Final = 240
"""Maximum characters of a path with which the name can't be too long."""


class RecordSpec(NamedTuple):
    """A requested record, checked.

    wire: rdata; ttl: seconds; lease: of the store, whose granted time is lease_ttl, seconds.
    None and empty values stand for the defaults of the zone.
    """

    rtype: int
    wire: bytes
    data: str
    ttl: int | None = None
    weight: int | None = None
    policy: str | None = None
    description: str = ""
    labels: Mapping[str, str] = {}
    lease: int = NO_LEASE
    lease_ttl: int | None = None
    ptr: bool | None = None

    @property
    def id(self) -> str:
        """The default id of a record: a hash of its data."""
        form = rdata.equal_form(self.rtype, self.wire)
        return hashlib.blake2b(form, digest_size=ID_BYTES).hexdigest()

    def fields(self) -> dict[str, Any]:
        """Return the fields to store, without those that are not set."""
        found: dict[str, Any] = {"data": self.data}
        for name in _KEPT[1:]:
            value = getattr(self, name)
            if value is not None and value not in ("", {}):
                found[name] = value
        return found


def record_spec(
    rtype: int, data: str, policy: str | None = None, zone: str = "", **more: Any
) -> RecordSpec:
    """Check a record of a zone. ``more`` are fields of RecordSpec. Raises Invalid."""
    wire = rdata.parse(rtype, data, zone)
    if policy is not None:
        try:
            policy = str(Policy.parse(policy))
        except ValueError as error:
            raise Invalid(str(error)) from None
    return RecordSpec(rtype, wire, rdata.text(rtype, wire), policy=policy, **more)


def encode(wanted: RecordSpec, who: str, now: float, before: Entry | None) -> bytes:
    """Return the encoded ``new_value``."""
    return to_json(new_value(wanted, who, now, before))


def new_value(wanted: RecordSpec, who: str, now: float, before: Entry | None) -> dict[str, Any]:
    """Return the value of a record written now (epoch seconds) in place of another."""
    value = wanted.fields()
    value["registrant"], value["created"] = who, now
    if before is not None:
        old = decode(before.value)
        value["registrant"], value["created"] = old.get("registrant", who), old.get("created", now)
    value["modified"] = now
    if value["registrant"] != who:
        value["by"] = who
    return value


def decode(value: bytes) -> dict[str, Any]:
    """Decode a value. Raises ValueError if it is not a record."""
    found = from_json(value)
    if isinstance(found, dict) and isinstance(found.get("data"), str):
        return found
    raise ValueError('expected a JSON object with "data"')


def unchanged(wanted: RecordSpec, entry: Entry | None) -> bool:
    """Return whether an entry, if there is one, already equals a requested record."""
    if entry is None:
        return False
    try:
        value = decode(entry.value)
    except ValueError:
        return False
    there = {name: value[name] for name in _KEPT if name in value}
    return entry.lease == wanted.lease and there == wanted.fields()


def record_key(key: bytes) -> RecordKey:
    """Parse a key of the store. Raises ValueError unless the API can name the record.

    Other programs write to a shared store: a record under any other spelling of its name would be
    answered, but never found.
    """
    path = key[len(RECORDS) :].decode()
    plain = _PLAIN_PATH.fullmatch(path)
    if plain is not None and len(path) <= _SHORT:
        zone, _, rtype, _ = parts = plain.groups()
        if _zone_and_type(zone, rtype) == (zone, rtype):
            return RecordKey._make(parts)
    found = record_path(path)
    zone, owner, rtype, name = found
    wire = names.owner_wire(owner, zone).lower()
    owner = names.owner_text(wire, names.zone_wire(zone))
    own_zone, own_type = _zone_and_type(zone, rtype)
    check_id(name)
    if owner != found.owner or own_zone != zone or own_type != rtype:
        form = RecordKey(own_zone, owner, own_type, name)
        raise ValueError(f"a key of this record is spelled {form.path}: rename or delete it")
    return found


@lru_cache(maxsize=1024)
def _zone_and_type(zone: str, rtype: str) -> tuple[str, str]:
    """Return a zone and a type as in keys. Raises ValueError."""
    return names.zone_text(names.zone_wire(zone)), rdata.type_text(rdata.parse_type(rtype))


def show(entry: Entry) -> dict[str, Any]:
    """Return the API form of an entry. Raises ValueError if it is not a record."""
    return show_value(record_key(entry.key), decode(entry.value), entry.mod_revision, entry.lease)


def show_value(
    key: RecordKey, value: Mapping[str, Any], revision: int, lease: int
) -> dict[str, Any]:
    """Return the API form of a record from its parts."""
    modified = value.get("modified", 0.0)
    return {
        "zone": key.zone,
        "owner": key.owner,
        "type": key.rtype,
        "id": key.id,
        "data": value["data"],
        "ttl": value.get("ttl"),
        "weight": value.get("weight"),
        "policy": value.get("policy"),
        "ptr": value.get("ptr"),
        "registrant": value.get("registrant", ""),
        "description": value.get("description", ""),
        "labels": value.get("labels", {}),
        "lease": lease_text(lease) if lease else None,
        "revision": revision,
        "created": value.get("created", modified),
        "modified": modified,
    }


def who(value: Mapping[str, Any]) -> str:
    """Return the author of a value."""
    return str(value.get("by") or value.get("registrant", ""))


def lease_text(lease: int) -> str:
    """Return the id of a lease: 16 hexadecimal digits."""
    return f"{lease:016x}"


def encode_ttl(entry: Entry, ttl: int, who: str, now: float) -> bytes:
    """Return the value of a record with another TTL. Raises ValueError."""
    value = {**decode(entry.value), "ttl": ttl, "modified": now, "by": who}
    if value["by"] == value.get("registrant"):
        del value["by"]
    return to_json(value)
