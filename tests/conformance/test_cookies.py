"""RFC 7873 and 9018: DNS cookies, compared with a second implementation."""

import struct
import time

import dns.edns
import dns.message
import dns.rcode
import pytest
from dns.rcode import BADCOOKIE, FORMERR, NOERROR

from musterd._core import Core
from tests.conformance.questions import COOKIE, Edns, Question
from tests.conformance.siphash import cookie, siphash
from tests.dnskit import core_with_zone

ZONE = "@ 60 IN SOA ns h 1 1 1 1 1\nwww 60 IN A 192.0.2.1\n"
SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
OLD_SECRET = bytes.fromhex("445536bcd2513298075a5d379663c962")
CLIENT_COOKIE = bytes.fromhex("2464c4abcf10c957")
CLIENT = "198.51.100.100"
HOUR = 3600


def ask(
    core: Core, *cookies: bytes, client: str = CLIENT, tcp: bool = False
) -> dns.message.Message:
    """Query ``www A`` with these COOKIE options."""
    options = tuple((COOKIE, data) for data in cookies)
    question = Question((b"www", b"example"), 1, edns=Edns(options=options))
    reply = core.answer(question.wire(), client, tcp)
    assert reply is not None
    return dns.message.from_wire(reply)


def given(reply: dns.message.Message) -> bytes | None:
    """Return the complete cookie of a reply, None without one."""
    found = [option for option in reply.options if option.otype == COOKIE]
    assert len(found) <= 1
    return found[0].to_wire() if found else None


def proven(core: Core, data: bytes, client: str = CLIENT) -> bool:
    """Return whether the server accepted a cookie, by its counters."""
    before = core.counters()["cookies_good"]
    assert ask(core, data, client=client).rcode() == NOERROR
    return core.counters()["cookies_good"] > before


@pytest.fixture
def core() -> Core:
    """A core that signs with SECRET and still accepts OLD_SECRET."""
    return core_with_zone(ZONE, cookies=True, cookie_secrets=[SECRET, OLD_SECRET])


def test_second_implementation_gives_published_vectors() -> None:
    """Vectors of SipHash's paper and of RFC 9018 appendix A."""
    assert siphash(bytes(range(16)), bytes(range(15))).hex() == "e545be4961ca29a1"
    vectors = [
        (SECRET, "2464c4abcf10c957", CLIENT, 1559731985, 0, "010000005cf79f111f8130c3eee29480"),
        (SECRET, "2464c4abcf10c957", CLIENT, 1559734385, 0, "010000005cf7a871d4a564a1442aca77"),
        (SECRET, "fc93fc62807ddb86", "203.0.113.203", 1559734700, 0,
         "010000005cf7a9acf73a7810aca2381e"),
        (SECRET, "fc93fc62807ddb86", "203.0.113.203", 1559727985, 0xABCDEF,
         "01abcdef5cf78f71a314227b6679ebf5"),
        (OLD_SECRET, "22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961, 0,
         "010000005cf7c609a6bb79d16625507a"),
    ]  # fmt: skip
    for secret, client_cookie, client, at, reserved, server_cookie in vectors:
        made = cookie(secret, bytes.fromhex(client_cookie), client, at, reserved)
        assert made[8:].hex() == server_cookie


