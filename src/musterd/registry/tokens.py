"""Tokens: who may do what at the API.

A token is ``mst_`` and 32 random octets in base64url. The store has only its SHA-256, which is
enough for what can't be guessed, with a name, scopes and an end: ``tokens/HASH``.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pydantic_core import from_json, to_json

from musterd.backoff import Backoff
from musterd.display import excerpt
from musterd.errors import MusterdError
from musterd.kv import ABSENT, Compacted, Conflict, Entry, Store
from musterd.kv.follow import Changed, Interrupted, ListPage, Live, StoreKeys, follow
from musterd.log_once import FailureLog
from musterd.registry.names import parse_zone, zone_text

TOKENS: Final = b"/musterd/v1/tokens/"
MAX_TOKENS: Final = 10_000
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}"
FIRST: Final = "first"
"""The name of the token that the server makes itself."""

READ: Final = "read"
ADMIN: Final = "admin"
WRITE: Final = "write:"
ALL_ZONES: Final = "*"

TEXT: Final = re.compile(rb"mst_[A-Za-z0-9_-]{43}")
"""The form of a token."""

_OCTETS: Final = 32
_NAME: Final = re.compile(NAME)
_RETRY: Final = Backoff(1.0, 15.0)
"""Delays before a store that can't be read is tried again."""

log = structlog.get_logger()


class TokenError(MusterdError):
    """A token can't be made as it was asked for."""


class TokenExists(TokenError):  # noqa: N818
    """A token of this name is there already."""


class TokenNotFound(TokenError):  # noqa: N818
    """There is no token with this id."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its text. created, expires: epoch seconds, None for never."""

    digest: bytes
    id: str
    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None

    @property
    def reads(self) -> bool:
        """Whether it may read."""
        return READ in self.scopes or self.admin

    @property
    def admin(self) -> bool:
        """Whether it may do all."""
        return ADMIN in self.scopes

    @property
    def writes_any(self) -> bool:
        """Whether it may write to some zone."""
        return self.admin or any(scope.startswith(WRITE) for scope in self.scopes)

    def writes(self, zone: str) -> bool:
        """Whether it may write to a zone, named as in keys."""
        return self.admin or WRITE + ALL_ZONES in self.scopes or WRITE + zone in self.scopes


def parse_scope(text: str) -> str:
    """A scope in its one form. Raises TokenError."""
    if text in (READ, ADMIN, WRITE + ALL_ZONES):
        return text
    if text.startswith(WRITE):
        try:
            return WRITE + zone_text(parse_zone(text.removeprefix(WRITE)))
        except ValueError as error:
            raise TokenError(f'"{excerpt(text)}" is no scope: {error}') from None
    raise TokenError(f'"{excerpt(text)}" is no scope: expected read, write:ZONE, write:* or admin')


def is_token(text: str) -> bool:
    """Whether a text has the form of a token."""
    return bool(TEXT.fullmatch(text.encode()))


def new_text() -> str:
    """The text of a new token."""
    return "mst_" + secrets.token_urlsafe(_OCTETS)


