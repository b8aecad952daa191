"""Tables of tests: a question in text, and its answer as zone text."""

from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from musterd._core import Core
from tests.dnskit import ORIGIN, ask


@dataclass(frozen=True)
class Case:
    """A question and its complete answer; names are relative to ``example.``, records in any order.

    status: response code and the flags set of AA, TC, RD, RA, AD, CD: ``NXDOMAIN AA``.
    """

    id: str
    question: str
    status: str = "NOERROR AA"
    answer: str = ""
    authority: str = ""
    additional: str = ""

    def text(self) -> str:
        """The expected answer in the format of ``render``."""
        return _join(self.status, self.answer, self.authority, self.additional)


def check(core: Core, case: Case) -> None:
    """Ask the question with TCP's size limit, and compare the complete answer."""
    name, rtype = case.question.split()
    assert render(ask(core, name, rtype, tcp=True)) == case.text()


def render(message: dns.message.Message, origin: str = ORIGIN) -> str:
    """Return a message as text: status line, then the sorted records of each section."""
    flags = dns.flags.to_text(message.flags & ~dns.flags.QR).split()
    status = " ".join([dns.rcode.to_text(message.rcode()), *flags])
    sections = (message.answer, message.authority, message.additional)
    return _join(status, *(section_text(section, origin) for section in sections))


def section_text(section: list[dns.rrset.RRset], origin: str = ORIGIN) -> str:
    """Return the records of a section, one per line, names relative to the origin."""
    root = dns.name.from_text(origin)
    lines = []
    for rrset in section:
        owner = rrset.name.relativize(root) if rrset.name.is_subdomain(root) else rrset.name
        head = f"{owner} {rrset.ttl} IN {dns.rdatatype.to_text(rrset.rdtype)}"
        lines += [f"{head} {rdata.to_text(root, relativize=True)}" for rdata in rrset]
    return "\n".join(lines)


def _join(status: str, *sections: str) -> str:
    lines = [status]
    for title, text in zip(("answer", "authority", "additional"), sections, strict=True):
        lines += [f"-- {title}", *sorted(line.strip() for line in text.strip().splitlines())]
    return "\n".join(lines)
