"""Record types by their IANA numbers, and their mnemonics."""

from typing import Final

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
MX: Final = 15
TXT: Final = 16
KEY: Final = 25
AAAA: Final = 28
SRV: Final = 33
DNAME: Final = 39
DS: Final = 43
RRSIG: Final = 46
NSEC: Final = 47
SVCB: Final = 64
HTTPS: Final = 65
SPF: Final = 99
ADDRESSED: Final = frozenset({A, AAAA, SRV})
"""Types that locate a service: policies apply to them."""
_TYPES: Final = {
    A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL",
    PTR: "PTR", 13: "HINFO", 14: "MINFO", MX: "MX", TXT: "TXT",
    17: "RP", 18: "AFSDB", KEY: "KEY", AAAA: "AAAA", 29: "LOC", SRV: "SRV", 35: "NAPTR",
    37: "CERT", DNAME: "DNAME", DS: "DS", 44: "SSHFP", RRSIG: "RRSIG", NSEC: "NSEC",
    48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS",
    60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", SVCB: "SVCB", HTTPS: "HTTPS",
    SPF: "SPF", 256: "URI", 257: "CAA",
}  # fmt: skip


def type_text(rtype: int) -> str:
    """Return the mnemonic of a record type, else ``TYPE65280`` (RFC 3597 section 5)."""
    return _TYPES.get(rtype) or f"TYPE{rtype}"
