"""RFC 1035 section 5: odd zone files are read as BIND and NSD read them.

Both programs refuse a whole file for one bad record, so files are compared that they accept.
"""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from musterd._core import ZoneFile, read_zone
from musterd.rr.rrset import unpack_records
from musterd.sources.zonefile import foreign_rrsets
from tests.dnskit import wire
from tests.needs import needs

ZONE = "example.org."
HEAD = b"$TTL 30\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n"
INCLUDED = b" A 192.0.2.1\nz A 192.0.2.2\n$TTL 7\n"
UNCHECKED = [part for check in "kmnr" for part in (f"-{check}", "ignore")]
BIND = ("named-compilezone", "-i", "none", *UNCHECKED, "-s", "full")
NSD = ("nsd-checkzone", "-p")
PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"

Records = set[tuple[bytes, bytes, int, bytes]]
"""Owner, TTL, type, rdata."""


def ours(path: Path) -> tuple[Records, list[str]]:
    """Return the records of a file, and the problems."""
    found: ZoneFile = read_zone(str(path), wire(ZONE), 30)
    foreign, wrong = foreign_rrsets(found)
    records = {
        (owner.lower(), packed[:4], rtype, rdata)
        for owner, rtype, packed in [*found.rrsets, *foreign]
        for _, rdata in unpack_records(packed)
    }
    return records, [problem[2] for problem in [*found.problems, *wrong]]


def theirs(program: tuple[str, ...], path: Path) -> Records | None:
    """Return the records that a server reads from a file; None if it refuses the file."""
    output = path.with_suffix(".out")
    name, *options = program
    if program == BIND:
        options += ["-o", str(output)]
    done = subprocess.run(
        [shutil.which(name, path=PATH) or name, *options, ZONE, path],
        cwd=path.parent,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return None
    if program == NSD:
        output.write_bytes(done.stdout)
    # The output has one plain record on each line.
    records, problems = ours(output)
    assert problems == []
    return records


def write(directory: Path, text: bytes) -> Path:
    (directory / "included.zone").write_bytes(INCLUDED)
    path = directory / "main.zone"
    path.write_bytes(HEAD + text)
    return path


BOTH = (BIND, NSD)
CASES: list[tuple[str, bytes, tuple[tuple[str, ...], ...]]] = [
    ("string over lines", b'a TXT "one\n$ORIGIN sub\ntwo"\nb A 192.0.2.1\n', (NSD,)),
    ("string over lines in parentheses", b'a TXT ( "one\n)\ntwo"\n )\n', (NSD,)),
    ("string over lines that end in CR LF", b'a TXT "one\r\ntwo"\r\nb A 192.0.2.1\r\n', (NSD,)),
    ("escaped line end in a string", b'a TXT "one\\\ntwo"\n', (BIND,)),
    ("strings without blanks between them", b'a TXT "one""two"three"four"\n', BOTH),
    ("CR as line end", b"a A 192.0.2.1\rb A 192.0.2.2\r\r A 192.0.2.3\r", BOTH),
    ("CR LF as line end", b"a A 192.0.2.1 ; c\r\n\r\n;c\r\n A 192.0.2.3\r\n", BOTH),
    ("CR in parentheses", b"a A (\r192.0.2.1\r)\rb A 192.0.2.2\n", BOTH),
    ("CR in a string", b'a TXT "one\rtwo"\n', BOTH),
    ("CR in a comment", b"a A 192.0.2.1 ; c\rb A 192.0.2.2\nc A 192.0.2.3\n", BOTH),
    ("owner in quotes", b'"a" A 192.0.2.1\n A 192.0.2.2\n"b c" A 192.0.2.3\n', BOTH),
    ("dots and @ in quotes", b'"a.b" A 192.0.2.1\n"a\\.b" A 192.0.2.1\n"@" TXT x\n', (BIND,)),
    ("owner inherited into an include", b"a TXT x\n$INCLUDE included.zone\n", BOTH),
    ("owner after an include", b"a TXT x\n$INCLUDE included.zone\n TXT y\nb TXT z\n", (BIND,)),
    ("TTL of 2^31", b"a 2147483648 A 192.0.2.1\nb 4294967295 A 192.0.2.1\n", (BIND,)),
    ("$TTL of 2^31", b"$TTL 2147483648\na A 192.0.2.1\n", (BIND,)),
    ("types of RFC 1035", b"a MB m\n MG m\n MR m\n MINFO m n\n NULL \\# 1 ff\n", BOTH),
    ("parentheses around the owner", b"( a A\n192.0.2.1 )\n", (BIND,)),
    ("class and TTL in either order", b"a IN 5 A 192.0.2.1\nb 5 IN A 192.0.2.1\n", BOTH),
]


@needs("named-compilezone", "nsd-checkzone")
@pytest.mark.parametrize(("text", "peers"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_file_is_read_as_by_peers(
    tmp_path: Path, text: bytes, peers: tuple[tuple[str, ...], ...]
) -> None:
    path = write(tmp_path, text)
    records, _ = ours(path)
    for program in peers:
        assert records == theirs(program, path)


LINES = [
    b"a A 192.0.2.1", b" A 192.0.2.3", b'c TXT "one" two "th ree"', b'd TXT ( "x"\n  y ; c\n "z" )',
    b"e MX 10 mail", b"$ORIGIN sub", b"$ORIGIN example.org.", b"g CNAME h", b"",
    b'i CAA 0 issue "ca; x=y"', b'j HTTPS 1 . alpn="h2,h3" port=8443', b"k TYPE731 \\# 3 abcdef",
    b'; comment "quote (paren', b"l\\.m NS n", b"o\\032p PTR q", b'"r" A 192.0.2.4',
    b'@ TXT "multi\\\nline"', b'\xc3\xbc HINFO "PC" OS', b"u IN AAAA 2001:db8::1",
    b"$INCLUDE included.zone sub",
]  # fmt: skip
PIECES = [
    b'"', b'"', b"(", b")", b";", b"\n", b"\r", b"\r\n", b" ", b"\t", b"\\", b'\\"', b"\\\n", b".",
    b"@", b"=", b",", b"0",
]  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    """Return a zone file with up to two pieces inserted, removed or replaced."""
    end = rng.choice([b"\n", b"\n", b"\r\n", b"\r"])
    text = b"".join(rng.choice(LINES) + end for _ in range(rng.randint(1, 5)))
    for _ in range(rng.randint(0, 2)):
        at = rng.randrange(len(text))
        cut = rng.choice([0, 0, 1, 2])
        text = text[:at] + rng.choice([b"", *PIECES]) + text[at + cut :]
    return text


@needs("named-compilezone")
def test_mutated_files_are_read_as_by_bind(tmp_path: Path) -> None:
    rng = random.Random(11)
    accepted = 0
    for _ in range(80):
        text = mutated(rng)
        path = write(tmp_path, text)
        expected = theirs(BIND, path)
        if expected is None:
            continue
        accepted += 1
        records, problems = ours(path)
        assert without_ttl(records) == without_ttl(expected), text
        assert [why for why in problems if "comment" not in why and "outside" not in why] == [], (
            text
        )
    assert accepted > 15


def without_ttl(records: Records) -> set[tuple[bytes, int, bytes]]:
    """Return records without TTLs: BIND takes the first of an RRset, we take the lowest."""
    return {(owner, rtype, rdata) for owner, _, rtype, rdata in records}
