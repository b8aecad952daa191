"""JSON objects of the API, with their keys.

Times are seconds since 1970; durations and TTLs are seconds; a revision counts the changes of the
store.
"""

from typing import NotRequired, TypedDict


class RecordInput(TypedDict):
    """A record to register; the zone sets the default of each missing member."""

    data: str
    ttl: NotRequired[int]
    weight: NotRequired[int]
    policy: NotRequired[str]
    ptr: NotRequired[bool]
    description: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    lease: NotRequired[str]


class RecordInfo(TypedDict):
    """A registered record. owner: relative to the zone, "@" at its apex; lease: a lease id."""

    zone: str
    owner: str
    type: str
    id: str
    data: str
    ttl: int | None
    weight: int | None
    policy: str | None
    ptr: bool | None
    registrant: str
    description: str
    labels: dict[str, str]
    lease: str | None
    revision: int
    created: float
    modified: float


class ChangeInfo(TypedDict):
    """An entry of the history; before or record is None if there was or is no record.

    who: the name of a token, empty if a lease expired; action: created, changed, deleted, expired.
    """

    revision: int
    time: float | None
    who: str
    action: str
    record: RecordInfo | None
    before: RecordInfo | None


class LeaseInfo(TypedDict):
    """A lease. ttl: as granted; remaining: until it expires, both in seconds.

    keys: its records, in the reply to a request for one lease.
    """

    id: str
    ttl: int
    remaining: float
    keys: NotRequired[list[str]]


class ZoneInfo(TypedDict):
    """A declared zone. records: by source; names: number of answered owner names."""

    name: str
    state: str
    since: float
    serial: int
    records: dict[str, int]
    names: int
    sources: list[str]
    policy: str
    merge: str


class ImportProblem(TypedDict):
    """A record of an imported file that was rejected."""

    line: int
    problem: str


class ImportResult(TypedDict):
    """Result of an import, or of a dry run."""

    added: int
    changed: int
    removed: int
    unchanged: int
    problems: list[ImportProblem]


class TokenInfo(TypedDict):
    """A token without its secret. expires: None for never."""

    id: str
    name: str
    scopes: list[str]
    created: float
    expires: float | None


class NewTokenInfo(TokenInfo):
    """A new token with its secret, which is shown only once."""

    token: str


class CandidateInfo(TypedDict):
    """A record of a source. hidden: why it is not answered; refused: why it can't be served."""

    source: str
    key: str
    revision: int
    time: float
    type: str
    ttl: int
    data: str
    weight: int
    hidden: str
    refused: str


class LeftOutInfo(TypedDict):
    """Something in a source that can't be used."""

    source: str
    where: str
    reason: str


class AnswerInfo(TypedDict):
    """The answer for one client; records and authority: lines of a zone file."""

    rcode: str
    referral: bool
    authority: list[str]
    records: list[str]


class ExplanationInfo(TypedDict):
    """Explanation of the answer for a name."""

    name: str
    type: str
    client: str
    zone: str
    state: str
    policy: str
    matching: list[str]
    records: list[CandidateInfo]
    left_out: list[LeftOutInfo]
    answer: AnswerInfo


class SourceInfo(TypedDict):
    """A source of records. lost: since when, None if it is not lost; problems: their number."""

    name: str
    state: str
    synced: float | None
    lost: float | None
    reason: str
    revision: int
    keys: int
    problems: int


class StoreInfo(TypedDict):
    """Store of the registry. revision: the last one that is in the answers."""

    kind: str
    revision: int


class ServerInfo(TypedDict):
    """A current or former server of the store. lag: seconds, None if it is stopped."""

    name: str
    running: bool
    version: str
    started: float
    seen: float
    addresses: list[str]
    zones: list[str]
    revision: int | None
    lag: float | None


class StatusInfo(TypedDict):
    """State of the server."""

    version: str
    started: float
    listeners: list[str]
    zones: list[ZoneInfo]
    sources: list[SourceInfo]
    store: StoreInfo
    servers: list[ServerInfo]
    problems: list[str]
