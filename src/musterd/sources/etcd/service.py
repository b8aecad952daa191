"""The values of SkyDNS, Hades and ContainerDNS: JSON objects, stored here in packed form.

Their fields are ``host, port, priority, weight, text, mail, ttl, targetstrip, group``, and ``type``
in the latter two. Their programs are written in Go, whose JSON decoder accepts field names in any
case, and only whole numbers for integers.
"""

import json
import re
import socket
import struct
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from musterd.display import excerpt
from musterd.rr.names import name_from_text
from musterd.rr.types import AAAA, CNAME, MX, NS, SRV, TXT, A
from musterd.sources.etcd.keys import is_reverse

MAX_VALUE_BYTES: Final = 65_536
"""Maximum bytes of a value; a DNS message has no more."""
MAX_TEXT_BYTES: Final = 60_000
"""Maximum bytes of a text, so that its record fits into a message."""
PRIORITY: Final = 10
"""Priority of a service without one."""
NO_PORT: Final = -1
"""The port of a service that has no SRV record."""

IPV4: Final = 1
IPV6: Final = 2
NAME: Final = 3
"""Kinds of hosts; 0 for no host."""

_KINDS: Final = {IPV4: "an IPv4 address", IPV6: "an IPv6 address", NAME: "a name"}
_KINDS_OF_ADDRESSES: Final = (IPV4, IPV6)
_ANY_HOST: Final = (IPV4, IPV6, NAME)
_HOSTS: Final = {A: (IPV4,), AAAA: (IPV6,), CNAME: (NAME,), SRV: _ANY_HOST, NS: _ANY_HOST,
                 MX: _ANY_HOST}  # fmt: skip
"""Kinds of hosts that give a record of a type."""
_TYPES: Final = {"": 0, "A": A, "AAAA": AAAA, "CNAME": CNAME, "SRV": SRV, "NS": NS, "MX": MX,
                 "TXT": TXT}  # fmt: skip
_FIELDS: Final[dict[str, type | tuple[int, int]]] = {
    "host": str, "port": (NO_PORT, 0xFFFF), "priority": (0, 0xFFFF), "weight": (0, 0x7FFF_FFFF),
    "text": str, "mail": bool, "ttl": (0, 0x7FFF_FFFF), "targetstrip": (0, 127), "group": str,
    "type": str,
}  # fmt: skip
"""The type of a field, or the minimum and maximum of a whole number."""
_WORDS: Final = {str: "a string", bool: "true or false"}
_NAME = re.compile(r"[!-~]+")
_NOT_IN_NAME = re.compile(r"""[:/\\"'(),;<>@\[\]]|\.[0-9]+\.?$|^[0-9.]+$""")
"""Characters that no name has, and text that looks like an address."""
_HASH = re.compile(rb"[0-9a-f]{1,8}")
_MAX_GROUP_BYTES: Final = 255
_MAX_SHOWN: Final = 60

_HEAD = struct.Struct("!BBBBIHIiQ")
"""host kind, mail, type, targetstrip, ttl, priority, weight, port, revision."""
_MAPPED = bytes(10) + b"\xff\xff"
_SIZES = 0, 4, 16


class ServiceRecord(NamedTuple):
    """The value of a key.

    path: of its name; host: an address of 4 or 16 bytes, a folded wire name, or empty, by
    ``kind``; rtype: its only type, 0 if the types follow from the other fields; ttl: seconds.
    """

    path: bytes
    kind: int
    mail: bool
    rtype: int
    strip: int
    ttl: int
    priority: int
    weight: int
    port: int
    revision: int
    host: bytes
    group: bytes
    text: bytes


class Rules(NamedTuple):
    """Rules for reading values.

    ttl: seconds, if neither value nor lease has one; typed: True if a value names the type of its
    record.
    """

    ttl: int
    typed: bool


def read(
    path: bytes, value: bytes, revision: int, lease_ttl: int | None, rules: Rules
) -> ServiceRecord:
    """Parse the value of a key at a path.

    lease_ttl: TTL of its lease in seconds, None without a lease. Raises ValueError with the reason.
    """
    fields = _fields(value)
    get = fields.get
    kind, host = _host(get("host", ""))
    text = get("text", "").encode()
    group = get("group", "").encode()
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"its text has {len(text)} bytes, at most {MAX_TEXT_BYTES}")
    if len(group) > _MAX_GROUP_BYTES:
        raise ValueError(f"its group has {len(group)} bytes, at most {_MAX_GROUP_BYTES}")
    rtype = 0
    if rules.typed:
        word = get("type", "")
        rtype = _type(word)
        _check_fields(rtype, word, kind, get("port", 0), text)
    if kind in _KINDS_OF_ADDRESSES and is_reverse(path):
        raise ValueError("its host is an address, expected the name of this reverse name")
    given = get("ttl") or lease_ttl or rules.ttl
    return ServiceRecord(
        path,
        kind,
        get("mail", False),
        rtype,
        get("targetstrip", 0),
        given if lease_ttl is None else min(given, lease_ttl),
        get("priority") or PRIORITY,
        get("weight", 0),
        get("port", 0),
        revision,
        host,
        group,
        text,
    )


