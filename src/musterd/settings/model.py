"""All settings, typed, key by key.

This is the only place for the description, range and default of a key. The checks, the error
messages, the environment variables and ``example`` are derived from it.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from musterd.settings.kinds import (
    Address,
    AddressOrOff,
    Endpoints,
    Few,
    FilePath,
    KeyPrefix,
    Many,
    Name,
    Network,
    PasswordOrNone,
    PathOrNone,
    Policy,
    Rcode,
    Seconds,
    Secret,
    ShortText,
    SocketOrNone,
    SourceName,
    StoreUrl,
    TokenOrNone,
    WholeSeconds,
    is_name,
    key,
)

MAX_TTL = 2**31 - 1
"""Seconds (RFC 2181 section 8)."""
DAY = 86400
"""Seconds of a day."""
REGISTRY = "registry"
"""Name of the registry as a source."""


class Section(BaseModel):
    """A table of the settings file; unknown keys are rejected."""

    fixed: ClassVar[bool] = False
    """True if a change of any key needs a restart."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", validate_default=True)


class Dns(Section):
    """The DNS server: its addresses, its clients and its limits."""

    listen: Few[Address] = key(
        ("127.0.0.1:5300",), "UDP and TCP addresses; port 0: any free port", min_length=1
    )
    workers: int = key(0, "threads", zero="one per core", ge=0, le=64, reload=False)
    version: ShortText = key("", 'answer to CH TXT version.bind; "" for REFUSED')
    server_id: ShortText = key("", 'answer to CH TXT id.server, and NSID; "" for REFUSED')
    udp_size: int = key(1232, "largest UDP response", unit="bytes", ge=512, le=4096)
    allow: Many[Network] = key(("0.0.0.0/0", "::/0"), "networks that may query")
    proxy_from: Many[Network] = key((), "proxies that send a PROXY v2 header")
    ecs_from: Many[Network] = key((), "networks trusted to send EDNS client subnet")
    cookies: bool = key(True, "DNS cookies (RFC 7873)")
    cookie_secrets: Few[Secret] = key(
        (), "32 hex digits each: first signs, all verify; none: random"
    )
    rate_limit: int = key(0, "equal responses/s to a network", zero="no limit", ge=0, le=1_000_000)
    rate_slip: int = key(2, "truncate every n-th over the limit", zero="none", ge=0, le=100)
    rate_exempt: Many[Network] = key((), "networks without rate limit")
    tcp_clients: int = key(1000, "maximum TCP connections", ge=1, le=100_000)
    tcp_idle: Seconds = key(
        10.0, "close an idle TCP connection after", unit="seconds", ge=0.1, le=3600
    )


class Metrics(Section):
    """Prometheus metrics at /metrics, and /healthz and /readyz, over HTTP."""

    listen: AddressOrOff = key("127.0.0.1:9353", 'TCP address; "" for off')
    hosts: Few[Name] = key((), "names in the header Host, besides localhost, on loopback")


class Api(Section):
    """The HTTP API, which registers names; [store] says where they are stored."""

    listen: AddressOrOff = key("127.0.0.1:8053", 'TCP address; "" for off')
    hosts: Few[Name] = key((), "names in the header Host, besides localhost, on loopback")
    tls_cert: PathOrNone = key("", 'PEM file, reloaded when it changes; "" for plain HTTP')
    tls_key: PathOrNone = key("", "PEM file with its key")
    allow_plain: bool = key(False, "allow plain HTTP on addresses other than loopback")
    first_token: TokenOrNone = key("", 'admin token; "" to create one in the file', reload=False)
    first_token_file: PathOrNone = key("", '"" for token in [state] dir', reload=False)
    max_body: int = key(
        1_048_576,
        "largest body; 64 times that for imports",
        unit="bytes",
        ge=1024,
        le=67_108_864,
    )
    rate: int = key(0, "requests per second per token", zero="no limit", ge=0, le=1_000_000)


_key = key
"""Alias for a class that has a key of this name."""


class EtcdLogin(Section):
    """Connection settings for etcd: TLS, with https:// or a ca or cert, and credentials."""

    ca: PathOrNone = key("", 'PEM file, CA of the servers; "" for the system\'s; or ETCD_CACERT')
    cert: PathOrNone = key("", "PEM file, client certificate; or ETCD_TLSPEM")
    key: PathOrNone = key("", "PEM file, key of the client certificate; or ETCD_TLSKEY")
    user: ShortText = _key("", 'user name; "" for no login')
    password: PasswordOrNone = _key("", "password of the user")
    password_file: PathOrNone = _key("", "file with the password, read at each login")
    timeout: Seconds = _key(5.0, "timeout of a request", unit="seconds", ge=0.5, le=60)

    def uses_tls(self, endpoints: Sequence[str]) -> bool:
        """Return whether connections to these endpoints use TLS."""
        https = any(endpoint.startswith("https://") for endpoint in endpoints)
        return https or bool(self.ca or self.cert)

    def plain_password_warning(self, endpoints: Sequence[str], remedy: str) -> str | None:
        """Return a warning, ending in a remedy, if the password is sent in plain text."""
        if not self.user or self.uses_tls(endpoints):
            return None
        return f"the etcd password crosses the network in plain text: {remedy}"


