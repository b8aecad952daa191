"""The fixture ``api``: test modules that use it name this one in ``pytest_plugins``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.client.api import ApiClient
from musterd.client.endpoint import find
from musterd.registry.tokens import FIRST
from tests.apikit import Api, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a server's API, and the file of its first token."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as url:
        yield url, folder / "state" / "token"


@pytest.fixture
def api(
    served: tuple[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Api:
    """The command line turned to a server in which nothing is registered."""
    url, token = served
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("MUSTERD_SERVER", url)
    monkeypatch.setenv("MUSTERD_TOKEN_FILE", str(token))
    with ApiClient(find()) as client:
        for zone, owner, rtype in {
            (one["zone"], one["owner"], one["type"]) for one in client.records()
        }:
            client.delete((zone, owner, rtype))
        for one in client.tokens():
            if one["name"] != FIRST:
                client.revoke_token(one["id"])
    return Api(url, token, capsys)
