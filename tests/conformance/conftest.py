"""Servers that several tests query: musterd in this process, and the peers."""

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
    """Addresses of musterd and of all installed peers, with the zone ``example.``."""
    zone = ZoneText("example.", "$ORIGIN example.\n" + ZONE.format(texts=TEXTS))
    home: Path = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:
        found = {
            server.name: stack.enter_context(peers.running(server, [zone], home / server.name))
            for server in peers.OPTIONS
            if server.path is not None
        }
        core = core_with_zone(zone.text, version=peers.VERSION, server_id=peers.SERVER_ID)
        bound = stack.enter_context(listening(core))
        yield {**found, "musterd": parse_address(bound[0])}
