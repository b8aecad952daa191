"""``musterd token``: tokens are made, used, listed and revoked."""

from pathlib import Path

import pytest

from tests.apikit import Api

pytest_plugins = ["tests.apifixture"]


@pytest.fixture
def token_of(api: Api, tmp_path: Path) -> Path:
    """The file of a token that may write muster.local and read."""
    scopes = ["--scope", "read", "--scope", "write:muster.local"]
    path = tmp_path / "ci.token"
    path.write_text(api("token", "create", "ci", *scopes, "--expires", "30d"))
    return path


def test_only_the_token_is_on_standard_output(api: Api) -> None:
    out, said = api.both("token", "create", "ci", "--scope", "read", "--expires", "12h")
    assert len(out.split()) == 1
    assert said.startswith("ci: read, until ")
    assert out.strip() not in said
    ((_, name, scopes, *_, until),) = [row for row in api.rows("token", "list") if row[1] == "ci"]
    assert (name, scopes) == ("ci", "read")
    assert until != "never"
    assert out.strip() not in api("token", "list") + api("token", "list", "--json")


def test_a_token_without_end(api: Api) -> None:
    _, said = api.both("token", "create", "ci", "--scope", "write:*", "--scope", "admin")
    assert said.startswith("ci: write:* admin, without end; id ")
    assert [row[-1] for row in api.rows("token", "list") if row[1] == "ci"] == ["never"]


def test_what_a_token_registers_bears_its_name(api: Api, token_of: Path) -> None:
    by = ["--token-file", str(token_of)]
    api("record", "set", "web.muster.local", "A", "10.0.0.1", *by)
    (record,) = api.objects("record", "list", "--registrant", "ci", *by)
    assert record["registrant"] == "ci"


def test_a_scope_that_is_missing_is_named(api: Api, token_of: Path) -> None:
    by = ["--token-file", str(token_of)]
    said = api.fails("record", "set", "web.deep.muster.local", "A", "10.0.0.1", *by)
    assert said.splitlines()[-1] == (
        f"the token is from {token_of}; "
        "musterd token create NAME --scope write:deep.muster.local makes one that has it"
    )
    assert "--scope admin" in api.fails("token", "list", *by)


def test_a_revoked_token_is_refused(api: Api, token_of: Path) -> None:
    (ident,) = [row[0] for row in api.rows("token", "list") if row[1] == "ci"]
    assert api("token", "revoke", ident) == f"{ident}: revoked\n"
    said = api.fails("record", "list", "--token-file", str(token_of))
    assert f"the token is from {token_of}; another: --token-file FILE" in said
    assert token_of.read_text().strip() not in said
    assert ident in api.fails("token", "revoke", ident)


def test_no_token_says_where_to_put_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSTERD_TOKEN_FILE")
    monkeypatch.setattr("musterd.client.endpoint.FIRST_TOKEN", Path("/none"))
    said = api.fails("status").splitlines()[-1]
    assert said.startswith("pass a token: --token-file FILE, MUSTERD_TOKEN_FILE, or token_file in ")
    assert said.endswith("client.toml; the server wrote its first one to [state] dir/token")


def test_a_server_on_this_host_finds_its_first_token(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUSTERD_TOKEN_FILE")
    monkeypatch.setattr("musterd.client.endpoint.FIRST_TOKEN", api.token_file)
    api("status")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["create", "ci"], "--scope says what it may do"),
        (["create", "ci", "--scope", "write"], 'got "write", expected read, write:ZONE'),
        (["create", "ci", "--scope", "read", "--expires", "soon"], "expected a time as"),
    ],
)
def test_wrong_usage(line: list[str], told: str, api: Api) -> None:
    assert told in api.fails("token", *line, code=2)