class _StoreLocation(Section):
    """The location of a store."""

    url: StoreUrl = key(
        "", '"" for store.db in [state] dir; or etcd://HOST:PORT,HOST:PORT, or https://'
    )
    prefix: KeyPrefix = key("/", "prefix of all keys in etcd")


class StoreSettings(EtcdLogin, _StoreLocation):
    """The store of registered records."""

    fixed = True

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints of etcd; none if the store is a file."""
        scheme, _, hosts = self.url.partition("://")
        prefix = "" if scheme == "etcd" else f"{scheme}://"
        return tuple(prefix + host for host in hosts.split(",")) if self.url else ()


class State(Section):
    """Files on disk, so that a restarted server answers before its sources have synced."""

    dir: PathOrNone = key("/var/lib/musterd", 'directory; "" for no files', reload=False)


class Log(Section):
    """The log, one event per line."""

    level: Literal["debug", "info", "warning", "error"] = key("info", "lowest level")
    format: Literal["text", "json"] = key("text", "for people, or for machines")
    file: PathOrNone = key("", 'file to append to; "" for standard error')


class _Selection(Section):
    """The queries that are reported."""

    sample: float = key(1.0, "fraction of the queries", ge=0.0001, le=1)
    names: Few[Name] = key((), "names at or below these; none: all")
    clients: Few[Network] = key((), "queries from these networks; none: all")
    rcodes: Few[Rcode] = key((), 'responses such as "NXDOMAIN"; none: all')


class _QueryLogTarget(Section):
    """The destination of the query log."""

    enabled: bool = key(False, "write it")
    file: PathOrNone = key("", 'file to append to; "" for standard output')


class QueryLog(_Selection, _QueryLogTarget):
    """The query log: a JSON object per line for each query."""


class _DnstapReader(Section):
    """The reader of dnstap."""

    socket: SocketOrNone = key("", 'unix socket at which a reader listens; "" for off')
    queries: bool = key(True, "send queries, not only responses")


class Dnstap(_Selection, _DnstapReader):
    """Queries and responses for a reader of dnstap, as whole messages."""


class Soa(Section):
    """The SOA record of a zone whose sources have none."""

    mname: Name = key("", "primary name server", derived="ns.{zone}", validate_default=False)
    rname: Name = key(
        "",
        "mailbox of the administrator",
        derived="hostmaster.{zone}",
        validate_default=False,
    )
    refresh: WholeSeconds = key(7200, "secondaries refresh after", unit="seconds", ge=0, le=MAX_TTL)
    retry: WholeSeconds = key(1800, "secondaries retry after", unit="seconds", ge=0, le=MAX_TTL)
    expire: WholeSeconds = key(DAY, "secondaries give up after", unit="seconds", ge=0, le=MAX_TTL)
    minimum: WholeSeconds = key(30, "TTL of negative answers", unit="seconds", ge=0, le=MAX_TTL)


class ZoneSettings(Section):
    """A zone with authoritative answers. Queries outside of all zones get REFUSED."""

    name: Name = key(..., "apex of the zone", example="lab.internal")
    file: PathOrNone = key("", 'zone file, a source named after the zone; "" for none')
    ttl: WholeSeconds = key(30, "TTL of records without one", unit="seconds", ge=0, le=MAX_TTL)
    policy: Policy = key("all", 'or "one", "rotate", "sticky", "subset:K"')
    sources: Few[SourceName] = key((), "in order of precedence; none: all that serve the zone")
    merge: Literal["first", "union"] = key("first", "RRset of the first source, or of all")
    ptr: bool = key(False, "create PTR records in declared reverse zones")
    ns: Few[Name] = key((), "name servers if no source has NS; none: mname of the SOA")
    stale_after: Seconds = key(
        30.0, "mark answers stale if a source is lost for", unit="seconds", ge=0, le=DAY
    )
    soa: Soa = key({}, "")

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, data: object) -> object:
        """Derive missing names of the SOA from the name of the zone."""
        if not isinstance(data, dict):
            return data
        soa, apex = data.get("soa", {}), data.get("name")
        if not isinstance(soa, dict) or not is_name(apex):
            return data
        bare = apex.removesuffix(".")
        given = {"mname": f"ns.{bare}", "rname": f"hostmaster.{bare}"}
        return {**data, "soa": {**given, **soa}}


class SourceSettings(Section):
    """Settings of all kinds of sources."""

    zone_keys: ClassVar[tuple[str, ...]] = ()
    """Keys whose value is a zone, or a list of zones."""

    name: SourceName = key(..., "unique among all sources; default: the zone", example="example")
    policy: Policy | None = key(
        None, "policy of its records; default: that of the zone", derived="all"
    )
    ttl: WholeSeconds | None = key(
        None,
        "TTL of records without one; default: that of the zone",
        ge=0,
        le=MAX_TTL,
        unit="seconds",
        derived=30,
    )
    ptr: bool | None = key(
        None, "PTR records from its addresses; default: ptr of the zone", derived=False
    )

    @property
    def served(self) -> tuple[str, ...]:
        """Names of the zones that the source serves."""
        held = [getattr(self, name) for name in self.zone_keys]
        return tuple(z for h in held for z in ((h,) if isinstance(h, str) else h))


class RegistrySettings(SourceSettings):
    """Records registered with the API. Exists if there is a registry; not in the file."""

    ttls: dict[str, int]
    """All zones, with their TTLs in seconds."""
    place: str
    """Location of a remote store; empty if the store is on this disk."""

    @property
    def served(self) -> tuple[str, ...]:
        """Names of the zones that the source serves."""
        return tuple(self.ttls)


class ZoneFileSettings(SourceSettings):
    """A zone file (RFC 1035 section 5), reloaded when it changes."""

    zone_keys = ("zone",)

    zone: Name = key(..., "zone of its records, declared in [[zones]]", example="lab.internal")
    path: FilePath = key(..., "relative to the directory of this file", example="example.zone")


class EtcdSettings(EtcdLogin, SourceSettings):
    """Records in etcd in the format of SkyDNS, CoreDNS, Hades or ContainerDNS."""

    zone_keys = ("zones",)

    name: SourceName = key(
        ..., "unique among all sources; default: the layout", example="example-etcd"
    )
    endpoints: Endpoints = key(
        ..., "endpoints of etcd, with https:// for TLS", min_length=1, example=("127.0.0.1:2379",)
    )
    layout: Literal["skydns", "hades", "containerdns"] = key("skydns", "format of keys and values")
    prefix: KeyPrefix = key("", "prefix of its keys", derived="/skydns/")
    zones: Few[Name] = key(
        ..., "zones of its records, declared in [[zones]]", min_length=1, example=("lab.internal",)
    )
    subtree: bool = key(True, "a name also has the records of the keys below it")
    wildcard_queries: bool = key(False, '"*" and "any" in a question match every label; skydns')
    ttl: WholeSeconds | None = key(
        300, "TTL of records without one", ge=0, le=MAX_TTL, unit="seconds"
    )

    @field_validator("zones")
    @classmethod
    def _below_root(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if "." in zones:
            raise ValueError("expected zones below the root, which has no key")
        return zones

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, data: object) -> object:
        """Derive a missing prefix from the layout."""
        if not isinstance(data, dict) or data.get("prefix"):
            return data
        return {**data, "prefix": f"/{data.get('layout', 'skydns')}"}


class Sources(Section):
    """All sources by kind. A new kind is a class above and a line here."""

    zonefile: Many[ZoneFileSettings] = key((), "")
    etcd: Few[EtcdSettings] = key((), "")

    def each(self) -> tuple[SourceSettings, ...]:
        """Return all sources, in the order of their kinds and of the file."""
        return tuple(source for kind in type(self).model_fields for source in getattr(self, kind))


class Settings(Section):
    """All settings."""

    dns: Dns = key({}, "")
    metrics: Metrics = key({}, "")
    api: Api = key({}, "")
    store: StoreSettings = key({}, "")
    state: State = key({}, "")
    log: Log = key({}, "")
    query_log: QueryLog = key({}, "")
    dnstap: Dnstap = key({}, "")
    zones: Many[ZoneSettings] = key((), "")
    sources: Sources = key({}, "")

    @property
    def keeps(self) -> bool:
        """True if there is a store, and so a registry and an API."""
        return self.state.dir is not None or bool(self.store.url)

    @property
    def warnings(self) -> list[str]:
        """Settings that are valid but leave queries without an answer."""
        found = []
        if not self.zones:
            found.append("no zone is declared, so every query gets REFUSED; add [[zones]]")
        if not self.dns.allow:
            found.append("dns.allow is empty, so every query gets REFUSED; add networks to it")
        return found

    def sources_of(self, zone: ZoneSettings) -> tuple[SourceSettings, ...]:
        """Return the sources of a zone, in order of precedence."""
        serving = self._serving.get(zone.name.lower(), {})
        return tuple(serving[name] for name in zone.sources or serving)

    @cached_property
    def _serving(self) -> dict[str, dict[str, SourceSettings]]:
        """Zone in lower case -> name of a source -> its settings."""
        serving: dict[str, dict[str, SourceSettings]] = {}
        for source in (*self._built_in, *self.sources.each()):
            for zone in source.served:
                serving.setdefault(zone.lower(), {})[source.name] = source
        return serving

    @property
    def _built_in(self) -> tuple[SourceSettings, ...]:
        """The registry, which comes first where a zone does not list its sources."""
        if not self.keeps:
            return ()
        ttls = {zone.name.lower(): zone.ttl for zone in self.zones}
        place = self.store.url + self.store.prefix if self.store.url else ""
        return (RegistrySettings(name=REGISTRY, ttls=ttls, place=place),)
