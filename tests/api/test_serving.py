"""The API of a whole server: started, restarted, reloaded, over TLS, with its first token."""

import asyncio
import os
import re
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from musterd.errors import ListenError, SettingsError, StateError
from musterd.kv import StoreLocked
from musterd.registry.tokens import new_text
from musterd.server.server import Server
from musterd.settings.watch import Watcher
from tests.catalogkit import until
from tests.needs import needs
from tests.servers import ServerFixture, answers

pytestmark = pytest.mark.slow
ONE = "/records/lab.internal/web/A/one"
BODY = {"data": "10.0.0.1"}


async def fails(fixture: ServerFixture, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        await Server(Watcher(fixture.settings, {})).run()


async def test_registered_names_survive_restart(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        assert (await client.put(ONE, json=BODY)).status_code == 201
        assert await answers(server, "web") == ["10.0.0.1"]
    async with fixture.serve() as server, fixture.client(server) as client:
        assert (await client.get(ONE)).json()["data"] == "10.0.0.1"
        assert await answers(server, "web") == ["10.0.0.1"]
    assert {path.name for path in fixture.state.iterdir()} == {
        "store.db", "store.db.acked", "store.db.lock", "token", "serials.json",
    }  # fmt: skip


async def test_first_token_file_is_private(fixture: ServerFixture) -> None:
    async with fixture.serve():
        path = fixture.state / "token"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert re.fullmatch(r"mst_[A-Za-z0-9_-]{43}\n", path.read_text())
        text = fixture.token
    async with fixture.serve():
        assert fixture.token == text


async def test_first_token_from_environment(fixture: ServerFixture) -> None:
    text, other = new_text(), new_text()
    async with (
        fixture.serve({"MUSTERD_API__FIRST_TOKEN": text}) as server,
        fixture.client(server, token=text) as client,
    ):
        assert not (fixture.state / "token").exists()
        (await client.get("/tokens")).raise_for_status()
    async with (
        fixture.serve({"MUSTERD_API__FIRST_TOKEN": other}) as server,
        fixture.client(server, token=other) as client,
    ):
        assert len((await client.get("/tokens")).json()["tokens"]) == 1
        bearer = {"authorization": f"Bearer {text}"}
        assert (await client.get("/tokens", headers=bearer)).status_code == 401


async def revoke_first(client: httpx.AsyncClient) -> None:
    tokens = (await client.get("/tokens")).json()["tokens"]
    (token,) = (each for each in tokens if each["name"] == "first")
    (await client.delete(f"/tokens/{token['id']}")).raise_for_status()


async def test_first_token_from_file(fixture: ServerFixture) -> None:
    file = fixture.folder / "given"
    fixture.set(("[api]\n", f'[api]\nfirst_token_file = "{file}"\n'))
    text = new_text()
    file.write_text(text)
    async with fixture.serve() as server, fixture.client(server, token=text) as client:
        made = (await client.post("/tokens", json={"name": "x", "scopes": ["admin"]})).json()
        await revoke_first(client)
        assert (await client.get("/tokens")).status_code == 401
    # A revoked token stays revoked, whatever the file contains.
    async with fixture.serve() as server, fixture.client(server, token=text) as client:
        assert (await client.get("/tokens")).status_code == 401
        bearer = {"authorization": f"Bearer {made['token']}"}
        assert (await client.get("/tokens", headers=bearer)).status_code == 200


async def test_revoked_first_token_is_replaced_after_restart(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        old = fixture.token
        await revoke_first(client)
    async with fixture.serve() as server, fixture.client(server) as client:
        assert fixture.token != old
        (await client.get("/tokens")).raise_for_status()
        bearer = {"authorization": f"Bearer {old}"}
        assert (await client.get("/tokens", headers=bearer)).status_code == 401


async def test_revoked_token_in_file_of_operator_is_not_used(fixture: ServerFixture) -> None:
    file = fixture.folder / "given"
    fixture.set(("[api]\n", f'[api]\nfirst_token_file = "{file}"\n'))
    text = new_text()
    file.write_text(text)
    async with fixture.serve() as server, fixture.client(server, token=text) as client:
        await revoke_first(client)
    with capture_logs() as logged:
        async with fixture.serve() as server, fixture.client(server, token=text) as client:
            assert (await client.get("/tokens")).status_code == 401
    assert [entry["reason"] for entry in logged if entry["event"] == "no admin token"]
    assert file.read_text() == text


async def test_invalid_first_token_is_rejected(fixture: ServerFixture) -> None:
    fixture.set(("[api]\n", '[api]\nfirst_token_file = "nowhere/token"\n'))
    await fails(fixture, StateError, "MUSTERD_API__FIRST_TOKEN")
    (fixture.folder / "bad").write_text("no token\n")
    fixture.set(("[api]\n", '[api]\nfirst_token_file = "bad"\n'))
    await fails(fixture, StateError, "contains no token: remove it")
    secret = "mst_tooshort"  # noqa: S105 - it is none
    with pytest.raises(SettingsError) as caught:
        Watcher(fixture.settings, {"MUSTERD_API__FIRST_TOKEN": secret})
    assert secret not in str(caught.value)


async def test_tokens_are_not_logged(
    fixture: ServerFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    text = new_text()
    fixture.set(("[dns]", '[log]\nlevel = "debug"\n[dns]'))
    async with (
        fixture.serve({"MUSTERD_API__FIRST_TOKEN": text}) as server,
        fixture.client(server, token=text) as client,
    ):
        made = (await client.post("/tokens", json={"name": "x", "scopes": ["read"]})).json()
        await client.put(ONE, json=BODY)
        await client.get(f"/records?token={text}")
        await client.get(f"/nothing/{text}", headers={"authorization": "Bearer x"})
    output = "".join(capfd.readouterr())
    assert text not in output
    assert made["token"] not in output


async def test_api_requires_state_directory(fixture: ServerFixture) -> None:
    fixture.set((f'dir = "{fixture.state}"', 'dir = ""'))
    async with fixture.serve() as server:
        assert server.api_address == ""
        assert await answers(server, "web") == []


async def test_registered_names_are_answered_without_listener(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        await client.put(ONE, json=BODY)
    fixture.set(('[api]\nlisten = "127.0.0.1:0"', '[api]\nlisten = ""'))
    async with fixture.serve() as server:
        assert server.api_address == ""
        await until(lambda: server.catalog.zone_reports()[0].state == "live")
        assert await answers(server, "web") == ["10.0.0.1"]


async def test_zone_without_registry_source(fixture: ServerFixture) -> None:
    fixture.set(
        ('name = "lab.internal"', 'name = "lab.internal"\nsources = ["f"]\n'
         '[[sources.zonefile]]\nname = "f"\nzone = "lab.internal"\npath = "f.zone"'),
    )  # fmt: skip
    (fixture.folder / "f.zone").write_text("web A 10.9.9.9\n")
    async with fixture.serve() as server, fixture.client(server) as client:
        response = await client.put(ONE, json=BODY)
        assert response.status_code == 409
        assert 'add "registry" to its sources' in response.json()["detail"]


async def test_registered_records_take_precedence(fixture: ServerFixture) -> None:
    fixture.set(
        ('name = "lab.internal"', 'name = "lab.internal"\n'
         '[[sources.zonefile]]\nname = "f"\nzone = "lab.internal"\npath = "f.zone"'),
    )  # fmt: skip
    (fixture.folder / "f.zone").write_text("web A 10.9.9.9\n")
    async with fixture.serve() as server, fixture.client(server) as client:
        await until(lambda: server.catalog.zone_reports()[0].state == "live")
        assert await answers(server, "web") == ["10.9.9.9"]
        await client.put(ONE, json=BODY)
        assert await answers(server, "web") == ["10.0.0.1"]
        found = (await client.get("/explain?name=web.lab.internal")).json()["records"]
        assert [each["hidden"] for each in found] == ["", "registry comes first"]


async def test_address_in_use_is_reported(fixture: ServerFixture) -> None:
    async with fixture.serve() as server:
        (fixture.folder / "other").mkdir()
        other = ServerFixture(fixture.folder / "other")
        other.set(('[api]\nlisten = "127.0.0.1:0"', f'[api]\nlisten = "{server.api_address}"'))
        await fails(other, ListenError, r"musterd itself listens on it; set \[api\] listen")


async def test_store_in_use_is_reported(fixture: ServerFixture) -> None:
    async with fixture.serve():
        await fails(fixture, StoreLocked, "uses this store")


async def test_reload(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        before = server.api_address
        (await client.put(ONE, json=BODY)).raise_for_status()
        fixture.set(("[api]\n", "[api]\nmax_body = 2000\nrate = 1000\n"))
        await until(lambda: server.state.reloads_ok == 1)
        assert server.api_address == before
        large = {**BODY, "labels": {f"l{n}": "x" * 200 for n in range(20)}}
        assert (await client.put(ONE, json=large)).status_code == 413
        fixture.set(('[api]\nlisten = "127.0.0.1:0"', '[api]\nlisten = "[::1]:0"'))
        await until(lambda: server.state.reloads_ok == 2)
        assert server.api_address.startswith("[::1]:")
        async with fixture.client(server) as other:
            assert (await other.get(ONE)).status_code == 200
        fixture.set(('[api]\nlisten = "127.0.0.1:0"', '[api]\nlisten = ""'))
        await until(lambda: server.state.reloads_ok == 3)
        assert server.api_address == ""
        fixture.set(("[api]\n", '[api]\nfirst_token_file = "x"\n'))
        await until(lambda: server.state.reloads_failed == 1)


async def test_address_of_another_section_is_named_as_own(fixture: ServerFixture) -> None:
    """A reload that swaps two addresses is rejected, since both are in use."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        first, second = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (one, two))
    api, metrics = '[api]\nlisten = "127.0.0.1:0"', '[metrics]\nlisten = ""'
    fixture.set((api, f'[api]\nlisten = "{first}"'), (metrics, f'[metrics]\nlisten = "{second}"'))
    with capture_logs() as logs:
        async with fixture.serve() as server:
            fixture.set(
                (api, f'[api]\nlisten = "{second}"'), (metrics, f'[metrics]\nlisten = "{first}"')
            )
            await until(lambda: server.state.reloads_failed == 1)
            assert server.api_address == first
    assert any("swap their addresses, restart musterd" in str(entry) for entry in logs)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 and its key, newly created."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = folder / "made"
    made.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", made / "key.pem", "-out", made / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (made / "key.pem").rename(key)
    (made / "cert.pem").rename(cert)
    return cert, key


def names(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert)


@needs("openssl")
async def test_renewed_tls_certificate_is_loaded(fixture: ServerFixture) -> None:
    cert, key = certificate(fixture.folder, "one")
    fixture.set(("[api]\n", f'[api]\ntls_cert = "{cert}"\ntls_key = "{key}"\n'))
    async with fixture.serve() as server:
        old = names(cert)
        async with fixture.client(server, verify=old) as client:
            assert (await client.put(ONE, json=BODY)).status_code == 201
            certificate(fixture.folder, "two")
            new = names(cert)
            async with asyncio.timeout(30):
                while not await _trusted(fixture, server, new):  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(0.05)
            # The client uses its old connection: it would not trust a new one.
            assert (await client.get(ONE)).status_code == 200
        assert not await _trusted(fixture, server, old)
        cert.write_text("no certificate")
        async with fixture.client(server, verify=new) as client:
            assert (await client.get(ONE)).status_code == 200
        async with fixture.client(server) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get(ONE)


@needs("openssl")
async def test_reload_changes_tls_certificate(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as plain:
        assert (await plain.put(ONE, json=BODY)).status_code == 201
        cert, key = certificate(fixture.folder, "one")
        fixture.set(("[api]\n", f'[api]\ntls_cert = "{cert}"\ntls_key = "{key}"\n'))
        await until(lambda: server.state.reloads_ok == 1)
        async with fixture.client(server, verify=names(cert)) as client:
            assert (await client.get(ONE)).status_code == 200
        fixture.set(("[api]\n", f'[api]\ntls_cert = "{fixture.settings}"\ntls_key = "{key}"\n'))
        await until(lambda: server.state.reloads_failed == 1)
        async with fixture.client(server, verify=names(cert)) as client:
            assert (await client.get(ONE)).status_code == 200


async def _trusted(fixture: ServerFixture, server: Server, context: ssl.SSLContext) -> bool:
    async with fixture.client(server, verify=context) as client:
        try:
            return (await client.get(ONE)).is_success
        except httpx.ConnectError:
            return False


@pytest.mark.parametrize(
    ("api", "problem"),
    [
        ('listen = "0.0.0.0:8053"', "tokens would cross the network in plain text"),
        ('listen = "[::]:8053"', "set tls_cert and tls_key, or allow_plain = true"),
        ('tls_cert = "x"', "also needs tls_key"),
        ('tls_key = "x"', "also needs tls_cert"),
        ("rate = -1", "a whole number from 0"),
        ("max_body = 1", "a whole number from 1024"),
    ],
)
def test_invalid_settings_are_rejected(fixture: ServerFixture, api: str, problem: str) -> None:
    fixture.set(('listen = "127.0.0.1:0"\n[state]', f"{api}\n[state]"))
    with pytest.raises(SettingsError, match=re.escape(problem)):
        Watcher(fixture.settings, {})


@pytest.mark.parametrize(
    "api", ['listen = "0.0.0.0:8053"\nallow_plain = true', 'listen = "[::1]:8053"',
            'listen = "127.1.2.3:8053"', 'listen = "0.0.0.0:1"\ntls_cert = "x"\ntls_key = "y"'],
)  # fmt: skip
def test_valid_settings_are_accepted(fixture: ServerFixture, api: str) -> None:
    fixture.set(('listen = "127.0.0.1:0"\n[state]', f"{api}\n[state]"))
    Watcher(fixture.settings, {})


def test_registry_source_name_is_reserved(fixture: ServerFixture) -> None:
    source = '[[sources.zonefile]]\nname = "registry"\nzone = "lab.internal"\npath = "f.zone"'
    fixture.settings.write_text(f"{fixture.text}\n{source}\n")
    with pytest.raises(SettingsError, match='"registry" is reserved for the registry'):
        Watcher(fixture.settings, {})
    listed = 'name = "lab.internal"\nsources = ["registry"]'
    fixture.set(('name = "lab.internal"', listed))
    Watcher(fixture.settings, {})
    fixture.set(('name = "lab.internal"', listed), (f'dir = "{fixture.state}"', 'dir = ""'))
    with pytest.raises(SettingsError, match='no registry, because \\[state\\] dir is ""'):
        Watcher(fixture.settings, {})


async def test_read_only_directory_is_reported(fixture: ServerFixture) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is read-only for root")
    fixture.state.mkdir(mode=0o500)
    await fails(fixture, StateError, "can't be written to")


@pytest.mark.parametrize(
    ("folder", "token", "warnings"),
    [(0o700, 0o600, 0), (0o755, 0o600, 1), (0o700, 0o644, 1), (0o710, 0o640, 2), (0o707, 0o602, 2)],
)
async def test_shared_secrets_are_reported(
    fixture: ServerFixture, folder: int, token: int, warnings: int
) -> None:
    async with fixture.serve():
        pass
    fixture.state.chmod(folder)
    (fixture.state / "token").chmod(token)
    with capture_logs() as logs:
        async with fixture.serve():
            pass
    output = " ".join(entry["event"] for entry in logs)
    assert output.count("other users can access") == warnings
    assert ("chmod 700" in output) == (folder != 0o700)
    assert ("chmod 600" in output) == (token != 0o600)


async def test_files_of_the_state_are_private(fixture: ServerFixture) -> None:
    before = os.umask(0)
    try:
        async with fixture.serve():
            pass
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in fixture.state.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(fixture.state.stat().st_mode) == 0o700
