"""What a key of SkyDNS, Hades or ContainerDNS says: a JSON object, packed here.

``host, port, priority, weight, text, mail, ttl, targetstrip, group``, and ``type`` in the latter
two. Their programs are written in Go, whose JSON reader takes the name of a field in any case, and
an integer for what is one only.
"""

import json
import re
import socket
import struct
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from musterd.rr.names import name_from_text
from musterd.rr.types import AAAA, CNAME, MX, NS, SRV, TXT, A

VALUE_OCTETS: Final = 65_536
"""The most octets of a value; a DNS message has no more."""
TEXT_OCTETS: Final = 60_000
"""The most octets of a text: with what is around it, it fits into a message."""
PRIORITY: Final = 10
"""Of a service that has none."""
NO_PORT: Final = -1
"""The port of a service that has no SRV record."""

IPV4: Final = 1
IPV6: Final = 2
NAME: Final = 3
"""What a host is; 0 for none."""

_TYPES: Final = {"": 0, "A": A, "AAAA": AAAA, "CNAME": CNAME, "SRV": SRV, "NS": NS, "MX": MX,
                 "TXT": TXT}  # fmt: skip
_FIELDS: Final[dict[str, type | tuple[int, int]]] = {
    "host": str, "port": (NO_PORT, 0xFFFF), "priority": (0, 0xFFFF), "weight": (0, 0x7FFF_FFFF),
    "text": str, "mail": bool, "ttl": (0, 0x7FFF_FFFF), "targetstrip": (0, 127), "group": str,
    "type": str,
}  # fmt: skip
"""The type of a field, or of a whole number the least and the most."""
_WORDS: Final = {str: "a text", bool: "true or false"}
_NAME = re.compile(r"[!-~]+")
_NOT_IN_NAME = re.compile(r"""[:/\\"'(),;<>@\[\]]|\.[0-9]+\.?$|^[0-9.]+$""")
"""What is no name, or meant to be an address."""
_HASH = re.compile(rb"[0-9a-f]{1,8}")
_GROUP_OCTETS: Final = 255
_SHOWN: Final = 60

_HEAD = struct.Struct("!BBBBIHIiQ")
"""host kind, mail, type, targetstrip, ttl, priority, weight, port, revision."""
_MAPPED = bytes(10) + b"\xff\xff"
_SIZES = 0, 4, 16


class Service(NamedTuple):
    """What a key says.

    path: of its name; host: an address of 4 or 16 octets, a folded wire name, or nothing, by
    ``kind``; rtype: the one type that it gives, 0 for those that follow from the rest; ttl: in
    seconds.
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
    """How values are read.

    ttl: seconds, where neither value nor lease has one; typed: whether a value says which type its
    record has.
    """

    ttl: int
    typed: bool


def read(path: bytes, value: bytes, revision: int, lease_ttl: int | None, rules: Rules) -> Service:
    """What the value of a key at a path says.

    lease_ttl: seconds, of its lease, if it hangs on one. Raises ValueError saying what is wrong.
    """
    fields = _fields(value)
    get = fields.get
    kind, host = _host(get("host", ""))
    text = get("text", "").encode()
    group = get("group", "").encode()
    if len(text) > TEXT_OCTETS:
        raise ValueError(f"its text has {len(text)} octets, at most {TEXT_OCTETS}")
    if len(group) > _GROUP_OCTETS:
        raise ValueError(f"its group has {len(group)} octets, at most {_GROUP_OCTETS}")
    rtype = _type(get("type", ""), kind) if rules.typed else 0
    given = get("ttl") or lease_ttl or rules.ttl
    return Service(
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


def pack(service: Service) -> bytes:
    """A service in packed form, without its path."""
    group = service.group
    head = _HEAD.pack(*service[1:10])
    return b"".join((head, service.host, bytes((len(group),)), group, service.text))


def unpack(path: bytes, item: bytes, at: int) -> Service:
    """A service at a path, from what ``pack`` gave at a place in an octet string."""
    kind, mail, rtype, strip, ttl, priority, weight, port, revision = _HEAD.unpack_from(item, at)
    at += _HEAD.size
    end = item.index(b"\0", at) + 1 if kind == NAME else at + _SIZES[kind]
    group = end + 1 + item[end]
    return Service(
        path, kind, bool(mail), rtype, strip, ttl, priority, weight, port, revision,
        item[at:end], item[end + 1 : group], item[group:],
    )  # fmt: skip


def is_hashed(label: bytes, value: bytes) -> bool:
    """Whether a label is there to tell the records of a name apart.

    Hades takes the FNV-1a hash of 32 bits, of the address or of the value, in hexadecimal.
    """
    if not _HASH.fullmatch(label):
        return False
    host = _object(value).get("host")
    texts = [value, host.encode()] if isinstance(host, str) else [value]
    return any(b"%x" % _fnv(text) == label for text in texts)


def _fnv(octets: bytes) -> int:
    found = 0x811C9DC5
    for octet in octets:
        found = (found ^ octet) * 0x01000193 & 0xFFFF_FFFF
    return found


def revision_of(item: bytes, at: int) -> int:
    """The revision in what ``pack`` gave."""
    return int.from_bytes(item[at + _HEAD.size - 8 : at + _HEAD.size], "big")


def address_of(text: str) -> bytes | None:
    """The octets of an IP address, 4 where it stands for an IPv4 address; None if it is none."""
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        octets = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, UnicodeError, ValueError):
        return None
    return octets[12:] if octets.startswith(_MAPPED) else octets


def is_down(value: bytes) -> bool:
    """Whether a status says that its address is down. Raises ValueError."""
    status = _object(value).get("status")
    if not isinstance(status, str) or status.upper() not in {"UP", "DOWN"}:
        raise ValueError(f'its status is {_shown(status)}, expected "UP" or "DOWN"')
    return status.upper() == "DOWN"


def _object(value: bytes) -> dict[str, Any]:
    if len(value) > VALUE_OCTETS:
        raise ValueError(f"its value has {len(value)} octets, at most {VALUE_OCTETS}")
    try:
        found = from_json(value)
    except ValueError as error:
        raise ValueError(f"its value is no JSON: {error}") from None
    if type(found) is not dict:
        raise ValueError(f"its value is {_shown(found)}, expected a JSON object")
    return found


def _fields(value: bytes) -> dict[str, Any]:
    """The fields that we know, of the right types and in their ranges."""
    fields = {}
    for given, held in _object(value).items():
        name = given if given in _FIELDS else given.lower()
        expected = _FIELDS.get(name)
        if expected is None or held is None:
            continue
        if isinstance(expected, type):
            if type(held) is not expected:
                raise ValueError(f"its {name} is {_shown(held)}, expected {_WORDS[expected]}")
        elif type(held) is not int:
            raise ValueError(f"its {name} is {_shown(held)}, expected a whole number")
        elif not expected[0] <= held <= expected[1]:
            raise ValueError(f"its {name} is {held}, expected {expected[0]} to {expected[1]}")
        fields[name] = held
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


def _type(word: str, kind: int) -> int:
    rtype = _TYPES.get(word.upper())
    if rtype is None:
        raise ValueError(f"its type is {_shown(word)}, expected {', '.join(filter(None, _TYPES))}")
    if (rtype in {A, AAAA} and kind not in {IPV4, IPV6}) or (rtype == CNAME and kind != NAME):
        raise ValueError(f"its host does not suit its type, {word}")
    return rtype


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
