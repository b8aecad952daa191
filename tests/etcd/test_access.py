"""TLS and logins: clear errors that never contain the password."""

import asyncio
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musterd.etcd import ALL, EtcdClient, EtcdOptions, span
from musterd.etcd.watch import WatchOptions
from musterd.kv import DeleteOp, PutOp, StoreDenied, StoreLost, StoreUnavailable, StoreUncertain
from musterd.settings import EtcdLogin
from musterd.store.etcd import EtcdStore
from tests.etcdkit import Certificates, running
from tests.needs import needs

pytestmark = pytest.mark.slow
PASSWORD = "pa55-word"  # noqa: S105


@needs("openssl")
async def test_tls_with_a_client_certificate(home: Path, version: str) -> None:
    certificates = Certificates(home / "certificates")
    async with running(home, version, certificates=certificates) as etcd:
        async with EtcdClient(etcd.options()) as client, client.watch(b"a") as watch:
            at = await client.put(b"a", b"")
            assert (await anext(watch)).revision == at
        port = etcd.members[0].port
        by_name = etcd.options(endpoints=(f"localhost:{port}",))
        async with EtcdClient(by_name) as client:
            assert (await client.range(b"a")).revision == at
        other = Certificates(home / "other")
        for options, word in (
            (etcd.options(cert=None, key=None), "may have rejected the client certificate"),
            (etcd.options(cert=other.cert("client"), key=other.key("client")), "ca, cert and key"),
            (etcd.options(ca=other.ca), f"({other.ca}, "),
            (etcd.options(ca=None), "ca, cert and key"),
            (etcd.options(ca=other.ca), "ETCD_CACERT"),
            (etcd.options(ca=home / "none.pem"), "No such file"),
            (etcd.options(key=other.key("client")), "KEY_VALUES_MISMATCH"),
            (etcd.options(ca=None, cert=None, key=None), "ca"),
        ):
            short = EtcdOptions(
                options.endpoints, options.ca, options.cert, options.key, request=1.0
            )
            async with EtcdClient(short) as client:
                with pytest.raises(StoreUnavailable) as caught:
                    await client.range(b"a")
            assert etcd.members[0].endpoint in str(caught.value)
            assert word in str(caught.value)


@needs("openssl")
async def test_https_trusts_the_cas_of_the_system(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = Certificates(home / "certificates")
    login = EtcdLogin.model_validate(
        {"cert": str(certificates.cert("client")), "key": str(certificates.key("client"))}
    )
    async with running(home, "etcd-3.5", certificates=certificates) as etcd:
        options = EtcdOptions.of([f"https://{etcd.members[0].endpoint}"], login)
        with pytest.raises(StoreUnavailable, match="ca, cert and key"):
            async with EtcdClient(replace(options, request=1.0)) as client:
                await client.range(b"a")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        async with EtcdClient(options) as client:
            assert await client.put(b"a", b"")


@needs("openssl")
async def test_refused_handshake_is_reported_once(home: Path) -> None:
    """The error reports it, and gRPC prints nothing to standard error."""
    certificates = Certificates(home / "certificates")
    async with running(home, "etcd-3.5", certificates=certificates) as etcd:
        script = f"""
import asyncio
from pathlib import Path
from musterd.etcd import EtcdClient, EtcdOptions
options = EtcdOptions(("{etcd.members[0].endpoint}",), Path("{certificates.ca}"))
async def ask():
    async with EtcdClient(options) as client:
        await client.range(b"a")
asyncio.run(ask())
"""
        environ = {name: value for name, value in os.environ.items() if "GRPC" not in name}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script), stderr=asyncio.subprocess.PIPE, env=environ
        )
        _, stderr = await process.communicate()
    assert b"may have rejected the client certificate" in stderr
    assert b"ssl_transport_security" not in stderr


@needs("openssl")
async def test_handshake_timeout_does_not_blame_certificates(home: Path) -> None:
    certificates = Certificates(home / "certificates")
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with EtcdClient(
        EtcdOptions((f"127.0.0.1:{port}",), certificates.ca, request=3.0)
    ) as client:
        with pytest.raises(StoreUnavailable, match="no answer to the TLS handshake") as caught:
            await client.range(b"a")
    server.close()
    assert "certificate" not in str(caught.value)
    assert str(certificates.ca) not in str(caught.value)


async def test_unresolvable_host_is_unavailable_not_uncertain() -> None:
    """Nothing can have been written, so the write may go to another endpoint.

    Resolvers never look up such a name (RFC 7686), so the test needs none.
    """
    async with EtcdClient(EtcdOptions(("none.onion:2379",), request=1.0)) as client:
        with pytest.raises(StoreUnavailable, match="check the host name") as caught:
            await client.put(b"a", b"")
    assert not isinstance(caught.value, StoreUncertain)


@needs("openssl")
async def test_new_certificate_files_are_read_without_restart(home: Path) -> None:
    """A client without a certificate connects as soon as the file exists."""
    certificates = Certificates(home / "certificates")
    cert, key = home / "my.pem", home / "my.key"
    async with (
        running(home, "etcd-3.5", certificates=certificates) as etcd,
        EtcdClient(etcd.options(cert=cert, key=key, request=1.0)) as client,
    ):
        with pytest.raises(StoreUnavailable, match=r"my\.pem"):
            await client.range(b"a")
        key.write_bytes(certificates.key("client").read_bytes())
        cert.write_bytes(certificates.cert("client").read_bytes())
        assert (await client.range(b"a")).revision == 1


