"""The fixture ``api``. Test modules that use it list this module in ``pytest_plugins``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.client.api import ApiClient
from musterd.client.endpoint import find
from musterd.registry.tokens import FIRST
from tests.apikit import RunningApi, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run a server, and give the URL of its API and the file of its first token."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as url:
        yield url, folder / "state" / "token"


@pytest.fixture
def api(
    served: tuple[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> RunningApi:
    """Return the command line, configured for a server without records."""
    url, token = served
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("MUSTERD_SERVER", url)
    monkeypatch.setenv("MUSTERD_TOKEN_FILE", str(token))
    with ApiClient(find()) as client:
        for zone, owner, rtype in {
            (record["zone"], record["owner"], record["type"]) for record in client.records()
        }:
            client.delete((zone, owner, rtype))
        for token_info in client.tokens():
            if token_info["name"] != FIRST:
                client.revoke_token(token_info["id"])
    return RunningApi(url, token, capsys)
