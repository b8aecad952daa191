"""Logs that would be written to a file that musterd uses for something else."""

import os
from pathlib import Path

import pytest

from musterd.errors import SettingsError
from musterd.settings import Settings, load
from tests.servers import ServerFixture

TOML = """
[api]
tls_cert = "api.pem"
tls_key = "api.key"
[state]
dir = "state"
[[zones]]
name = "lab.internal"
file = "lab.zone"
[[sources.etcd]]
endpoints = ["127.0.0.1:2379"]
zones = ["lab.internal"]
ca = "ca.pem"
"""
FILES = {
    "lab.zone": "$INCLUDE more.zone\nweb 30 IN A 192.0.2.11\n",
    "more.zone": "$INCLUDE most.zone\n",
    "most.zone": "www 30 IN A 192.0.2.12\n",
    "api.pem": "-----BEGIN CERTIFICATE-----\n",
    "api.key": "-----BEGIN PRIVATE KEY-----\n",
    "ca.pem": "-----BEGIN CERTIFICATE-----\n",
    "state/store.db": "SQLite format 3\0",
}
USES = [
    ("musterd.toml", "the configuration file"),
    ("./state/../musterd.toml", "the configuration file"),
    ("lab.zone", "also a zone file"),
    ("more.zone", "included by .*lab.zone"),
    ("most.zone", "included by .*lab.zone"),
    ("api.pem", "also api.tls_cert"),
    ("api.key", "also api.tls_key"),
    ("ca.pem", r"also sources.etcd\[0\].ca"),
    ("state/store.db", r"a file of \[state\] dir"),
    ("state/store.db-wal", r"a file of \[state\] dir"),
    ("state/lab.internal.snapshot", r"a file of \[state\] dir"),
    ("state/token", r"a file of \[state\] dir"),
]
SECTIONS = {"log": "[log]", "query_log": "[query_log]\nenabled = true"}


def _load(folder: Path, more: str, **environ: str) -> Settings:
    (folder / "state").mkdir(exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return load(ServerFixture(folder, TOML + more).settings, environ)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(("name", "use"), USES)
def test_log_in_a_file_of_musterd_is_rejected(
    tmp_path: Path, section: str, name: str, use: str
) -> None:
    with pytest.raises(SettingsError, match=rf"musterd.toml:\d+: {section}.file: .*: is {use}; "):
        _load(tmp_path, f'{SECTIONS[section]}\nfile = "{name}"\n')


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["lab.zone", "most.zone", "state/store.db"])
def test_link_to_a_file_of_musterd_is_rejected(tmp_path: Path, name: str, link: type) -> None:
    _load(tmp_path, "")
    link(tmp_path / name, tmp_path / "linked")
    with pytest.raises(SettingsError, match=r"query_log.file: .*linked: is "):
        _load(tmp_path, f'{SECTIONS["query_log"]}\nfile = "linked"\n')


def test_log_in_the_file_of_the_first_token_is_rejected(tmp_path: Path) -> None:
    environ = {"MUSTERD_API__FIRST_TOKEN_FILE": str(tmp_path / "first")}
    with pytest.raises(SettingsError, match=r"log.file: .*first: is also api.first_token_file"):
        _load(tmp_path, '[log]\nfile = "first"\n', **environ)


def test_file_from_the_environment_is_checked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^MUSTERD_LOG__FILE: log.file: .*: is also a zone"):
        _load(tmp_path, "", MUSTERD_LOG__FILE=str(tmp_path / "lab.zone"))


@pytest.mark.parametrize("before", ["", "text", "link"])
def test_both_logs_in_one_file_are_rejected(tmp_path: Path, before: str) -> None:
    if before:
        (tmp_path / "a.log").write_text("2026-11-21T11:27:16Z [info] ready\n")
    if before == "link":
        os.link(tmp_path / "a.log", tmp_path / "b.log")
    second = "b.log" if before == "link" else "a.log"
    logs = f'[log]\nfile = "a.log"\n[query_log]\nenabled = true\nfile = "{second}"\n'
    with pytest.raises(SettingsError, match=r"query_log.file: .*: is also \[log\] file; "):
        _load(tmp_path, logs)


def test_other_files_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "musterd.log").write_text("an old line\n")
    os.mkfifo(tmp_path / "queries.fifo")
    for log, queries in [
        ("musterd.log", "queries.jsonl"),
        ("state/musterd.log", "state/queries.jsonl"),
        ("musterd.log", "queries.fifo"),
        ("/dev/null", "/dev/null"),
    ]:
        logs = f'[log]\nfile = "{log}"\n[query_log]\nenabled = true\nfile = "{queries}"\n'
        assert _load(tmp_path, logs).query_log.enabled


def test_query_log_that_is_off_is_not_checked(tmp_path: Path) -> None:
    assert not _load(tmp_path, '[query_log]\nfile = "lab.zone"\n').query_log.enabled