class Tokens:
    """All tokens of a store; in memory, and as the store has them."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """None are known before ``load``; ``clock`` gives epoch seconds."""
        self._store = store
        self._clock = clock
        self._known: dict[bytes, Token] = {}
        self._revision = 0
        self._outage = FailureLog("tokens can't be followed")
        self.ready = True
        """False while a store that is elsewhere couldn't be read yet."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._known)

    def check(self, text: str) -> Token | None:
        """The token of a text, None if there is none, or none any more."""
        if not is_token(text):
            return None
        digest = hashlib.sha256(text.encode()).digest()
        token = self._known.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            return None
        if token.expires is not None and token.expires <= self._clock():
            return None
        return token

    def all(self) -> list[Token]:
        """Every token, by name."""
        return sorted(self._known.values(), key=lambda token: (token.name, token.id))

    async def create(
        self, name: str, scopes: Iterable[str], expires: float | None
    ) -> tuple[str, Token]:
        """Make a token; its text is not kept. Raises TokenError, StoreError."""
        if not _NAME.fullmatch(name):
            raise TokenError(
                f'"{excerpt(name)}" is no name of a token: expected 1 to 63 of A-Z a-z 0-9 . _ @ -'
            )
        if any(token.name == name for token in self._known.values()):
            raise TokenExists(f'a token is named "{name}" already: revoke it, or take another name')
        if expires is not None and expires <= self._clock():
            raise TokenError("the token would end before it begins: set expires to a later time")
        return await self._add(new_text(), name, scopes, expires)

    async def revoke(self, name: str) -> Token:
        """End a token by its id. Raises TokenNotFound, StoreError."""
        for token in self._known.values():
            if token.id == name:
                await self._store.delete(_key(token.digest))
                self._known.pop(token.digest, None)
                return token
        raise TokenNotFound(
            f'no token has the id "{excerpt(name)}": the list of tokens has the ids'
        )

    async def ensure_first(self, text: str) -> Token:
        """Have a token of the name ``first`` with this text, which may do all."""
        digest = hashlib.sha256(text.encode()).digest()
        if digest not in self._known:
            for token in [token for token in self._known.values() if token.name == FIRST]:
                await self.revoke(token.id)
            try:
                await self._add(text, FIRST, (ADMIN,), None)
            except Conflict:
                # Another server that was told the same text was faster.
                await self.load()
        return self._known[digest]

    async def _add(
        self, text: str, name: str, scopes: Iterable[str], expires: float | None
    ) -> tuple[str, Token]:
        if len(self._known) >= MAX_TOKENS:
            raise TokenError(f"there are {MAX_TOKENS} tokens already: revoke some")
        kept = tuple(dict.fromkeys(map(parse_scope, scopes)))
        digest = hashlib.sha256(text.encode()).digest()
        token = Token(digest, secrets.token_hex(6), name, kept, self._clock(), expires)
        await self._store.put(_key(digest), _value(token), expect=ABSENT)
        self._known[digest] = token
        return text, token

    async def load(self) -> None:
        """Read all that are there. Raises StoreError."""
        known: dict[bytes, Token] = {}
        async with aclosing(self._store.scan(TOKENS)) as pages:
            async for page in pages:
                self._revision = page.revision
                for entry in page.entries:
                    _take(known, entry.key, entry)
        self._known = known

    async def run(self) -> None:
        """Apply changes made by other servers, until cancelled."""
        listed: dict[bytes, Token] = {}
        keys = StoreKeys(self._store, TOKENS)
        async with aclosing(follow(keys, _RETRY, since=self._revision or None)) as steps:
            async for step in steps:
                match step:
                    case ListPage(entries, _, first, more):
                        listed = {} if first else listed
                        for entry in entries:
                            _take(listed, entry.key, entry)
                        if not more:
                            self._known = listed
                    case Changed(batches):
                        for event in (event for batch in batches for event in batch.events):
                            _take(self._known, event.key, event.entry)
                    case Live():
                        self._outage.over()
                    case Interrupted(error) if not isinstance(error, Compacted):
                        self._outage.failed(str(error))


def _key(digest: bytes) -> bytes:
    return TOKENS + digest.hex().encode()


def _value(token: Token) -> bytes:
    return to_json(
        {
            "id": token.id,
            "name": token.name,
            "scopes": list(token.scopes),
            "created": token.created,
            "expires": token.expires,
        }
    )


def _take(known: dict[bytes, Token], key: bytes, entry: Entry | None) -> None:
    """Follow the change of a key; what is wrong there is no token."""
    try:
        digest = bytes.fromhex(key[len(TOKENS) :].decode())
        if entry is None:
            known.pop(digest, None)
            return
        value: dict[str, Any] = from_json(entry.value)
        scopes: Sequence[str] = value["scopes"]
        expires = value["expires"]
        known[digest] = Token(
            digest,
            str(value["id"]),
            str(value["name"]),
            tuple(map(parse_scope, scopes)),
            float(value["created"]),
            None if expires is None else float(expires),
        )
    except (ValueError, KeyError, TypeError, MusterdError) as error:
        log.warning("a key of the store is no credential", reason=type(error).__name__)
