"""Record types and record data: from presentation form to wire form, and back.

Addresses, names and SRV, which nearly all records are, are read here; dnspython, thirty times
slower, reads the rest. Names in data are absolute, with or without their final dot; a name of one
label needs the dot.
"""

import re
import socket
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from musterd._core import fold_rdata, pack_records
from musterd.display import excerpt
from musterd.registry import rdata_errors, rdata_text
from musterd.registry.errors import Invalid
from musterd.registry.rdata_errors import Fields
from musterd.rr.names import MAX_NAME_BYTES
from musterd.rr.types import AAAA, CNAME, DNAME, MX, NS, PTR, SOA, SRV, TXT, A

SINGLE: Final = frozenset({CNAME, DNAME})
"""Types of which an owner has at most one record (RFC 2181 section 10.1, RFC 6672 section 2.4)."""
MAX_TEXT: Final = 60_000
"""The most characters of data."""

_MAX_TYPE: Final = 0xFFFF
_NO_DATA: Final = frozenset({0, 41, *range(128, 256)})
"""Types that no record of a zone has (RFC 6895 section 3.1)."""
_NAMELESS: Final = frozenset({A, AAAA, TXT})
"""Frequent types without names."""
_FAITHFUL: Final = frozenset({CNAME, NS, PTR, DNAME, SRV, MX, TXT})
"""Types whose data dnspython writes so that ``parse`` returns the same."""
_HOST: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_SRV: Final = re.compile(rf"([0-9]{{1,5}}) ([0-9]{{1,5}}) ([0-9]{{1,5}}) ({_HOST.pattern})")


@lru_cache(maxsize=1024)
def parse_type(text: str) -> int:
    """The number of a type, from ``A`` or ``TYPE65280``. Raises Invalid."""
    try:
        rtype = int(dns.rdatatype.from_text(text))
    except (dns.exception.DNSException, ValueError):
        raise Invalid(
            f'"{excerpt(text)}" is not a record type: expected for example A, SRV or TYPE65280'
        ) from None
    if rtype == SOA:
        raise Invalid("a SOA record can't be registered: set it in [zones.soa] or in a zone file")
    if rtype in _NO_DATA or rtype > _MAX_TYPE:
        raise Invalid(f'"{excerpt(text)}" is not a type of a record')
    return rtype