async def test_login_allows_own_prefix_and_errors_name_user_and_keys(
    home: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(home, version) as etcd:
        await etcd.with_users(("app", PASSWORD, "a/"))
        right = etcd.options(user="app", password=PASSWORD, request=2.0)
        async with EtcdClient(right) as client:
            async with client.watch(*span(b"a/")) as watch:
                await client.put(b"a/x", b"")
                assert (await anext(watch)).events[0].key == b"a/x"
            with pytest.raises(StoreDenied, match="user app may not write b/1:") as caught:
                await client.put(b"b/1", b"")
            with pytest.raises(StoreDenied, match="user app may not write b/:"):
                await client.delete(*span(b"b/"))
            for key, end, keys in (
                (*span(b"b/"), "b/"),
                (b"b/7\0", b"b0", "b/"),
                (ALL, ALL, "all"),
            ):
                with pytest.raises(StoreDenied, match=f"user app may not read {keys}"):
                    await client.range(key, end)
            async with EtcdStore(right) as store:
                with pytest.raises(StoreDenied, match="may not read and write b/1:"):
                    await store.delete(b"b/1", expect=1)
                with pytest.raises(StoreDenied, match="may not read and write b/:"):
                    await store.transaction((), (PutOp(b"b/1", b""), DeleteOp(b"b/2")))
            async with client.watch(*span(b"b/"), from_revision=1) as watch:
                with pytest.raises(StoreLost, match="user app may not read b/:"):
                    await anext(watch)
        assert PASSWORD not in str(caught.value)
        for options, word in (
            (etcd.options(user="app", password=PASSWORD + "x", request=2.0), "rejects user app"),
            (etcd.options(user="nobody", password=PASSWORD, request=2.0), "rejects user nobody"),
            (etcd.options(request=2.0), "set user and password"),
        ):
            assert PASSWORD not in repr(options)
            async with EtcdClient(options) as client:
                with pytest.raises(StoreDenied, match=word) as caught:
                    await client.range(b"a/x")
            assert PASSWORD not in str(caught.value)
    assert PASSWORD not in caplog.text


async def test_password_file_is_read_at_each_login(home: Path) -> None:
    """A new password needs no restart."""
    file = home / "password"
    async with running(home, "etcd-3.5") as etcd:
        await etcd.with_users(("app", PASSWORD, "a/"))
        options = etcd.options(user="app", password_file=file, request=1.0)
        async with EtcdClient(options) as client:
            for content, problem in (
                (None, "No such file"),
                (b"\n", "expected a password"),
                (b"\xff", "is not UTF-8"),
                (b"x" * 5000, "expected a password"),
            ):
                if content is not None:
                    file.write_bytes(content)
                with pytest.raises(StoreUnavailable, match=problem) as caught:
                    await client.range(b"a/x")
                assert str(file) in str(caught.value)
            file.write_text("old")
            with pytest.raises(StoreDenied, match="rejects user app"):
                await client.range(b"a/x")
            file.write_text(f"{PASSWORD}\n")
            await client.put(b"a/x", b"")


async def test_user_is_accepted_while_logins_are_off(home: Path) -> None:
    async with running(home, "etcd-3.5") as etcd:
        options = etcd.options(user="app", password=PASSWORD)
        async with EtcdClient(options) as client:
            await client.put(b"a/x", b"")
            await etcd.with_users(("app", PASSWORD, "a/"))
            await client.put(b"a/x", b"")


async def test_role_changes_do_not_disturb_client(home: Path, version: str) -> None:
    """Each change of roles invalidates every token."""
    async with running(home, version) as etcd:
        await etcd.with_users(("app", PASSWORD, "a/"))
        options = etcd.options(user="app", password=PASSWORD)
        async with EtcdClient(options) as client, client.watch(*span(b"a/")) as watch:
            await client.put(b"a/1", b"")
            root = await etcd.gateway("auth/authenticate", {"name": "root", "password": "root"})
            for name in ("one", "two"):
                await etcd.gateway("auth/role/add", {"name": name}, root["token"])
                await client.put(b"a/2", b"")
            async with asyncio.timeout(5):
                found = [(await anext(watch)).events[0].key for _ in range(3)]
    assert found == [b"a/1", b"a/2", b"a/2"]


async def test_unknown_token_makes_watch_log_in_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted member forgets tokens; the watch survives repeated rejections."""
    async with running(home, "etcd-3.5") as etcd:
        await etcd.with_users(("app", PASSWORD, "a/"))
        options = etcd.options(user="app", password=PASSWORD)
        async with EtcdClient(options, WatchOptions(denied=3600.0)) as client:
            transport, opened = client._transport, 0
            really = transport.open

            async def forgetful(method: Any, requests: int) -> Any:
                nonlocal opened
                opened += 1
                if opened <= 3:
                    transport._token = f"unknown.{opened}"
                return await really(method, requests)

            monkeypatch.setattr(transport, "open", forgetful)
            async with asyncio.timeout(30), client.watch(*span(b"a/")) as watch:
                revision = await client.put(b"a/x", b"")
                assert (await anext(watch)).revision == revision
    assert opened == 4
