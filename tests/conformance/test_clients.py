"""Common clients: dig, kdig, the C library."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.transport import Address, parse_address
from tests.dnskit import core_with_zone, listening
from tests.needs import CI, needs

ADDRESSES = "\n".join(f"many 60 IN A 10.0.1.{number}" for number in range(100))
ZONE = f"""
@ 60 IN SOA ns h 1 1 1 1 1
www 60 IN A 192.0.2.1
_http._tcp 60 IN SRV 1 2 80 www
wide 60 IN TXT "\\"quoted\\" and \\; more"
{ADDRESSES}
"""
SECONDS = 20


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    """Address of a core with a server id and a cookie secret."""
    core = core_with_zone(ZONE, server_id="ns1.test", version="musterd test", cookies=True)
    with listening(core) as bound:
        yield parse_address(bound[0])


def run(program: str, address: Address, *words: str) -> str:
    """Return the output of ``dig`` or ``kdig``."""
    command = [program, f"@{address[0]}", "-p", str(address[1]), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


BOTH = pytest.mark.parametrize("program", ["dig", "kdig"])


@needs("dig", "kdig")
@BOTH
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_address_is_printed(address: Address, program: str, transport: str) -> None:
    assert run(program, address, transport, "+short", "www.example", "A") == "192.0.2.1\n"


@needs("dig", "kdig")
@BOTH
def test_srv_is_printed_with_target_address(address: Address, program: str) -> None:
    text = run(program, address, "_http._tcp.example", "SRV")
    assert "1 2 80 www.example." in text
    assert "192.0.2.1" in text.partition("ADDITIONAL SECTION")[2]


@needs("dig", "kdig")
@BOTH
def test_refused_reverse_lookup_is_reported(address: Address, program: str) -> None:
    assert "REFUSED" in run(program, address, "-x", "192.0.2.1")


@needs("dig", "kdig")
@BOTH
def test_truncated_answer_is_repeated_over_tcp(address: Address, program: str) -> None:
    """All hundred addresses arrive, although UDP can hold fewer."""
    assert run(program, address, "+short", "many.example", "A").count("10.0.1.") == 100
    cut = run(program, address, "+ignore", "+bufsize=512", "many.example", "A")
    flags = next(line.lower() for line in cut.splitlines() if "flags:" in line.lower())
    assert " tc" in flags
    assert 0 < cut.count("10.0.1.") < 100


@needs("dig", "kdig")
@BOTH
def test_quoted_text_is_printed_as_in_zone_file(address: Address, program: str) -> None:
    expected = '"\\"quoted\\" and ; more"\n'
    assert run(program, address, "+short", "wide.example", "TXT").replace("\\;", ";") == expected


@needs("dig")
def test_dig_accepts_cookie(address: Address) -> None:
    """dig checks that the reply has its client cookie."""
    assert "(good)" in run("dig", address, "+cookie", "www.example")
    assert "(good)" in run("dig", address, "+tcp", "+cookie", "www.example")


@needs("dig", "kdig")
@BOTH
def test_server_id_is_printed(address: Address, program: str) -> None:
    """By NSID, and by class CH."""
    assert "ns1.test" in run(program, address, "+nsid", "www.example")
    assert "musterd test" in run(program, address, "version.bind", "CH", "TXT")


@needs("dig")
def test_dig_reuses_connection(address: Address) -> None:
    """Several questions over a TCP connection with the keepalive option."""
    text = run(
        "dig", address, "+tcp", "+keepopen", "+keepalive", "www.example", "A",
        "+keepopen", f"@{address[0]}", "-p", str(address[1]), "many.example", "A",
    )  # fmt: skip
    assert text.count("status: NOERROR") == 2
    assert "TCP-KEEPALIVE" in text.upper().replace("TCP KEEPALIVE", "TCP-KEEPALIVE")


EXPECTED = {
    "www.example": ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
    "www": ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
    "WWW.Example.": ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
    "four.example": ["192.0.2.4"],
    "six.example": ["2001:db8::6"],
    "alias.example": ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
    "text.example": "EAI_NODATA",
    "nowhere.example": "EAI_NONAME",
    "many.example": sorted(f"10.0.1.{number}" for number in range(100)),
}


@needs("unshare", "ip", "mount")
@pytest.mark.skipif(os.geteuid() != 0 and not CI, reason="needs root for a network namespace")
@pytest.mark.parametrize("options", ["ndots:1", "edns0", "use-vc", "single-request", "trust-ad"])
def test_getaddrinfo(options: str) -> None:
    """The C library sends A and AAAA at once, uses a search list, and falls back to TCP."""
    command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.conformance.resolver"]
    done = subprocess.run(
        [*command, options, *EXPECTED],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED
