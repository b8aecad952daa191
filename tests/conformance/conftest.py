"""Servers that several tests ask: musterd in this process, the peers beside it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import peers
from tests.conformance.peers import ZoneText
from tests.conformance.transport import Address, parse_address
from tests.dnskit import core_with_zone, listening

ZONE = """
@ 3600 IN SOA ns hostmaster 7 7200 1800 86400 60
@ 3600 IN NS ns
ns 300 IN A 192.0.2.53
www 300 IN A 192.0.2.1
many 300 IN TXT {texts}
"""
TEXTS = "\nmany 300 IN TXT ".join(f'"{number}" "{"t" * 200}"' for number in range(10))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Address]]:
    """Addresses of all servers with the zone ``example.``, those that are installed."""
    zone = ZoneText("example.", "$ORIGIN example.\n" + ZONE.format(texts=TEXTS))
    home: Path = tmp_path_factory.mktemp("servers")
    absent = peers.missing()
    with contextlib.ExitStack() as stack:
        found = {
            kind.name: stack.enter_context(peers.running(kind, [zone], home / kind.name))
            for kind in peers.KINDS
            if kind.package not in absent
        }
        core = core_with_zone(zone.text, version=peers.VERSION, server_id=peers.SERVER_ID)
        bound = stack.enter_context(listening(core))
        yield {**found, "musterd": parse_address(bound[0])}
