"""Tokens: format, scopes and storage."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd.registry.tokens import (
    TOKENS,
    TokenError,
    TokenExists,
    TokenNotFound,
    Tokens,
    is_token,
    new_text,
    parse_scope,
)
from musterd.store.embedded import EmbeddedStore
from tests.catalogkit import NOW, until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    async with await EmbeddedStore.open(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
async def tokens(store: EmbeddedStore) -> Tokens:
    return Tokens(store, lambda: NOW)


async def test_store_keeps_hash_not_token(store: EmbeddedStore, tokens: Tokens) -> None:
    text, token = await tokens.create("ci", ["read", "write:Lab.Internal."], None)
    assert is_token(text)
    (entry,) = (await store.range(b"")).entries
    assert entry.key == TOKENS + hashlib.sha256(text.encode()).hexdigest().encode()
    assert text.encode() not in entry.value
    assert tokens.check(text.encode()) == token
    assert token.scopes == ("read", "write:lab.internal")
    assert text not in repr(token)


async def test_invalid_token_is_rejected(tokens: Tokens) -> None:
    text, _ = await tokens.create("ci", ["admin"], None)
    for other in (
        "",
        "mst_",
        text[:-1],
        text + "a",
        text.swapcase(),
        new_text(),
        text[4:],
        "ä" * 47,
    ):
        assert tokens.check(other.encode()) is None


async def test_new_tokens_are_distinct() -> None:
    assert len({new_text() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("scopes", "reads", "writes", "admin"),
    [
        (["read"], True, [], False),
        (["write:a.test"], False, ["a.test"], False),
        (["write:*"], False, ["a.test", "b.test", "."], False),
        (["read", "write:a.test"], True, ["a.test"], False),
        (["admin"], True, ["a.test", "b.test", "."], True),
        (["write:."], False, ["."], False),
    ],
)
async def test_scopes_grant_permissions(
    tokens: Tokens, scopes: list[str], writes: list[str], *, reads: bool, admin: bool
) -> None:
    _, token = await tokens.create("x", scopes, None)
    assert (token.reads, token.admin) == (reads, admin)
    assert [zone for zone in ("a.test", "b.test", ".") if token.writes(zone)] == writes
    assert token.writes_any == bool(writes)
    assert not token.writes("sub.a.test") or "b.test" in writes


@pytest.mark.parametrize("text", ["", "write", "write:", "READ", "write:a..b", "admin ", "x"])
def test_invalid_scope_is_rejected(text: str) -> None:
    with pytest.raises(TokenError):
        parse_scope(text)


async def test_token_expires(store: EmbeddedStore) -> None:
    now = NOW
    tokens = Tokens(store, lambda: now)
    text, _ = await tokens.create("x", ["read"], NOW + 10)
    now = NOW + 9.9
    assert tokens.check(text.encode())
    now = NOW + 10
    assert tokens.check(text.encode()) is None
    with pytest.raises(TokenError, match="would expire at once"):
        await tokens.create("y", ["read"], NOW + 10)


async def test_token_names_are_unique_and_valid(tokens: Tokens) -> None:
    await tokens.create("x", ["read"], None)
    with pytest.raises(TokenExists):
        await tokens.create("x", ["read"], None)
    for name in ("", " ", "a b", "-a", "a" * 64, "ä", "a\n"):
        with pytest.raises(TokenError, match="is not a token name"):
            await tokens.create(name, ["read"], None)


async def test_revoked_token_is_rejected(tokens: Tokens) -> None:
    text, token = await tokens.create("x", ["read"], None)
    await tokens.revoke(token.id)
    assert tokens.check(text.encode()) is None
    assert tokens.all() == []
    with pytest.raises(TokenNotFound):
        await tokens.revoke(token.id)


async def test_other_server_follows_changes(store: EmbeddedStore, tokens: Tokens) -> None:
    old, first = await tokens.create("old", ["read"], None)
    other = Tokens(store, lambda: NOW)
    await other.load()
    assert other.check(old.encode()) == first
    task = asyncio.create_task(other.run())
    try:
        text, token = await tokens.create("new", ["read"], None)
        await until(lambda: other.check(text.encode()) == token)
        await tokens.revoke(first.id)
        await until(lambda: other.check(old.encode()) is None)
        await store.put(TOKENS + b"nonsense", b"{}")
        await store.put(TOKENS + b"00", b'{"id": 1}')
        last, _ = await tokens.create("last", ["read"], None)
        await until(lambda: other.check(last.encode()) is not None)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_tokens_are_listed_again_after_compaction(
    store: EmbeddedStore, tokens: Tokens
) -> None:
    other = Tokens(store, lambda: NOW)
    await other.load()
    text, _ = await tokens.create("new", ["read"], None)
    gone, token = await tokens.create("gone", ["read"], None)
    await tokens.revoke(token.id)
    await store.compact((await store.range(b"")).revision)
    task = asyncio.create_task(other.run())
    try:
        await until(lambda: other.check(text.encode()) is not None)
        assert other.check(gone.encode()) is None
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_first_token_is_replaced_by_another(tokens: Tokens) -> None:
    old, new = new_text(), new_text()
    token = await tokens.ensure_first(old)
    assert await tokens.ensure_first(old) == token
    assert token.admin
    await tokens.ensure_first(new)
    assert tokens.check(old.encode()) is None
    assert tokens.check(new.encode())
    assert [token.name for token in tokens.all()] == ["first"]


@pytest.mark.parametrize("form", ["{}", "x{}", "{}.x", "a@{}"])
async def test_name_is_no_text_of_a_token(tokens: Tokens, form: str) -> None:
    text = new_text()
    with pytest.raises(TokenError, match="the text of a token") as caught:
        await tokens.create(form.format(text), ["read"], None)
    assert text not in str(caught.value)
    await tokens.create("mst_short", ["read"], None)
