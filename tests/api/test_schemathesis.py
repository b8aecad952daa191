"""The API does what its description says: thousands of requests made from that, right and wrong."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.api.house import House

pytestmark = pytest.mark.slow

# What a schema can't say: whether a text is data of a type, or a name of a zone.
CONFIG = """
headers = {{ Authorization = "Bearer {token}" }}
seed = {seed}
[parameters]
zone = "muster.local"
type = "{type}"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422"]
negative_data_rejection.expected-statuses = [
    "400", "401", "403", "404", "405", "406", "408", "409", "410", "412", "413", "422", "429",
]
"""
EXAMPLES = 20
"""Of each operation; a longer run is ``schemathesis run`` with more."""


@pytest.mark.parametrize(("rtype", "seed"), [("A", 1), ("TXT", 2)])
async def test_schemathesis_finds_nothing(house: House, rtype: str, seed: int) -> None:
    async with house.serve() as server, house.client(server) as client:
        body = {"data": "10.0.0.1" if rtype == "A" else "x"}
        one = await client.put(f"/records/muster.local/web/{rtype}/one", json=body)
        assert one.status_code == 201
        config = house.folder / "schemathesis.toml"
        config.write_text(CONFIG.format(token=house.token, type=rtype, seed=seed))
        url = f"http://{server.api_address}/openapi.json"
        told = await schemathesis(
            house.folder, "--config-file", str(config), "run", url, "--exclude-path", "/v1/watch",
            "--max-examples", str(EXAMPLES), "--warnings", "off",
        )  # fmt: skip
        assert told.endswith("0"), told[-20_000:]


async def schemathesis(folder: Path, *arguments: str) -> str:
    """What it prints, and its exit status at the end."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"), *arguments, cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    told, _ = await process.communicate()
    return f"{told.decode()}\n{process.returncode}"
