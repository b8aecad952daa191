"""Request and response bodies of the API."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from musterd.registry import keys, leases, rdata
from musterd.registry.registry import MAX_RRSET
from musterd.registry.tokens import NAME
from musterd.settings.model import MAX_TTL

_MAX_LABELS = 64
_POLICY = r"^(all|one|rotate|sticky|subset:([1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5]))$"

LABEL_QUERY = "^[^=]+="
EVENT_ID = "^[0-9]{1,18}$"
_LABEL = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
EXPECTED = {
    _POLICY: "all, one, rotate, sticky or subset:K with K up to 255",
    _LABEL: "1 to 63 of A-Z a-z 0-9 . _ / - as the name of a label",
    f"^{NAME}$": "1 to 63 of A-Z a-z 0-9 . _ @ - as the name of a token",
    f"^{leases.ID}$": "the 16 hexadecimal digits of a lease",
    f"^{keys.ID}$": "an id: 1 to 64 of A-Z a-z 0-9 _ . : -",
    LABEL_QUERY: "NAME=VALUE",
    EVENT_ID: "a revision",
}
"""Explanations of patterns for error messages."""

LabelName = Annotated[str, StringConstraints(pattern=_LABEL)]
LabelValue = Annotated[str, StringConstraints(max_length=255)]
Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=_MAX_LABELS)]
LeaseId = Annotated[str, StringConstraints(pattern=f"^{leases.ID}$")]
RecordId = Annotated[str, StringConstraints(pattern=f"^{keys.ID}$")]
Scope = Annotated[str, StringConstraints(min_length=4, max_length=1200)]


class _In(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class RecordIn(_In):
    """A record to register. The zone has the defaults."""

    data: str = Field(
        description="rdata in presentation form, with absolute names",
        max_length=rdata.MAX_TEXT,
        examples=["10.0.0.1"],
    )
    ttl: int | None = Field(None, ge=0, le=MAX_TTL, description="seconds")
    weight: int | None = Field(
        None, ge=0, le=65535, description="for policies that choose by weight"
    )
    policy: str | None = Field(
        None, pattern=_POLICY, description="of the owner name: all, one, rotate, sticky or subset:K"
    )
    ptr: bool | None = Field(
        None, description="whether the address gets a PTR record, if the zone has any"
    )
    description: str = Field("", max_length=1000)
    labels: Labels = Field(default_factory=dict, description="your labels, to find the record")
    lease: LeaseId | None = Field(None, description="the record is deleted when this lease ends")


class RecordOfRRset(RecordIn):
    """A record of a whole RRset."""

    id: RecordId | None = Field(None, description="default: a hash of its data")


class RRsetIn(_In):
    """All records of an owner name and a type."""

    records: list[RecordOfRRset] = Field(max_length=MAX_RRSET)


class RecordOut(BaseModel):
    """A registered record."""

    zone: str
    owner: str = Field(description='relative to the zone, "@" at its apex')
    type: str
    id: str
    data: str
    ttl: int | None
    weight: int | None
    policy: str | None
    ptr: bool | None
    registrant: str = Field(description="name of the token that registered it")
    description: str
    labels: dict[str, str]
    lease: str | None
    revision: int = Field(description="revision of its last change, which is its ETag")
    created: float = Field(description="seconds since 1970")
    modified: float = Field(description="seconds since 1970")


class RecordListOut(BaseModel):
    """A page of records, in the order of their keys."""

    records: list[RecordOut]
    next: str | None = Field(description="the `after` of the next page; null at the end")
    revision: int = Field(description="of the store when the list began: watch from the next one")


class HistoryEntryOut(BaseModel):
    """One change of one record."""

    revision: int
    time: float | None = Field(description="seconds since 1970; null if unknown")
    who: str = Field(description="name of the token; empty if a lease expired")
    action: Literal["created", "changed", "deleted", "expired"]
    record: RecordOut | None = Field(description="the record after the change")
    before: RecordOut | None


class HistoryOut(BaseModel):
    """Changes, newest first; a page never splits a revision."""

    entries: list[HistoryEntryOut]
    next: str | None = Field(description="the `after` of the next page; null at the end")


class LeaseIn(_In):
    """A lease to grant."""

    ttl: int = Field(ge=1, le=leases.MAX_TTL, description="seconds")


class LeaseOut(BaseModel):
    """A time limit of records."""

    id: str
    ttl: int = Field(description="seconds, as granted")
    remaining: float = Field(description="seconds until it ends unless it is renewed")
    keys: list[str] | None = Field(None, description="its records; only in the response to a GET")


class ZoneOut(BaseModel):
    """A declared zone."""

    name: str
    state: Literal["live", "loading", "stale", "restoring"]
    since: float = Field(description="start of this state, seconds since 1970")
    serial: int
    records: dict[str, int] = Field(description="number by source, including hidden records")
    names: int
    sources: list[str] = Field(description="in order of precedence")
    policy: str
    merge: Literal["first", "union"]


class ZoneListOut(BaseModel):
    """All declared zones."""

    zones: list[ZoneOut]


class FaultOut(BaseModel):
    """A problem in a line of a zone file."""

    line: int
    problem: str


class ImportedOut(BaseModel):
    """Changes of an import, or of a dry run."""

    added: int
    changed: int
    removed: int
    unchanged: int
    problems: list[FaultOut]


class GivenOut(BaseModel):
    """A record of a source."""

    source: str
    key: str
    revision: int
    time: float = Field(description="time of the last change, seconds since 1970")
    type: str
    ttl: int
    data: str
    weight: int
    hidden: str = Field(description="why it is not answered; empty if it is")
    refused: str = Field(description="why it can't be answered; empty if it can")


class LeftOutOut(BaseModel):
    """Something in a source that can't be used."""

    source: str
    where: str
    reason: str


