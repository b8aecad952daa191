"""``musterd store``: copies a registry without a server."""

import asyncio
import json
from pathlib import Path

import pytest

from musterd.cli import run
from musterd.cli.etcd import PASSWORDS
from musterd.cli.store import split_location
from musterd.kv import PutOp
from musterd.registry.keys import RECORDS
from musterd.registry.tokens import TOKENS
from musterd.server.store import open_file
from musterd.store.etcd import EtcdStore
from tests.etcdkit import Certificates, running
from tests.needs import needs
from tests.servers import MUSTERD
from tests.store.kit import everything, put_all

KEYS = 20_000


def command(capsys: pytest.CaptureFixture[str], *line: str, code: int = 0) -> tuple[str, str]:
    found = run(["store", "copy", *line])
    captured = capsys.readouterr()
    assert found == code, captured.err
    return captured.out, captured.err


async def fill(path: Path) -> None:
    async with await open_file(path) as store:
        for number in range(5):
            await store.put(RECORDS + b"%d" % number, b"x")
        await store.put(TOKENS + b"1", b"x")


async def test_copy_to_etcd_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, back = tmp_path / "store.db", tmp_path / "new" / "store.db"
    await fill(path)
    async with running(tmp_path / "etcd", "etcd-3.5") as etcd:
        await etcd.with_users(("app", "pa55", "/prod/"))
        monkeypatch.setenv("MUSTERD_STORE__PASSWORD", "pa55")
        url = f"etcd://{etcd.endpoints[0]}/prod"

        def both() -> None:
            out, err = command(capsys, str(path), url, "--user", "app", "--json")
            assert json.loads(out)["written"] == 5
            assert "the etcd password crosses the network in plain text" in err
            out, err = command(capsys, url, str(back), "--user", "app")
            assert out == (
                f"{back}: 5 records written, 0 unchanged, 0 removed; tokens and other keys: 1"
                " written\n"
            )
            out, err = command(capsys, str(path), str(back), "--json")
            assert json.loads(out)["same"] == 5
            out, err = command(capsys, str(path), url, code=1)
            assert "set user and password" in err

        await asyncio.to_thread(both)
        options = etcd.options(user="app", password="pa55")  # noqa: S106
        async with EtcdStore(options, base=b"/prod") as store:
            await store.put(RECORDS + b"1", b"y")

        def others() -> None:
            _, err = command(capsys, str(path), url, "--user", "app", code=1)
            assert "--overwrite" in err
            out, _ = command(capsys, str(path), url, "--user", "app", "--overwrite", "--json")
            assert json.loads(out)["written"] == 1

        await asyncio.to_thread(others)
        monkeypatch.setenv("ETCD_PASSWORD", "other")
        await asyncio.to_thread(command, capsys, url, str(path), "--user", "app", "--overwrite")
        monkeypatch.setenv("ETCD_PASSWORD", "pa55")
        monkeypatch.delenv("MUSTERD_STORE__PASSWORD")
        await asyncio.to_thread(command, capsys, url, str(path), "--user", "app")
        # An option precedes the environment.
        monkeypatch.setenv("ETCD_PASSWORD", "other")
        (tmp_path / "password").write_text("pa55\n")
        login = ("--user", "app", "--password-file", str(tmp_path / "password"))
        await asyncio.to_thread(command, capsys, url, str(path), *login)


def test_user_without_password_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PASSWORDS:
        monkeypatch.delenv(name, raising=False)
    line = ("etcd://127.0.0.1:1", str(tmp_path / "store.db"), "--user", "app")
    _, err = command(capsys, *line, code=2)
    assert err == (
        "--user app: no password: pass --password-file, or set"
        " MUSTERD_STORE__PASSWORD or ETCD_PASSWORD\n"
    )
    _, err = command(capsys, *line[:2], "--password-file", "p", code=2)
    assert err == "--password-file: also needs user\n"


@needs("openssl")
async def test_etcd_environment_sets_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    await fill(path)
    certificates = Certificates(tmp_path / "certificates")
    async with running(tmp_path / "etcd", "etcd-3.5", certificates=certificates) as etcd:
        certificates.name(monkeypatch)
        url = f"etcd://{etcd.endpoints[0]}/prod"
        out, err = await asyncio.to_thread(command, capsys, str(path), url, "--json")
        assert json.loads(out)["written"] == 5
        assert "plain text" not in err
        async with EtcdStore(etcd.options(), base=b"/prod") as store:
            assert len((await store.range(RECORDS)).entries) == 5


