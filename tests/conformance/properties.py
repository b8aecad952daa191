"""What must hold between a message and musterd's reply to it, whatever the message.

dnspython reads the message, the plain reader of ``envelope`` says how far a server has to, and the
oracle what the answer is. Where dnspython and the reader disagree, a line of ``EXCEPTIONS`` must
say why.
"""

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
from dns.rcode import BADVERS, FORMERR, NOERROR, NOTIMP, REFUSED
from dns.rdatatype import AXFR, IXFR, OPT, TKEY, TSIG

from tests.conformance import envelope
from tests.conformance.compare import view
from tests.conformance.envelope import Envelope, Fate
from tests.conformance.oracle import Expected, Oracle

UDP_SIZE = 1232
EXCEPTIONS = {
    "opcode": "NOTIMP for another opcode, whatever follows its header (RFC 8906 section 3.1.4)",
    "questions": "dnspython takes any number of questions; a query has one (RFC 9619)",
    "compressed": "dnspython follows pointers into the header, which holds no names",
    "version": "options of a later EDNS version are not read: BADVERS (RFC 6891 section 6.1.3)",
    "tsig": "TSIG is not offered, so its place and form are not looked at",
    "content": "rdata, options and targets of pointers that nobody needs are not read",
}
"""Why the plain reader and dnspython may be of different opinions about a message."""
AGREED = frozenset({None, *EXCEPTIONS})
COOKIE_LENGTHS = frozenset({8, *range(16, 41)})


class Checker:
    """Checks replies against the zones of the oracle."""

    def __init__(self, oracle: Oracle, apexes: frozenset[bytes]) -> None:
        self._oracle = oracle
        self._apexes = apexes

    def check(self, wire: bytes, *, tcp: bool, reply: bytes | None) -> list[str]:
        """What is wrong with this reply, in words; empty if nothing is."""
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
            wrong.append("OPT without being asked, or none")
        if reply[12 : read.question_end] != wire[12 : read.question_end]:
            wrong.append("question not echoed")
        return wrong + self._answer(read, message, reply)

    def _answer(self, read: Envelope, message: dns.message.Message, reply: bytes) -> list[str]:
        code = early(read)
        if code is not None:
            bare = message.rcode() == code and not message.answer and not message.authority
            return [] if bare else [f"not {dns.rcode.to_text(code)}"]
        expected = self._oracle.ask(read.labels, read.rtype)
        got = view(reply, self._apexes)
        if got is None:
            return ["reply can't be viewed"]
        wrong = []
        if (got.rcode, got.aa) != (expected.rcode, expected.aa):
            wrong.append(f"rcode {got.rcode} aa {got.aa}, expected {expected}")
        if not _sections_hold(got.answer, got.tc, expected):
            wrong.append(f"answer {got.answer}, expected {expected}")
        if not got.tc and (got.soa, got.referral) != (expected.soa, expected.referral):
            wrong.append(f"authority {got.soa | got.referral}, expected {expected}")
        return wrong


def _sections_hold(answer: frozenset[object], tc: bool, expected: Expected) -> bool:
    """Whether the answer section is the expected one, or a part of it where it is truncated."""
    wanted = [expected.answer | choice for choice in expected.choices] or [expected.answer]
    return any(answer <= choice if tc else answer == choice for choice in wanted)


def _frame(wire: bytes, read: Envelope, reply: bytes, *, tcp: bool) -> list[str]:
    """Id, QR, opcode, RD, the unused bits, and the size."""
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
        wrong.append(f"{len(reply)} octets, {size} allowed")
    return wrong


def early(read: Envelope) -> dns.rcode.Rcode | None:
    """The response code of what never comes to a lookup."""
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
    """Why dnspython reads a message otherwise: a key of ``EXCEPTIONS``, None if it does not.

    "unexplained" if no line says why.
    """
    try:
        message = dns.message.from_wire(wire, keyring=False)
    except (dns.exception.DNSException, ValueError, NotImplementedError) as error:
        return _refused(wire, read, error)
    if read.fate is Fate.QUERY:
        return None if _same_question(message, read) else "unexplained"
    if read.fate is Fate.NOTIMP:
        return "opcode"
    if read.fate is Fate.SILENCE:
        return None if message.flags & dns.flags.QR else "unexplained"
    if len(message.question) != 1:
        return "questions"
    pointers = any(octet >= 0xC0 for octet in wire[envelope.HEADER :])
    return "compressed" if pointers else "unexplained"


def _same_question(message: dns.message.Message, read: Envelope) -> bool:
    if not message.question:
        return not read.asked
    question = message.question[0]
    same = question.name.labels[:-1] == read.labels and question.rdtype == read.rtype
    return same and (message.edns >= 0) == (read.edns is not None)


def _refused(wire: bytes, read: Envelope, error: Exception) -> str | None:
    """Why dnspython refused a message that the reader did not."""
    if read.fate is Fate.NOTIMP:
        return "opcode"
    if read.fate is not Fate.QUERY:
        return None
    if read.edns is not None and read.edns[1] > 0:
        return "version"
    if isinstance(error, dns.message.BadTSIG):
        return "tsig"
    # What else it can refuse stands in records: there must be some.
    return "content" if any(wire[6:12]) else "unexplained"
