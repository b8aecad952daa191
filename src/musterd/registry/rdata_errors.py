"""Explanations of invalid rdata in presentation form: the field, its fault, and the expected form.

dnspython reports what its parser expected, but neither the field nor the text that it found.
"""

import re
from typing import Final

import dns.name
import dns.tokenizer

from musterd.display import excerpt, printable

_RFC: Final = "the data as in a zone file, or \\# LENGTH HEX (RFC 3597)"
_NAME: Final = "a name, for example web.lab.internal."
_HASH: Final = "key tag, algorithm, digest type and hexadecimal digest, for example 1 13 2 4f12…"
_TLSA: Final = "usage, selector, matching type and hexadecimal data, for example 3 1 1 4f12…"
_SERVICE: Final = "priority, name and parameters, for example 1 web.lab.internal. alpn=h2 port=443"
_TWO_NAMES: Final = "two names, for example admin.lab.internal. info.lab.internal."
_PREFERENCE: Final = "preference and name, for example 10 mail.lab.internal."
_EXPECTED: Final = {
    "A": "an IPv4 address, for example 10.0.0.1",
    "AAAA": "an IPv6 address, for example fd00::1",
    "AFSDB": "subtype and name, for example 1 afs.lab.internal.",
    "CAA": 'flags, tag and value, for example 0 issue "ca.test"',
    "CDNSKEY": "flags, protocol 3, algorithm and key in base64, for example 257 3 13 mdss…",
    "CDS": _HASH,
    "CNAME": _NAME,
    "DNAME": _NAME,
    "DNSKEY": "flags, protocol 3, algorithm and key in base64, for example 257 3 13 mdss…",
    "DS": _HASH,
    "EUI48": "six bytes, for example 00-00-5e-00-53-2a",
    "EUI64": "eight bytes, for example 00-00-5e-ef-10-00-00-2a",
    "HINFO": 'CPU and system, for example "x86" "linux"',
    "HTTPS": _SERVICE,
    "KX": _PREFERENCE,
    "LOC": "a location, for example 52 22 23 N 4 53 32 E 0m",
    "MX": _PREFERENCE,
    "NAPTR": 'order, preference, flags, service, regular expression and name, for example 10 20 "s"'
    ' "SIP+D2U" "" _sip._udp.lab.internal.',
    "NS": "a name, for example ns.lab.internal.",
    "OPENPGPKEY": "a key in base64",
    "PTR": _NAME,
    "RP": _TWO_NAMES,
    "RT": _PREFERENCE,
    "SMIMEA": _TLSA,
    "SRV": "priority, weight, port and name, for example 0 10 8080 web.lab.internal.",
    "SSHFP": "algorithm, hash and hexadecimal fingerprint, for example 4 2 4f12…",
    "SVCB": _SERVICE,
    "TLSA": _TLSA,
    "TXT": 'strings of at most 255 bytes, for example "v=spf1 -all"',
    "URI": 'priority, weight and target, for example 10 1 "https://lab.internal/"',
}

_MISSING: Final = re.compile("expect(?:ing|ed) .*")
"""Message of dnspython about the next field, at the end of the data."""
_FIELD: Final = (
    (r"expecting an? (?:\w+ )?integer", "must be a number"),
    (r"expecting an(?:other)? identifier", "must be a word without quotes"),
    (r"expecting (.*)", r"must be \1"),
    (r"A DNS label is empty", "is not a name: it has an empty label"),
    (r"A DNS label is > 63.*", "is not a name: it has a label of more than 63 bytes"),
    (r"A DNS name is > 255.*", "is not a name: it has more than 255 bytes"),
    (r"IDNA processing exception: (.*)", r"is not a name of IDNA 2008: \1"),
    (r".* is not an unsigned 8-bit integer", "must be a number from 0 to 255"),
    (r".* is not an unsigned 16-bit integer", "must be a number from 0 to 65535"),
    (r".* is not an unsigned 32-bit integer", "must be a number from 0 to 4294967295"),
    (r"value cannot be empty", "needs a value"),
    (r"Unknown SVCB ParamKey", "is not a known parameter: write keyNNN with its number"),
    (r"(?s).*(?:malformed|values to unpack|invalid literal|object|codec).*", "is not valid"),
)
"""Messages of dnspython about the last field -> description of the fault."""
_WHOLE: Final = (
    (r"expected EOL or EOF, got [0-9]+ (.*)", r"\1 follows the data"),
    (r"string too long", "it has a string of more than 255 bytes: split it"),
    (
        r"(?s).*(?:[Hh]ex|[Oo]dd.length).*",
        "it needs hexadecimal data, two digits a byte",
    ),
    (r"(?s).*(?:base64|[Ii]ncorrect padding).*", "it needs data in base64"),
    (r"DNS resource record type is unknown", "it has a word that is not a record type"),
    (r"tag is not alphanumeric", "its tag must have letters and digits only"),
    (r"DNS message is malformed.*|compressed data.*", "its bytes are not valid"),
    (r"generic rdata does not start with .*", "its type has no other form than bytes"),
)
"""Messages of dnspython about all of the data -> description of the fault."""


class Fields(dns.tokenizer.Tokenizer):
    """The fields of rdata; remembers the last one that was read."""

    def __init__(self, text: str) -> None:
        """Create a reader; names in it are encoded as in the other types."""
        super().__init__(text, idna_codec=dns.name.IDNA_2008_Practical)
        self.number = 0
        """Number of the last field, from 1."""
        self.word = ""
        """The last field."""
        self.ended = False
        """True if the end was read."""

    def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
        """Return the next field."""
        token = super().get(want_leading, want_comment)
        self.ended = token.is_eol_or_eof()
        if not self.ended:
            self.number += 1
            self.word = token.value
        return token

    def unget(self, token: dns.tokenizer.Token) -> None:
        """Let the next call return the same field."""
        super().unget(token)
        if not token.is_eol_or_eof():
            self.number -= 1


def expected(what: str) -> str:
    """Return a description of the data of a type, with an example unless the type is rare."""
    return _EXPECTED.get(what, _RFC)


def reason(error: Exception, fields: Fields | None) -> str:
    """Return the fault of data, from the error of a parser.

    fields: as far as dnspython read them; None if another parser failed.
    """
    message = str(error).rstrip(".") or type(error).__name__
    if fields is None or not (fields.number or fields.ended):
        return "its bytes are not valid" if "malformed" in message else printable(message)
    if fields.ended and (not fields.number or _MISSING.fullmatch(message)):
        return f"it ends before field {fields.number + 1}" if fields.number else "it is empty"
    found = _said(_WHOLE, message)
    if not found:
        found = f'field {fields.number}, "{excerpt(fields.word)}", '
        found += _said(_FIELD, message) or f"is not valid: {message}"
    return printable(found)


def _said(table: tuple[tuple[str, str], ...], message: str) -> str:
    matches = ((re.fullmatch(pattern, message), text) for pattern, text in table)
    return next((found.expand(text) for found, text in matches if found), "")