@pytest.mark.slow
async def test_killed_copy_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Leases that expire in the source meanwhile don't stop it."""
    path = tmp_path / "store.db"
    async with await open_file(path) as source:
        leases = [(await source.lease_grant(ttl)).id for ttl in (600, 700)]
        for lease in leases:
            await source.put(RECORDS + b"0/%d" % lease, b"x", lease=lease)
        puts = [PutOp(RECORDS + b"1/%05d" % n, b"x" * 100) for n in range(KEYS)]
        await put_all(source, puts)
    async with (
        running(tmp_path / "etcd", "etcd-3.5") as etcd,
        EtcdStore(etcd.options()) as target,
    ):
        url = f"etcd://{etcd.endpoints[0]}"
        copying = await asyncio.create_subprocess_exec(
            *MUSTERD, "store", "copy", path, url, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            while not (await target.range(RECORDS + b"1/%05d" % (KEYS // 20))).entries:
                assert copying.returncode is None, await copying.communicate()
        copying.kill()
        await copying.communicate()
        there = len(await everything(target, RECORDS))
        assert KEYS // 20 < there < KEYS + 2
        async with await open_file(path) as source:
            await source.lease_revoke(leases[0])
            wanted = {
                key: entry.value for key, entry in (await everything(source, RECORDS)).items()
            }
        out, _ = await asyncio.to_thread(command, capsys, str(path), url, "--json")
        expected = json.loads(out)
        assert expected == {
            "written": KEYS + 2 - there, "same": there - 1, "removed": 0, "expired": 0, "others": 0,
            "leases": 0,
        }  # fmt: skip
        found = {key: entry.value for key, entry in (await everything(target, RECORDS)).items()}
        # It expires if nobody renews it in the target.
        assert found == wanted | {RECORDS + b"0/%d" % leases[0]: b"x"}
        # Keys without a lease are not affected.
        await target.put(RECORDS + b"more", b"")
        _, err = await asyncio.to_thread(command, capsys, str(path), url, code=1)
        assert "that the source lacks (1)" in err
        out, _ = await asyncio.to_thread(command, capsys, str(path), url, "--json", "--overwrite")
        assert json.loads(out)["removed"] == 2
        assert len(await everything(target, RECORDS)) == KEYS + 1


async def test_store_in_use_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "store.db"
    await fill(path)
    async with await open_file(path):
        _, err = await asyncio.to_thread(command, capsys, str(path), str(tmp_path / "b.db"), code=1)
    assert "store.db" in err


def test_file_with_the_name_of_an_endpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(fill(tmp_path / "store.db"))
    command(capsys, "store.db", "./a:1")
    out, _ = command(capsys, "a:1", "store.db")
    assert out == "store.db: 0 records written, 5 unchanged, 0 removed\n"


@pytest.mark.parametrize(
    ("location", "url", "prefix"),
    [
        ("etcd://a", "etcd://a", "/"),
        ("etcd://a:1,b:2/prod/x", "etcd://a:1,b:2", "/prod/x"),
        ("https://a:1,https://b/p", "https://a:1,https://b", "/p"),
        ("http://[::1]:2379/", "http://[::1]:2379", "/"),
        ("etcd://", "etcd://", "/"),
    ],
)
def test_location_is_split(location: str, url: str, prefix: str) -> None:
    assert split_location(location) == (url, prefix)


def test_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "store.db"
    asyncio.run(fill(path))
    link = tmp_path / "link.db"
    link.symlink_to(path)
    for line, expected in (
        ((str(path), str(link)), "the same store"),
        ((str(path), "etcd://a:x"), "expected HOST:PORT"),
        ((str(path), "etcd://me:secret@a"), "--user"),
        (("etcd://me:secret@a", "etcd://me:secret@a"), "--user"),
        (("https://me:secret@a", str(path)), "--user"),
        ((str(path), "ftp://a:1"), "or etcd://HOST:PORT"),
        (("ftp://a:1", str(path)), "or etcd://HOST:PORT"),
        ((str(path), "https://a:x"), "expected HOST:PORT"),
        ((str(path), "127.0.0.1:2379"), "etcd://127.0.0.1:2379, and a new file as ./127.0"),
        (("127.0.0.1:2379", str(path)), "write an etcd as etcd://127.0.0.1:2379"),
        ((str(path), "a:1,b:2"), "write an etcd as etcd://a:1,b:2"),
        ((str(path), "a:1/prod"), "write an etcd as etcd://a:1/prod"),
        ((str(path), "[::1]:2379"), "write an etcd as etcd://[::1]:2379"),
        ((str(path), "etcd://a:1", "--cert", "c.pem"), "--cert: also needs key"),
    ):
        _, err = command(capsys, *line, code=2)
        assert expected in err
        assert "secret" not in err
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "link.db", "store.db", "store.db.acked", "store.db.lock"
    ]  # fmt: skip
    _, err = command(capsys, str(tmp_path / "none"), str(path), code=1)
    assert "no such file" in err
