"""What the API says, as it says it: JSON objects with known keys.

Times are seconds since 1970, spans and TTLs seconds; revisions count the changes of the store.
"""

from typing import NotRequired, TypedDict


class RecordInput(TypedDict):
    """A record to register; what is left out is the zone's to say."""

    data: str
    ttl: NotRequired[int]
    weight: NotRequired[int]
    policy: NotRequired[str]
    description: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    lease: NotRequired[str]


class RecordInfo(TypedDict):
    """A registered record. owner: relative to the zone, "@" at its apex; lease: the id of one."""

    zone: str
    owner: str
    type: str
    id: str
    data: str
    ttl: int | None
    weight: int | None
    policy: str | None
    registrant: str
    description: str
    labels: dict[str, str]
    lease: str | None
    revision: int
    created: float
    modified: float


class ChangeInfo(TypedDict):
    """An entry of the history; before and record are none where there was, or is, no record.

    who: the name of a token, empty if the end of a lease did it; action: created, changed,
    deleted, expired.
    """

    revision: int
    time: float | None
    who: str
    action: str
    record: RecordInfo | None
    before: RecordInfo | None


class LeaseInfo(TypedDict):
    """A lease. ttl: as granted; remaining: until it ends, both in seconds."""

    id: str
    ttl: int
    remaining: float


class ZoneInfo(TypedDict):
    """A declared zone. records: by source; names: owner names that are answered."""

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
    """A record of an imported file that can't be registered."""

    line: int
    problem: str


class ImportResult(TypedDict):
    """What an import did, or would do."""

    added: int
    changed: int
    removed: int
    unchanged: int
    problems: list[ImportProblem]


class TokenInfo(TypedDict):
    """A token, without its text. expires: none for never."""

    id: str
    name: str
    scopes: list[str]
    created: float
    expires: float | None


class NewTokenInfo(TokenInfo):
    """A token just made, with the text that is shown this once."""

    token: str


class CandidateInfo(TypedDict):
    """A record that a source gives. hidden: why it is not answered; refused: why it can't be."""

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


class AnswerInfo(TypedDict):
    """What one client gets; records: as lines of a master file."""

    rcode: str
    records: list[str]


class ExplanationInfo(TypedDict):
    """Why a name is answered as it is."""

    name: str
    type: str
    client: str
    zone: str
    state: str
    policy: str
    records: list[CandidateInfo]
    answer: AnswerInfo


class SourceInfo(TypedDict):
    """A source of records. lost: since when, none if it isn't; problems: what it left out."""

    name: str
    state: str
    synced: float | None
    lost: float | None
    reason: str
    revision: int
    keys: int
    problems: int


class StoreInfo(TypedDict):
    """Where the registry keeps its records. revision: up to which it is in answers."""

    kind: str
    revision: int


class ServerInfo(TypedDict):
    """A server that shares the store, or did. lag: seconds; None of one that doesn't run."""

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
    """How the server is."""

    version: str
    started: float
    listeners: list[str]
    zones: list[ZoneInfo]
    sources: list[SourceInfo]
    store: StoreInfo
    servers: list[ServerInfo]
    problems: list[str]