class AnswerOut(BaseModel):
    """The answer to a client."""

    rcode: str
    referral: bool = Field(description="the name is delegated to the name servers in authority")
    authority: list[str] = Field(description="lines of the authority section")
    records: list[str] = Field(description="lines of a zone file")


class ExplanationOut(BaseModel):
    """Reasons for the answer to a query."""

    name: str
    type: str
    client: str
    zone: str
    state: Literal["live", "loading", "stale", "restoring"]
    policy: str
    matching: list[str] = Field(
        description="names that the wildcard labels of the question match, at most 20; empty if it "
        "has none, or if its zone takes them literally"
    )
    records: list[GivenOut]
    left_out: list[LeftOutOut] = Field(
        description="records and keys of the name that sources can't use, at most 20; if the name "
        "has no records, also the unusable lines of zone files"
    )
    answer: AnswerOut


class SourceStateOut(BaseModel):
    """A source of records; times are seconds since 1970, null for never."""

    name: str
    state: Literal["loading", "restored", "synced", "lost"]
    synced: float | None
    lost: float | None
    reason: str
    revision: int = Field(description="revision of the last complete list; it may be newer now")
    keys: int
    problems: int = Field(description="number of rejected keys and records since the start")


class StoreStateOut(BaseModel):
    """The store of the registry."""

    kind: str
    revision: int = Field(description="last revision that answers include")


class ServerOut(BaseModel):
    """A server that shares the store, or shared it."""

    name: str
    running: bool
    version: str
    started: float
    seen: float = Field(description="last time it was known to run, seconds since 1970")
    addresses: list[str]
    zones: list[str]
    revision: int | None = Field(
        description="revision of the store in its answers; null if it is stopped"
    )
    lag: float | None = Field(
        description="seconds for which its answers may have differed; null if it is stopped"
    )


class StatusOut(BaseModel):
    """State of the server."""

    version: str
    started: float
    listeners: list[str]
    zones: list[ZoneOut]
    sources: list[SourceStateOut]
    store: StoreStateOut
    servers: list[ServerOut] = Field(description="empty if the store is not shared")
    problems: list[str]


class TokenIn(_In):
    """A token to create."""

    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
    scopes: list[Scope] = Field(
        min_length=1, max_length=100, examples=[["read", "write:lab.internal"]],
        description="read, write:ZONE, write:* or admin",
    )  # fmt: skip
    expires: float | None = Field(None, ge=0, le=1e11, description="seconds since 1970")


class TokenOut(BaseModel):
    """A token, without its text."""

    id: str
    name: str
    scopes: list[str]
    created: float
    expires: float | None


class NewTokenOut(TokenOut):
    """A new token."""

    token: str = Field(description="text of the token, returned only now")


class TokenListOut(BaseModel):
    """All tokens."""

    tokens: list[TokenOut]