@lru_cache(maxsize=1024)
def type_text(rtype: int) -> str:
    """The mnemonic of a type, else ``TYPE65280`` (RFC 3597 section 5)."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rtype))


def parse(rtype: int, text: str, zone: str = "") -> bytes:
    """Return rdata in wire form from its presentation form.

    zone: the zone of the record in key form, for messages. Raises Invalid with what was expected.
    """
    read = _READ.get(rtype)
    wire = read(text) if read else None
    return _parse_any(rtype, text, zone) if wire is None else wire


def text(rtype: int, wire: bytes) -> str:
    """Return rdata in presentation form, its names absolute; ``parse`` returns the same rdata.

    Raises ValueError if it is not valid.
    """
    if rtype == A:
        return socket.inet_ntop(socket.AF_INET, wire)
    if rtype == AAAA:
        return socket.inet_ntop(socket.AF_INET6, wire)
    try:
        found = _from_wire(rtype, wire).to_text()
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"{wire!r} is not valid {type_text(rtype)} data") from None
    if rtype in _FAITHFUL:
        return found
    try:
        same = parse(rtype, found) == wire
    except Invalid:
        same = False
    # For some rare types, dnspython writes text that it reads as other data.
    return found if same else _generic(wire)


def shown(rtype: int, wire: bytes) -> str:
    """Return ``text``, or the form of unknown types (RFC 3597 section 5) if there is none."""
    try:
        return text(rtype, wire)
    except ValueError:
        return _generic(wire)


def _generic(wire: bytes) -> str:
    return f"\\# {len(wire)} {wire.hex()}"


def equal_form(rtype: int, wire: bytes) -> bytes:
    """Return rdata in a form in which equal data is equal: its names in lower case.

    RFC 4034 section 6.2.
    """
    return wire if rtype in _NAMELESS else fold_rdata(rtype, wire)


def check_targets(rtype: int, wire: bytes) -> None:
    """Raise Invalid if a name in rdata is an address, which no resolver looks up as a name."""
    if rtype in _NAMELESS:
        return
    try:
        found = _from_wire(rtype, wire)
    except (dns.exception.DNSException, ValueError):
        raise Invalid(f"{wire!r} is not valid {type_text(rtype)} data") from None
    try:
        for name in _names(found):
            _check_target(name)
    except ValueError as error:
        raise Invalid(f"{type_text(rtype)} {excerpt(found.to_text())}: {error}") from None


def weight(rtype: int, wire: bytes) -> int:
    """The weight of a record without a weight of its own."""
    return int.from_bytes(wire[2:4], "big") if rtype == SRV else 1


def _ipv4(text: str) -> bytes | None:
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return None


def _ipv6(text: str) -> bytes | None:
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None


def _host(text: str) -> bytes | None:
    """Return the wire form of a plain name: no escapes, no address, more than one label."""
    if "." not in text or not _HOST.fullmatch(text):
        return None
    labels = [label.encode() for label in text.removesuffix(".").split(".")]
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return None if len(wire) > MAX_NAME_BYTES or labels[-1].isdigit() else wire


def _srv(text: str) -> bytes | None:
    found = _SRV.fullmatch(text)
    if not found:
        return None
    numbers = [int(number) for number in found.groups()[:3]]
    host = _host(found[4])
    if host is None or max(numbers) > 0xFFFF:  # noqa: PLR2004
        return None
    return b"".join(number.to_bytes(2, "big") for number in numbers) + host


_READ: Final[dict[int, Callable[[str], bytes | None]]] = {
    A: _ipv4, AAAA: _ipv6, CNAME: _host, NS: _host, PTR: _host, DNAME: _host, SRV: _srv,
}  # fmt: skip


def _parse_any(rtype: int, text: str, zone: str) -> bytes:
    what = type_text(rtype)
    if len(text) > MAX_TEXT:
        raise Invalid(f"the data of {what} has {len(text)} characters: at most {MAX_TEXT}")
    if any(character in text for character in "\n\r\0"):
        raise Invalid(
            f"the data of {what} has a line end or a NUL: write it as \\010, \\013, \\000"
        )
    fields: Fields | None = None
    try:
        checked = rdata_text.checked(rtype, text)
        fields = Fields(checked)
        found, wire = _read_any(rtype, checked, fields)
        fields = None
        for name in _names(found):
            _check_target(name, zone)
        pack_records(0, rtype, [(1, wire)])
    except Exception as error:  # The parsers of rare types raise exceptions of many kinds.
        reason = rdata_errors.reason(error, fields)
        raise Invalid(
            f'"{excerpt(text)}" is not valid {what} data: {reason}; '
            f"expected {rdata_errors.expected(what)}"
        ) from None
    return wire


def _read_any(rtype: int, text: str, fields: Fields) -> tuple[dns.rdata.Rdata, bytes]:
    """Return rdata, with the names in it as written, and its wire form."""
    if generic := _GENERIC.fullmatch(text):
        # dnspython rejects some data that it can't write in the same form itself.
        wire = bytes.fromhex(generic[2])
        if len(wire) != int(generic[1]):
            raise ValueError(f"the length is {generic[1]}, but {len(wire)} bytes follow")
        return _from_wire(rtype, wire), wire
    found = dns.rdata.from_text(
        dns.rdataclass.IN,
        dns.rdatatype.RdataType.make(rtype),
        fields,
        relativize=False,
    )
    return found, found.to_wire(origin=dns.name.root) or b""


def _from_wire(rtype: int, wire: bytes) -> dns.rdata.Rdata:
    kind = dns.rdatatype.RdataType.make(rtype)
    return dns.rdata.from_wire(dns.rdataclass.IN, kind, wire, 0, len(wire))


def _names(found: dns.rdata.Rdata) -> Iterator[dns.name.Name]:
    """Yield the names in rdata; relative ones as they are."""
    for kind in type(found).__mro__:
        for slot in getattr(kind, "__slots__", ()):
            value = getattr(found, slot, None)
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, dns.name.Name):
                    yield each


def _check_target(name: dns.name.Name, zone: str = "") -> None:
    """Raise ValueError if a name in rdata is ambiguous."""
    text = name.to_text()
    plain = text.removesuffix(".").strip("[]")
    if _ipv4(plain) or _ipv6(plain):
        raise ValueError(f"{plain} is an address: write the name that has this address")
    if not name.is_absolute() and len(name) <= 1:
        offer = f"{text}. for that" if name else ". for that"
        if zone not in ("", "."):
            full = f"{text}.{zone}." if name else f"{zone}."
            offer += f", or {full} for the name in this zone"
        raise ValueError(f"{text} is a name in the root zone: write {offer}")


_GENERIC: Final = re.compile(r"[ \t]*\\#[ \t]+([0-9]{1,5})((?:[ \t]+[0-9A-Fa-f]+)*)[ \t]*")
"""Data of any type (RFC 3597 section 5)."""
