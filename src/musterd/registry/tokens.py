"""API tokens and their scopes.

A token is ``mst_`` and 32 random bytes in base64url. The store has only its SHA-256, which suffices
for a random secret, with name, scopes and expiry, at ``tokens/HASH``.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, suppress
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
REVOKED: Final = b"/musterd/v1/revoked/"
"""Prefix of the hashes of revoked first tokens, whose text may still be in a file."""
MAX_TOKENS: Final = 10_000
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}"
FIRST: Final = "first"
"""Name of the token that the server creates itself."""

READ: Final = "read"
ADMIN: Final = "admin"
WRITE: Final = "write:"
ALL_ZONES: Final = "*"

TEXT: Final = re.compile(rb"mst_[A-Za-z0-9_-]{43}")
"""Format of a token."""

RECHECK: Final = 60.0
"""Maximum seconds between two checks of the clock, which somebody may set."""
_RANDOM_BYTES: Final = 32
_NAME: Final = re.compile(NAME)
_RETRY: Final = Backoff(1.0, 15.0)
"""Delays before a failed read of the store is retried."""

log = structlog.get_logger()


class TokenError(MusterdError):
    """A token can't be created as requested."""


class TokenExists(TokenError):  # noqa: N818
    """A token with this name exists."""


class TokenNotFound(TokenError):  # noqa: N818
    """No token has this ID."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its text. created, expires: epoch seconds; expires is None for never."""

    digest: bytes
    id: str
    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None

    @property
    def reads(self) -> bool:
        """True if it may read."""
        return READ in self.scopes or self.admin

    @property
    def admin(self) -> bool:
        """True if it may do everything."""
        return ADMIN in self.scopes

    @property
    def writes_any(self) -> bool:
        """True if it may write to any zone."""
        return self.admin or any(scope.startswith(WRITE) for scope in self.scopes)

    def writes(self, zone: str) -> bool:
        """Return whether it may write to a zone, named as in keys."""
        return self.admin or WRITE + ALL_ZONES in self.scopes or WRITE + zone in self.scopes


def parse_scope(text: str) -> str:
    """Return a scope in canonical form. Raises TokenError."""
    if text in (READ, ADMIN, WRITE + ALL_ZONES):
        return text
    if text.startswith(WRITE):
        try:
            return WRITE + zone_text(parse_zone(text.removeprefix(WRITE)))
        except ValueError as error:
            raise TokenError(f'"{excerpt(text)}" is not a scope: {error}') from None
    raise TokenError(
        f'"{excerpt(text)}" is not a scope: expected read, write:ZONE, write:* or admin'
    )


def is_token(text: str) -> bool:
    """Return whether a text has the format of a token."""
    return bool(TEXT.fullmatch(text.encode()))


def new_text() -> str:
    """Return the text of a new token."""
    return "mst_" + secrets.token_urlsafe(_RANDOM_BYTES)


