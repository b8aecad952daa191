"""The API follows its description: thousands of generated requests.

To set their number: ``EXAMPLES=1000 make test PYTEST=tests/api/test_schemathesis.py``.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from musterd.api.app import described
from tests.servers import ServerFixture

pytestmark = pytest.mark.slow

CONFIG = """
headers = {{ Authorization = "Bearer {token}" }}
seed = {seed}
{parameters}
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "412", "422"]
negative_data_rejection.expected-statuses = [
    "400", "401", "403", "404", "405", "406", "408", "409", "410", "412", "413", "422", "429",
]
"""
EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
"""Examples of each operation, besides those in its description."""
SECONDS_EACH = 2
"""Time limit for an example of every operation, in seconds."""


def there(rtype: str) -> str:
    """Return what a schema can't express: an existing zone, and a type with example data."""
    return f'[parameters]\nzone = "lab.internal"\ntype = "{rtype}"'


@pytest.mark.timeout(120 + SECONDS_EACH * EXAMPLES)
@pytest.mark.parametrize(
    ("parameters", "seed"),
    [(there("A"), 1), (there("TXT"), 2), ("", 3)],
    ids=["addresses", "texts", "anything"],
)
async def test_schemathesis_finds_no_failure(
    fixture: ServerFixture, parameters: str, seed: int
) -> None:
    # Two operations are left out: a watch never ends (see test_watch), and one revokes its token.
    apart = ("/v1/watch", "/v1/tokens/{id}")
    output = await explore(fixture, parameters, seed, *(f"--exclude-path={path}" for path in apart))
    operations = sum(map(len, described("1").openapi()["paths"].values()))
    assert f"Tested: {operations - len(apart)}\n" in output, output


async def test_schemathesis_revokes_no_token_in_use(fixture: ServerFixture) -> None:
    output = await explore(fixture, "", 4, "--include-path=/v1/tokens/{id}")
    assert "Tested: 1\n" in output, output


async def explore(fixture: ServerFixture, parameters: str, seed: int, *which: str) -> str:
    """Run schemathesis against a server; return its report."""
    async with fixture.serve() as server, fixture.client(server) as client:
        for rtype, data in (("A", "10.0.0.1"), ("TXT", "x")):
            path = f"/records/lab.internal/web/{rtype}/one"
            assert (await client.put(path, json={"data": data})).status_code == 201
        config = fixture.folder / "schemathesis.toml"
        config.write_text(CONFIG.format(token=fixture.token, parameters=parameters, seed=seed))
        url = f"http://{server.api_address}/openapi.json"
        output = await schemathesis(
            fixture.folder, f"--config-file={config}", "run", url, f"--max-examples={EXAMPLES}",
            "--warnings=off", *which,
        )  # fmt: skip
        assert output.endswith("\n0"), output[-20_000:]
        # It was let in to the end.
        assert (await client.get("/status")).status_code == 200
    return output


async def schemathesis(folder: Path, *arguments: str) -> str:
    """Return its output and its exit status."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"), *arguments, cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return f"{output.decode()}\n{process.returncode}"
