"""The first token of a server, which gives access to everything."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from musterd.errors import StateError
from musterd.registry.tokens import Tokens, is_token, new_text
from musterd.server.private import warn_unless_private
from musterd.settings import Settings

TOKEN_FILE: Final = "token"  # noqa: S105 - its name, no secret
MAX_TOKEN_FILE: Final = 4096
"""Bytes of a token file that are read."""

log = structlog.get_logger()


async def bootstrap_token(tokens: Tokens, settings: Settings) -> None:
    """Make sure that there is a token: from the settings, or from a file, which may be created.

    Servers that share a store and first start at the same time may each create one. Raises
    StateError, StoreError.
    """
    api, folder = settings.api, settings.state.dir
    path = api.first_token_file or (folder and folder / TOKEN_FILE)
    if api.first_token is not None:
        await tokens.ensure_first(api.first_token.get_secret_value())
    elif not len(tokens) and path:
        await _use_file(tokens, path, ours=api.first_token_file is None)
    if path:
        await asyncio.to_thread(warn_unless_private, path, "token file")


async def _use_file(tokens: Tokens, path: Path, *, ours: bool) -> None:
    """Make the token in a file the first token; create it if there is none.

    A revoked token is replaced if the file is ours. A file of the operator is left as it is, and
    the server runs without a token.
    """
    text = await asyncio.to_thread(_read_or_create, path)
    if await tokens.is_revoked(text):
        if not ours:
            hint = "remove the file to get a new token, or write another one to it"
            log.error("no admin token", file=_normal(path), reason="it was revoked", hint=hint)
            return
        text = await asyncio.to_thread(_create, path)
    await tokens.ensure_first(text)
    log.info("admin token created", file=_normal(path))


def _normal(path: Path) -> str:
    return os.path.normpath(path)


def _read_or_create(path: Path) -> str:
    try:
        with suppress(FileNotFoundError), path.open("rb") as file:
            text = file.read(MAX_TOKEN_FILE).decode("ascii", "replace").strip()
            if not is_token(text):
                raise StateError(f"{path}: contains no token: remove it to get a new one")
            return text
        return _create(path)
    except OSError as error:
        raise StateError(
            f"{path}: can't keep the first token there: {error.strerror}; set [api] "
            "first_token_file to another file, or pass the token as MUSTERD_API__FIRST_TOKEN"
        ) from error


def _create(path: Path) -> str:
    """Write a new token to a file that only its owner may read. Raises OSError."""
    text = new_text()
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    beside.rename(path)
    return text
