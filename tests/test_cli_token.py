"""``musterd token``: tokens are created, used, listed and revoked."""

import json
from pathlib import Path

import pytest

from tests.apikit import RunningApi

pytest_plugins = ["tests.apifixture"]


@pytest.fixture
def token_of(api: RunningApi, tmp_path: Path) -> Path:
    """Write a token with the scopes read and write:lab.internal to a file."""
    scopes = ["--scope", "read", "--scope", "write:lab.internal"]
    path = tmp_path / "ci.token"
    path.write_text(api("token", "create", "ci", *scopes, "--expires", "30d"))
    return path


def test_standard_output_has_only_the_token(api: RunningApi) -> None:
    out, output = api.both("token", "create", "ci", "--scope", "read", "--expires", "12h")
    assert len(out.split()) == 1
    assert output.startswith("ci: read, expires ")
    assert out.strip() not in output
    ((_, name, scopes, *_, until),) = [row for row in api.rows("token", "list") if row[1] == "ci"]
    assert (name, scopes) == ("ci", "read")
    assert until != "never"
    assert out.strip() not in api("token", "list") + api("token", "list", "--json")


def test_token_without_expiry(api: RunningApi) -> None:
    _, output = api.both("token", "create", "ci", "--scope", "write:*", "--scope", "admin")
    assert output.startswith("ci: write:* admin, never expires; id ")
    assert [row[-1] for row in api.rows("token", "list") if row[1] == "ci"] == ["never"]


def test_token_name_is_the_registrant(api: RunningApi, token_of: Path) -> None:
    by = ["--token-file", str(token_of)]
    api("record", "set", "web.lab.internal", "A", "10.0.0.1", *by)
    (record,) = api.objects("record", "list", "--registrant", "ci", *by)
    assert record["registrant"] == "ci"


def test_missing_scope_is_named(api: RunningApi, token_of: Path) -> None:
    by = ["--token-file", str(token_of)]
    output = api.fails("record", "set", "web.deep.lab.internal", "A", "10.0.0.1", *by)
    assert output.splitlines()[-1] == (
        f"the token is from {token_of}; "
        "to create one with this scope: musterd token create NAME --scope write:deep.lab.internal"
    )
    assert "--scope admin" in api.fails("token", "list", *by)


def test_revoked_token_is_rejected(api: RunningApi, token_of: Path) -> None:
    (ident,) = [row[0] for row in api.rows("token", "list") if row[1] == "ci"]
    assert api("token", "revoke", ident) == f"{ident}: revoked\n"
    output = api.fails("record", "list", "--token-file", str(token_of))
    assert f"the token is from {token_of}; to pass another: --token-file FILE" in output
    assert token_of.read_text().strip() not in output
    assert ident in api.fails("token", "revoke", ident)


def test_missing_token_names_the_options(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSTERD_TOKEN_FILE")
    monkeypatch.setattr("musterd.client.endpoint.FIRST_TOKENS", (Path("/none"),))
    output = api.fails("status").splitlines()[-1]
    assert output.startswith(
        "pass a token: --token-file FILE, MUSTERD_TOKEN_FILE, or token_file in "
    )
    assert output.endswith("client.toml; the server wrote its first token to [state] dir/token")


def test_first_token_of_local_server_is_found(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUSTERD_TOKEN_FILE")
    monkeypatch.setattr("musterd.client.endpoint.FIRST_TOKENS", (api.token_file,))
    api("status")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["create", "ci"], "--scope is required"),
        (["create", "ci", "--scope", "write"], 'got "write", expected read, write:ZONE'),
        (["create", "ci", "--scope", "read", "--expires", "soon"], "expected a duration such as"),
    ],
)
def test_usage_errors(line: list[str], expected: str, api: RunningApi) -> None:
    assert expected in api.fails("token", *line, code=2)


def test_token_that_only_writes_needs_no_zone_option(api: RunningApi, tmp_path: Path) -> None:
    path = tmp_path / "writer.token"
    path.write_text(api("token", "create", "writer", "--scope", "write:lab.internal"))
    by = ["--token-file", str(path)]
    output = api("record", "set", "web.lab.internal", "A", "10.0.0.1", *by)
    assert output == "web.lab.internal A: set 10.0.0.1\ndig web.lab.internal A\n"
    api("record", "delete", "web.lab.internal", "A", *by)
    output = api.fails("record", "set", "web.deep.lab.internal", "A", "10.0.0.1", *by)
    assert "lacks the scope write:deep.lab.internal" in output
    # It can't read which zones there are.
    output = api.fails("record", "set", "web.other.test", "A", "10.0.0.1", *by)
    assert output == "web.other.test is not in a declared zone\n"


def test_scope_of_an_unknown_zone_is_a_warning(api: RunningApi) -> None:
    for number, scope in enumerate(("write:nozone", "write:web.lab.internal", "write:internal")):
        _, error = api.both("token", "create", f"t{number}", "--scope", scope)
        name = scope.removeprefix("write:")
        first = error.splitlines()[0]
        assert first.startswith(f"warning: {scope}: the server has no zone {name}; it has deep.lab")
    scopes = ["write:LAB.internal.", "write:deep.lab.internal", "write:*", "read"]
    line = [word for scope in scopes for word in ("--scope", scope)]
    _, error = api.both("token", "create", "good", *line)
    assert "warning" not in error
    found = json.loads(api("token", "create", "json", "--scope", "write:nozone", "--json"))
    assert found["warnings"] == [
        "write:nozone: the server has no zone nozone; it has deep.lab.internal, lab.internal"
    ]
