"""No log, response, error or file contains a token, whatever is done with it."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from musterd.registry.tokens import new_text
from tests.api.test_auth import BODIES, ROUTES, filled
from tests.servers import MUSTERD, ServerFixture, ServerProcess

pytestmark = pytest.mark.slow


async def test_token_secret_is_shown_once_and_never_stored(fixture: ServerFixture) -> None:
    first, unknown = new_text(), new_text()
    fixture.set(("[dns]", '[log]\nlevel = "debug"\nformat = "json"\n[dns]'))
    async with fixture.process(MUSTERD_API__FIRST_TOKEN=first) as server:
        await server.ready()
        made = [first, unknown]
        seen = ""
        async with httpx.AsyncClient(base_url=server.api, timeout=30, trust_env=False) as client:
            for name in ("reader", "gone"):
                answer = await client.post(
                    "/tokens", json={"name": name, "scopes": ["read"]}, headers=bearer(first)
                )
                made.append(answer.json()["token"])
                seen += answer.text.replace(made[-1], "")
            gone = f"/tokens/{answer.json()['id']}"
            (await client.delete(gone, headers=bearer(first))).raise_for_status()
            for text in made:
                for method, path in ROUTES:
                    seen += await every_way(client, method, path, text)
        for text in (first, unknown):
            seen += await on_the_command_line(server, fixture.folder, text)
        # The first token is still valid, so the responses above were not all 401.
        assert (await get(server, "/status", first)).is_success
        await server.stop()
    seen += "".join(map(str, server.log)) + server.text
    assert "write" in {entry["event"] for entry in server.log}
    kept = b"".join(path.read_bytes() for path in fixture.folder.rglob("*") if path.is_file())
    for text in made:
        assert text not in seen
        assert text.encode() not in kept


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def get(server: ServerProcess, path: str, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.api, timeout=30, trust_env=False) as client:
        return await client.get(path, headers=bearer(token))


async def every_way(client: httpx.AsyncClient, method: str, path: str, text: str) -> str:
    """Return all responses to a token, in the right places and in wrong ones."""
    body, target = BODIES.get((method, path)), filled(path)
    joint = "&" if "?" in target else "?"
    asked = [
        (f"{target}{joint}token={text}", body, {}),
        (target, body, {"authorization": text}),
        (target, body, {"authorization": f"Basic {text}"}),
        (target, {text: text, "name": text, "scopes": [text]}, bearer(text)),
        (target, body, {**bearer(text), "if-match": text}),
        (f"{target}/{text}/{text}", body, bearer(text)),
        (target.replace("0123456789abcdef", text + "~"), body, bearer(text)),
    ]
    if path != "/v1/watch":
        asked.append((target, body, bearer(text)))
    else:
        asked = [each for each in asked if "authorization" not in each[2]]
        asked.append((f"{target}?zone={text}&from={text}", None, bearer(text)))
    seen = ""
    for url, json, headers in asked:
        response = await client.request(method, url, json=json, headers=headers)
        seen += response.text + str(response.headers)
        if (method, path) == ("POST", "/v1/tokens") and response.status_code == 201:
            new = response.json()
            seen = seen.replace(new["token"], "")
            await client.delete(f"/tokens/{new['id']}", headers=bearer(text))
    return seen


COMMANDS = [
    "status", "record list", "record show web.lab.internal", "token list",
    "record set web.lab.internal A 10.0.0.1", "record set web.lab.internal A nonsense",
    "record delete nope.lab.internal A", "zone list", "explain web.lab.internal",
    "token create x --scope nonsense", "token revoke {token}", "lease renew {token}",
    "record show {token}", "record list --registrant {token}", "status --server {token}",
    "status --server http://{token}@127.0.0.1/", "status --token-file {token}",
    "--server {token}",
]  # fmt: skip


async def on_the_command_line(server: ServerProcess, folder: Path, text: str) -> str:
    """All that commands say with a token."""
    environ = {
        **os.environ, "MUSTERD_SERVER": server.api.removesuffix("/v1"), "MUSTERD_TOKEN": text,
    }  # fmt: skip

    async def said(command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *MUSTERD, *command.replace("{token}", text).split(), env=environ, cwd=folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return out.decode()

    return "".join(await asyncio.gather(*map(said, COMMANDS)))