@pytest.mark.parametrize("client", [CLIENT, "2001:db8:220:1:59de:d0f4:8769:82b8"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_server_cookie_follows_rfc_9018(core: Core, client: str, tcp: bool) -> None:
    """Section 4: any server with the same secret creates the same cookie."""
    before = int(time.time())
    got = given(ask(core, CLIENT_COOKIE, client=client, tcp=tcp))
    assert got is not None
    (made_at,) = struct.unpack("!I", got[12:16])
    assert before - 1 <= made_at <= time.time() + 1
    assert got == cookie(SECRET, CLIENT_COOKIE, client, made_at)


def test_query_without_cookie_gets_none(core: Core) -> None:
    """RFC 7873 section 5.2.1."""
    assert given(ask(core)) is None


def test_option_is_ignored_if_cookies_are_disabled() -> None:
    core = core_with_zone(ZONE, cookies=False)
    for data in (CLIENT_COOKIE, b"short"):
        reply = ask(core, data)
        assert (reply.rcode(), given(reply)) == (NOERROR, None)


@pytest.mark.parametrize("length", range(49))
def test_cookie_of_invalid_length_gets_formerr(core: Core, length: int) -> None:
    """RFC 7873 section 5.2.2: valid lengths are 8, and 16 to 40 bytes."""
    good = length == 8 or 16 <= length <= 40
    reply = ask(core, bytes(length))
    assert reply.rcode() == (NOERROR if good else FORMERR)
    assert bool(reply.answer) == good


@pytest.mark.parametrize(
    ("age", "good"),
    [(0, True), (1700, True), (HOUR - 60, True), (HOUR + 60, False), (10 * HOUR, False),
     (-240, True), (-360, False), (-HOUR, False), (2**31 - 1, False)],
)  # fmt: skip
def test_cookie_validity_depends_on_age(core: Core, age: int, good: bool) -> None:
    """RFC 9018 section 4.3: valid for an hour, and up to five minutes in the future."""
    made_at = (int(time.time()) - age) & 0xFFFFFFFF
    assert proven(core, cookie(SECRET, CLIENT_COOKIE, CLIENT, made_at)) == good


def test_cookie_is_renewed_after_half_an_hour(core: Core) -> None:
    """RFC 9018 section 4.3: an older cookie is replaced, a younger one is returned."""
    now = int(time.time())
    young = cookie(SECRET, CLIENT_COOKIE, CLIENT, now - 600)
    assert given(ask(core, young)) == young
    older = given(ask(core, cookie(SECRET, CLIENT_COOKIE, CLIENT, now - 2000)))
    assert older is not None
    assert struct.unpack("!I", older[12:16])[0] >= now - 1


def test_old_secret_verifies_and_new_secret_signs(core: Core) -> None:
    """RFC 9018 section 5."""
    now = int(time.time())
    old = cookie(OLD_SECRET, CLIENT_COOKIE, CLIENT, now)
    assert proven(core, old)
    new = given(ask(core, old))
    assert new is not None
    assert new == cookie(SECRET, CLIENT_COOKIE, CLIENT, struct.unpack("!I", new[12:16])[0])


def test_foreign_cookie_is_replaced(core: Core) -> None:
    """RFC 7873 section 5.2.4: the client gets an answer, and a valid cookie for the next query."""
    now = int(time.time())
    good = cookie(SECRET, CLIENT_COOKIE, CLIENT, now)
    wrong = [
        cookie(bytes(16), CLIENT_COOKIE, CLIENT, now),
        cookie(SECRET, CLIENT_COOKIE, "198.51.100.101", now),
        good[:-1] + bytes([good[-1] ^ 1]),
        bytes([good[0] ^ 1]) + good[1:],
        good[:8] + b"\x02" + good[9:],
        good[:23],
        good + b"\0",
    ]
    for data in wrong:
        assert not proven(core, data)
        assert given(ask(core, data)) not in {None, data}


def test_reserved_bytes_of_cookie_are_accepted() -> None:
    """RFC 9018 section 4.2: another implementation's cookie may have other values there."""
    core = core_with_zone(ZONE, cookies=True, cookie_secrets=[SECRET])
    assert proven(core, cookie(SECRET, CLIENT_COOKIE, CLIENT, int(time.time()), 0xABCDEF))


def test_first_of_several_cookies_is_used(core: Core) -> None:
    """RFC 7873 section 5.2: the others are ignored."""
    reply = ask(core, CLIENT_COOKIE, b"short")
    assert reply.rcode() == NOERROR
    assert (given(reply) or b"")[:8] == CLIENT_COOKIE


def test_query_for_cookie_without_question(core: Core) -> None:
    """RFC 7873 section 5.4: NOERROR with a cookie."""
    edns = Edns(options=((COOKIE, CLIENT_COOKIE),)).wire()
    query = struct.pack("!HHHHHH", 7, 0, 0, 0, 0, 1) + edns
    reply = core.answer(query, CLIENT)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.rcode() == NOERROR
    assert not message.question
    got = given(message)
    assert got is not None
    assert got == cookie(SECRET, CLIENT_COOKIE, CLIENT, struct.unpack("!I", got[12:16])[0])


def test_valid_cookie_exempts_from_rate_limit() -> None:
    """RFC 7873 section 5.2.3: above the limit, BADCOOKIE gives a client a valid cookie."""
    core = core_with_zone(ZONE, cookies=True, cookie_secrets=[SECRET], rate_limit=1)
    ask(core, CLIENT_COOKIE)
    refused = ask(core, CLIENT_COOKIE)
    assert refused.rcode() == BADCOOKIE
    assert not refused.answer
    good = given(refused)
    assert good is not None
    for _ in range(20):
        assert ask(core, good).rcode() == NOERROR