def pack(service: ServiceRecord) -> bytes:
    """Return a service in packed form, without its path."""
    group = service.group
    head = _HEAD.pack(*service[1:10])
    return b"".join((head, service.host, bytes((len(group),)), group, service.text))


def unpack(path: bytes, item: bytes, at: int) -> ServiceRecord:
    """Return the service that ``pack`` stored at an offset of an item."""
    kind, mail, rtype, strip, ttl, priority, weight, port, revision = _HEAD.unpack_from(item, at)
    at += _HEAD.size
    end = item.index(b"\0", at) + 1 if kind == NAME else at + _SIZES[kind]
    group = end + 1 + item[end]
    return ServiceRecord(
        path, kind, bool(mail), rtype, strip, ttl, priority, weight, port, revision,
        item[at:end], item[end + 1 : group], item[group:],
    )  # fmt: skip


def is_hashed(label: bytes, value: bytes) -> bool:
    """Return whether a label only distinguishes the records of a name.

    Hades uses the 32-bit FNV-1a hash of the address or of the value, in hexadecimal.
    """
    if not _HASH.fullmatch(label):
        return False
    host = _object(value).get("host")
    texts = [value, host.encode()] if isinstance(host, str) else [value]
    return any(b"%x" % _fnv(text) == label for text in texts)


def _fnv(data: bytes) -> int:
    found = 0x811C9DC5
    for byte in data:
        found = (found ^ byte) * 0x01000193 & 0xFFFF_FFFF
    return found


def revision_of(item: bytes, at: int) -> int:
    """Return the revision of a packed service."""
    return int.from_bytes(item[at + _HEAD.size - 8 : at + _HEAD.size], "big")


def address_of(text: str) -> bytes | None:
    """Return the bytes of an IP address, 4 for a mapped IPv4 address; None if it is invalid."""
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        address = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, UnicodeError, ValueError):
        return None
    return address[12:] if address.startswith(_MAPPED) else address


def is_down(value: bytes) -> bool:
    """Return whether a status is down. Raises ValueError."""
    status = _object(value).get("status")
    if not isinstance(status, str) or status.upper() not in {"UP", "DOWN"}:
        raise ValueError(f'its status is {_shown(status)}, expected "UP" or "DOWN"')
    return status.upper() == "DOWN"


def _object(value: bytes) -> dict[str, Any]:
    if len(value) > MAX_VALUE_BYTES:
        raise ValueError(f"its value has {len(value)} bytes, at most {MAX_VALUE_BYTES}")
    try:
        found = from_json(value)
    except ValueError as error:
        raise ValueError(f"its value is not valid JSON: {error}") from None
    if type(found) is not dict:
        raise ValueError(f"its value is {_shown(found)}, expected a JSON object")
    return found


def _fields(value: bytes) -> dict[str, Any]:
    """Return the known fields, after checking their types and ranges."""
    fields = {}
    for member, content in _object(value).items():
        name = member if member in _FIELDS else member.lower()
        expected = _FIELDS.get(name)
        if expected is None or content is None:
            continue
        if isinstance(expected, type):
            if type(content) is not expected:
                raise ValueError(f"its {name} is {_shown(content)}, expected {_WORDS[expected]}")
        elif type(content) is not int:
            raise ValueError(f"its {name} is {_shown(content)}, expected a whole number")
        elif not expected[0] <= content <= expected[1]:
            raise ValueError(f"its {name} is {content}, expected {expected[0]} to {expected[1]}")
        fields[name] = content
    return fields


def _host(text: str) -> tuple[int, bytes]:
    if not text:
        return 0, b""
    address = address_of(text)
    if address is not None:
        return (IPV4 if len(address) == _SIZES[IPV4] else IPV6), address
    if not _NAME.fullmatch(text) or _NOT_IN_NAME.search(text):
        raise ValueError(f"its host is {_shown(text)}, expected an IP address or a name")
    return NAME, name_from_text(text).lower()


def _type(word: str) -> int:
    rtype = _TYPES.get(word.upper())
    if rtype is None:
        raise ValueError(f"its type is {_shown(word)}, expected {', '.join(filter(None, _TYPES))}")
    return rtype


def _check_fields(rtype: int, word: str, kind: int, port: int, text: bytes) -> None:
    """Raise ValueError if a value gives no record of its type."""
    if rtype == TXT and not text:
        raise ValueError("its type is TXT, but it has no text")
    if not rtype and not kind and not text:
        raise ValueError("it has neither a host nor a text")
    wanted = _HOSTS.get(rtype)
    if wanted and kind not in wanted:
        is_now = f"is {_KINDS[kind]}" if kind else "is missing"
        expected = " or ".join(_KINDS[each] for each in wanted)
        raise ValueError(f"its type is {word}, but its host {is_now}, expected {expected}")
    if rtype == SRV and port == NO_PORT:
        raise ValueError("its type is SRV, but its port is -1, which means no SRV record")


def _shown(value: object) -> str:
    return excerpt(json.dumps(value), _MAX_SHOWN)
