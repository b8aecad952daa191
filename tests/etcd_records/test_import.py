"""``musterd import hades-etcd``, from an etcd that still has API v2."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from musterd.cli import run
from musterd.cli.etcd import PASSWORDS
from musterd.etcd import EtcdClient, span
from tests.catalogkit import RecordingCore
from tests.etcd_records.kit import ZONE, feeding
from tests.etcdkit import Certificates, Etcd, running
from tests.needs import needs

Capture = pytest.CaptureFixture[str]
pytestmark = needs("etcd")

RECORDS = {
    "/hades/internal/lab/web/a1": {"host": "10.0.0.1", "type": "A"},
    "/hades/internal/lab/web/a2": {"host": "10.0.0.2", "type": "A"},
    "/hades/internal/lab/www": {"host": "web.lab.internal", "type": "CNAME"},
    "/hades/monitor/status/10.0.0.2": {"status": "DOWN", "ports": ["80"]},
}
OTHERS = {
    "/hades/monitor/report/10.0.0.1": {"hostname": "scanner"},
    "/hades/monitor/heart/scanner": {"hostname": "scanner"},
    "/hades/internal/lab/bad": "{",
}


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Etcd]:
    async with running(tmp_path / "etcd", "etcd-3.4", flags=("--enable-v2=true",)) as etcd:
        async with httpx.AsyncClient(base_url=f"http://{etcd.endpoints[0]}/v2/keys") as http:
            for key, value in {**RECORDS, **OTHERS}.items():
                text = value if isinstance(value, str) else json.dumps(value)
                (await http.put(key, data={"value": text})).raise_for_status()
            answer = await http.put("/hades/internal/lab/short", data={"value": "{}", "ttl": "600"})
            answer.raise_for_status()
        yield etcd


async def keys(etcd: Etcd) -> dict[str, object]:
    """Return the keys of API v3."""
    async with EtcdClient(etcd.options()) as client:
        found = (await client.range(*span(b"/"))).entries
    return {each.key.decode(): json.loads(each.value) for each in found}


def musterd(etcd: Etcd, *more: str) -> int:
    return run(["import", "hades-etcd", f"http://{etcd.endpoints[0]}", *more])


async def test_second_copy_changes_nothing(etcd: Etcd, capsys: Capture) -> None:
    to = ("--to", etcd.endpoints[0])
    assert await _run(etcd, *to, "--dry-run") == 1
    assert "4 would be copied" in capsys.readouterr().out
    assert await keys(etcd) == {}
    assert await _run(etcd, *to) == 1
    output = capsys.readouterr()
    assert [line.strip() for line in output.out.splitlines()] == [
        "8 keys found",
        "4 copied",
        "2 skipped: used by scanners and schedulers only",
        "1 skipped: they have a TTL, so their writer must write them again",
        "1 skipped: unreadable",
    ]
    assert "/hades/internal/lab/bad: its value is not valid JSON" in output.err
    assert await keys(etcd) == RECORDS
    assert await _run(etcd, *to) == 1
    assert "4 unchanged" in capsys.readouterr().out
    core = RecordingCore()
    async with feeding(etcd.options(), core, layout="hades"):
        found = [line for line in core.text(ZONE) if line.startswith("w")]
        assert found == [
            "web.lab.internal. 300 A 10.0.0.1",
            "www.lab.internal. 300 CNAME web.lab.internal.",
        ]


async def test_other_value_is_kept_unless_replace(etcd: Etcd, capsys: Capture) -> None:
    key = b"/hades/internal/lab/www"
    async with EtcdClient(etcd.options()) as client:
        await client.put(key, b'{"host":"mine.lab.internal"}')
        await _run(etcd, "--to", etcd.endpoints[0])
        assert "1 kept with another value" in capsys.readouterr().out
        assert b"mine" in (await client.range(key)).entries[0].value
        await _run(etcd, "--to", etcd.endpoints[0], "--replace")
        assert "1 replaced" in capsys.readouterr().out
        assert b"web" in (await client.range(key)).entries[0].value


async def test_keys_are_printed_as_json(etcd: Etcd, capsys: Capture) -> None:
    assert await _run(etcd) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["key"]: json.loads(each["value"]) for each in lines} == RECORDS


async def test_server_without_api_v2_is_reported(
    etcd: Etcd, tmp_path: Path, capsys: Capture
) -> None:
    assert await _run(etcd, "--prefix", "/none") == 1
    assert "no key /none" in capsys.readouterr().err
    async with running(tmp_path / "other", "etcd-3.4", flags=("--enable-v2=false",)) as other:
        assert await _run(other) == 1
        assert "--enable-v2=true" in capsys.readouterr().err
    assert run(["import", "hades-etcd", "http://127.0.0.1:1"]) == 1
    assert "can't be read" in capsys.readouterr().err
    assert run(["import", "hades-etcd", "127.0.0.1:2379"]) == 2
    assert run(["import", "hades-etcd", "http://127.0.0.1:1", "--to", "http://127.0.0.1:1"]) == 2


@needs("openssl")
async def test_etcd_environment_sets_files(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For both etcds, as for a server."""
    files = Certificates(tmp_path / "certificates")
    flags = ("--enable-v2=true",)
    async with running(tmp_path / "etcd", "etcd-3.4", flags=flags, certificates=files) as etcd:
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.cert("client"), files.key("client"))
        url = f"https://{etcd.endpoints[0]}"
        async with httpx.AsyncClient(base_url=f"{url}/v2/keys", verify=context) as http:
            for key, value in RECORDS.items():
                answer = await http.put(key, data={"value": json.dumps(value)})
                answer.raise_for_status()
        files.name(monkeypatch)
        line = ["import", "hades-etcd", url, "--to", etcd.endpoints[0]]
        assert await asyncio.to_thread(run, line) == 0, capsys.readouterr().err
        assert await keys(etcd) == RECORDS


async def test_login_of_the_target(
    etcd: Etcd, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PASSWORDS:
        monkeypatch.delenv(name, raising=False)
    to = ("--to", etcd.endpoints[0], "--user", "app")
    await etcd.with_users(("app", "pa55", "/hades/"))
    assert await _run(etcd, *to) == 2
    assert " or ".join(PASSWORDS) in capsys.readouterr().err
    for name, found in zip(PASSWORDS, ("4 copied", "4 unchanged"), strict=True):
        with monkeypatch.context() as patch:
            patch.setenv(name, "pa55")
            await _run(etcd, *to)
        output = capsys.readouterr()
        assert found in output.out
        assert "crosses the network in plain text" in output.err
    (tmp_path / "password").write_text("pa55")
    await _run(etcd, *to, "--password-file", str(tmp_path / "password"))
    assert "4 unchanged" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["https://me:s3cret@h", "http://h?x@s3cret", "me:s3cret@h"])
def test_error_hides_password_of_url(place: str, capsys: Capture) -> None:
    assert run(["import", "hades-etcd", place]) == 2
    said = capsys.readouterr()
    assert "s3cret" not in said.out + said.err
    assert run(["import", "hades-etcd", "http://127.0.0.1:1", "--to", place]) == 2
    err = capsys.readouterr().err
    assert "--to: expected HOST:PORT" in err
    assert "s3cret" not in err


async def _run(etcd: Etcd, *more: str) -> int:
    """In a thread, as the command has a loop of its own."""
    return await asyncio.to_thread(musterd, etcd, *more)
