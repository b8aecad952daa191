"""Properties that musterd's reply to any message must have.

The second reader, ``envelope``, decides how much of a message a server must understand and whether
it is a query. A query gets the same answer as a plain query with its question; ``differential``
compares those answers with other name servers'. dnspython reads each message too; a line of
``EXCEPTIONS`` gives the reason where it disagrees with the reader.
"""

from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
from dns.rcode import BADVERS, FORMERR, NOERROR, NOTIMP, REFUSED
from dns.rdatatype import AXFR, IXFR, OPT, TKEY, TSIG

from tests.conformance import envelope
from tests.conformance.compare import same_status, view
from tests.conformance.envelope import Envelope, Fate
from tests.conformance.questions import Question

UDP_SIZE = 1232
EXCEPTIONS = {
    "opcode": "NOTIMP for any opcode but QUERY, whatever follows the header (RFC 8906 3.1.4)",
    "questions": "dnspython accepts any number of questions; a query has one (RFC 9619)",
    "compressed": "dnspython follows pointers into the header, which contains no names",
    "version": "options of a later EDNS version are not read: BADVERS (RFC 6891 section 6.1.3)",
    "tsig": "TSIG is not supported, so its position and format are not checked",
    "content": "rdata, options and targets of pointers that a query doesn't need are not read",
}
"""Reasons why the reader and dnspython may disagree about a message."""
AGREED = frozenset({None, *EXCEPTIONS})
COOKIE_LENGTHS = frozenset({8, *range(16, 41)})

Answer = Callable[[bytes], bytes | None]
"""Return the server's reply to a message over TCP."""


class Checker:
    """Checks the replies of one server."""

    def __init__(self, answer: Answer, apexes: frozenset[bytes]) -> None:
        """Create a checker; ``apexes`` are the server's zones in lower case wire form."""
        self._answer = answer
        self._apexes = apexes

    def check(self, wire: bytes, *, tcp: bool, reply: bytes | None) -> list[str]:
        """Return the faults of a reply in words."""
        read = envelope.read(wire)
        wrong = [] if disagreement(wire, read) in AGREED else ["dnspython reads it otherwise"]
        if reply is None or read.fate is Fate.SILENCE:
            silent = reply is None and read.fate is Fate.SILENCE
            return wrong if silent else [*wrong, "replied" if reply else "silent"]
        try:
            message = dns.message.from_wire(reply, keyring=False)
        except (dns.exception.DNSException, ValueError) as error:
            return [*wrong, f"reply can't be parsed: {error!r}"]
        wrong += _frame(wire, read, reply, tcp=tcp)
        if read.fate is not Fate.QUERY:
            code = NOTIMP if read.fate is Fate.NOTIMP else FORMERR
            bare = len(reply) == envelope.HEADER and message.rcode() == code
            return wrong if bare else [*wrong, f"not a bare {dns.rcode.to_text(code)}"]
        if (message.edns >= 0) != (read.edns is not None):
            wrong.append("OPT without one in the query, or none despite one")
        if reply[12 : read.question_end] != wire[12 : read.question_end]:
            wrong.append("question not echoed")
        return wrong + self._check_answer(read, message, reply)

    def _check_answer(
        self, read: Envelope, message: dns.message.Message, reply: bytes
    ) -> list[str]:
        code = early(read)
        if code is not None:
            bare = message.rcode() == code and not message.answer and not message.authority
            return [] if bare else [f"not {dns.rcode.to_text(code)}"]
        plain = Question(read.labels, read.rtype, tcp=True)
        expected = view(self._answer(plain.wire()), self._apexes)
        got = view(reply, self._apexes)
        if got is None or expected is None:
            return ["reply can't be compared"]
        wrong = []
        if not same_status(got, expected):
            wrong.append(f"rcode {got.rcode} aa {got.aa}, expected {expected}")
        same = got.answer <= expected.answer if got.tc else got.answer == expected.answer
        if not same:
            wrong.append(f"answer {got.answer}, expected {expected}")
        if not got.tc and (got.soa, got.referral) != (expected.soa, expected.referral):
            wrong.append(f"authority {got.soa | got.referral}, expected {expected}")
        return wrong


def _frame(wire: bytes, read: Envelope, reply: bytes, *, tcp: bool) -> list[str]:
    """Check id, QR, opcode, RD, the unused bits, and the size."""
    wrong = []
    if reply[:2] != wire[:2]:
        wrong.append("id differs")
    if reply[2] & 0xF9 != (wire[2] & 0x79) | 0x80:
        wrong.append("QR, opcode or RD differ")
    if reply[3] & 0xF0:
        wrong.append("RA, Z, AD or CD set")
    size = 512
    if read.edns is not None:
        size = min(max(read.edns[0], 512), UDP_SIZE)
    if len(reply) > (65535 if tcp else size):
        wrong.append(f"{len(reply)} bytes, {size} allowed")
    return wrong


def early(read: Envelope) -> dns.rcode.Rcode | None:
    """Return the response code of a query that needs no lookup."""
    cookies = read.cookies()
    if read.edns is not None and read.edns[1] > 0:
        return BADVERS
    if cookies and len(cookies[0]) not in COOKIE_LENGTHS:
        return FORMERR
    if not read.asked:
        return NOERROR
    if read.rtype in {AXFR, IXFR}:
        return REFUSED
    if read.rtype in {OPT, TSIG, TKEY}:
        return FORMERR
    return REFUSED if read.rclass != dns.rdataclass.IN else None


def disagreement(wire: bytes, read: Envelope) -> str | None:
    """Return the key of ``EXCEPTIONS`` for a message that dnspython reads otherwise.

    None if both agree, "unexplained" if no exception applies.
    """
    try:
        message = dns.message.from_wire(wire, keyring=False)
    except (dns.exception.DNSException, ValueError, NotImplementedError) as error:
        return _rejection(wire, read, error)
    if read.fate is Fate.QUERY:
        return None if _same_question(message, read) else "unexplained"
    if read.fate is Fate.NOTIMP:
        return "opcode"
    if read.fate is Fate.SILENCE:
        return None if message.flags & dns.flags.QR else "unexplained"
    if len(message.question) != 1:
        return "questions"
    pointers = any(byte >= 0xC0 for byte in wire[envelope.HEADER :])
    return "compressed" if pointers else "unexplained"


def _same_question(message: dns.message.Message, read: Envelope) -> bool:
    if not message.question:
        return not read.asked
    question = message.question[0]
    same = question.name.labels[:-1] == read.labels and question.rdtype == read.rtype
    return same and (message.edns >= 0) == (read.edns is not None)


def _rejection(wire: bytes, read: Envelope, error: Exception) -> str | None:
    """Return the reason why only dnspython rejects a message."""
    if read.fate is Fate.NOTIMP:
        return "opcode"
    if read.fate is not Fate.QUERY:
        return None
    if read.edns is not None and read.edns[1] > 0:
        return "version"
    if isinstance(error, dns.message.BadTSIG):
        return "tsig"
    # Everything else that it rejects is in records, so there must be some.
    return "content" if any(wire[6:12]) else "unexplained"
