"""The time in which the certificates of a PEM file are valid."""

import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END ", re.DOTALL
)
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_YEARS_END: Final = 2050
"""Year after the last one of UTCTime."""
_TIMES: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""Formats of UTCTime and GeneralizedTime, as RFC 5280 section 4.1.2.5 restricts them."""


@dataclass(frozen=True, slots=True)
class Validity:
    """The time in which all certificates of a file are valid, in epoch seconds."""

    starts: float
    expires: float

    @classmethod
    def of(cls, pem: bytes) -> Self | None:
        """Return the validity of a chain of certificates, or None if it is unknown."""
        try:
            found = [_validity(b64decode(text)) for text in _PEM.findall(pem)]
            return cls(max(starts for starts, _ in found), min(expires for _, expires in found))
        except (ValueError, LookupError):
            return None


def _validity(der: bytes) -> tuple[float, float]:
    """Return both times of a certificate. Raises ValueError, LookupError."""
    _, certificate, _ = _element(der)
    _, signed, _ = _element(certificate)
    tag, _, rest = _element(signed)
    # The serial number, the algorithm and the issuer come before the times, the version first.
    for _ in range(3 if tag == _VERSION else 2):
        _, _, rest = _element(rest)
    _, times, _ = _element(rest)
    starts_tag, starts, rest = _element(times)
    expires_tag, expires, _ = _element(rest)
    return _time(starts_tag, starts), _time(expires_tag, expires)


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Return the tag and the content of a DER element, and the bytes after it."""
    tag, length, start = der[0], der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start])
    return tag, der[start : start + length], der[start + length :]


def _time(tag: int, text: bytes) -> float:
    time = datetime.strptime(text.decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC)
    # Two digits are a year from 1950 to 2049; Python ends at 2068.
    if tag == _UTC_TIME and time.year >= _YEARS_END:
        time = time.replace(year=time.year - 100)
    return time.timestamp()