class Tokens:
    """All tokens of a store, cached in memory."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """Create an empty cache; call ``load`` or ``run``. clock: returns epoch seconds."""
        self._store = store
        self._clock = clock
        self._known: dict[bytes, Token] = {}
        self._revision = 0
        self._outage = FailureLog("changes of tokens can't be followed")
        self._changed = asyncio.Event()
        """Set, and replaced, when a token has changed."""
        self.ready = True
        """False while a remote store could not be read yet."""

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self._known)

    def check(self, text: bytes) -> Token | None:
        """Return the token of a text, None if it is unknown or expired."""
        if not TEXT.fullmatch(text):
            return None
        digest = hashlib.sha256(text).digest()
        token = self._known.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            return None
        return None if self._expired(token) else token

    def valid(self, token: Token) -> bool:
        """Return whether a token is neither revoked nor changed nor expired."""
        known = self._known.get(token.digest)
        return known is not None and (known is token or known == token) and not self._expired(known)

    async def ended(self, token: Token) -> None:
        """Wait until a token is no longer valid."""
        while self.valid(token):
            seconds = RECHECK
            if token.expires is not None:
                seconds = min(seconds, token.expires - self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()

    def _expired(self, token: Token) -> bool:
        return token.expires is not None and token.expires <= self._clock()

    def _wake(self) -> None:
        """Wake everyone who waits for the end of a token."""
        self._changed.set()
        self._changed = asyncio.Event()

    def all(self) -> list[Token]:
        """Return all tokens, by name."""
        return sorted(self._known.values(), key=lambda token: (token.name, token.id))

    async def create(
        self, name: str, scopes: Iterable[str], expires: float | None
    ) -> tuple[str, Token]:
        """Create a token; its text is not stored. Raises TokenError, StoreError."""
        if not _NAME.fullmatch(name):
            raise TokenError(
                f'"{excerpt(name)}" is not a token name: expected 1 to 63 of A-Z a-z 0-9 . _ @ -'
            )
        if TEXT.search(name.encode()):
            raise TokenError("the name contains the text of a token: choose another name")
        if any(token.name == name for token in self._known.values()):
            raise TokenExists(
                f'a token is named "{name}" already: revoke it, or choose another name'
            )
        if expires is not None and expires <= self._clock():
            raise TokenError("the token would expire at once: set expires to a later time")
        return await self._add(new_text(), name, scopes, expires)

    async def revoke(self, name: str) -> Token:
        """Revoke a token by its ID. Raises TokenNotFound, StoreError."""
        for token in self._known.values():
            if token.id == name:
                if token.name == FIRST:
                    await self._store.put(REVOKED + token.digest.hex().encode(), b"")
                await self._store.delete(_key(token.digest))
                self._known.pop(token.digest, None)
                self._wake()
                return token
        raise TokenNotFound(
            f'no token has the id "{excerpt(name)}": musterd token list shows the ids'
        )

    async def is_revoked(self, text: str) -> bool:
        """Return whether a text was that of a first token, which was revoked. Raises StoreError."""
        return await self._store.get(REVOKED + _digest(text).hex().encode()) is not None

    async def ensure_first(self, text: str) -> Token:
        """Ensure that the token ``first`` has this text, with the scope admin."""
        digest = _digest(text)
        if digest not in self._known:
            for token in [token for token in self._known.values() if token.name == FIRST]:
                await self.revoke(token.id)
            try:
                await self._add(text, FIRST, (ADMIN,), None)
            except Conflict:
                # Another server with the same text was faster.
                await self.load()
        return self._known[digest]

    async def _add(
        self, text: str, name: str, scopes: Iterable[str], expires: float | None
    ) -> tuple[str, Token]:
        if len(self._known) >= MAX_TOKENS:
            raise TokenError(f"there are {MAX_TOKENS} tokens already: revoke some")
        kept = tuple(dict.fromkeys(map(parse_scope, scopes)))
        digest = _digest(text)
        token = Token(digest, secrets.token_hex(6), name, kept, self._clock(), expires)
        await self._store.put(_key(digest), _value(token), expect=ABSENT)
        self._known[digest] = token
        return text, token

    async def load(self) -> None:
        """Read all tokens of the store. Raises StoreError."""
        known: dict[bytes, Token] = {}
        async with aclosing(self._store.scan(TOKENS)) as pages:
            async for page in pages:
                self._revision = page.revision
                for entry in page.entries:
                    _take(known, entry.key, entry)
        self._known = known
        self._wake()

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
                            self._wake()
                    case Changed(batches):
                        for event in (event for batch in batches for event in batch.events):
                            _take(self._known, event.key, event.entry)
                        self._wake()
                    case Live():
                        self._outage.over()
                    case Interrupted(error) if not isinstance(error, Compacted):
                        self._outage.failed(str(error))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


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
    """Apply the change of a key; an invalid value is logged and ignored."""
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
        log.warning("invalid token in the store", reason=type(error).__name__)
