"""The whole configuration, typed: what a settings file holds, key by key.

A key's description, range and default are here alone; the checks, the words of an error message,
the environment variables and ``example`` are all made from them.
"""

from functools import cached_property
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from musterd.settings.kinds import (
    Address,
    AddressOrOff,
    Endpoint,
    Few,
    FilePath,
    KeyPrefix,
    Many,
    Name,
    Network,
    PasswordOrNone,
    PathOrNone,
    Policy,
    Secret,
    ShortText,
    SourceName,
    StoreUrl,
    TokenOrNone,
    is_name,
    key,
)

TTL_MOST = 2**31 - 1
"""The greatest TTL, seconds (RFC 2181 section 8)."""
DAY = 86400
"""Seconds."""
REGISTRY = "registry"
"""The name of the registry as a source."""


class Section(BaseModel):
    """A table of the file; an unknown key in it is refused."""

    fixed: ClassVar[bool] = False
    """Whether a change of any of its keys needs a restart."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", validate_default=True)


class Dns(Section):
    """The name server: what it listens on, whom it answers, what it allows."""

    listen: Few[Address] = key(
        ("127.0.0.1:5300",), "UDP and TCP addresses; port 0 takes a free one", min_length=1
    )
    workers: int = key(0, "threads", zero="one a core", ge=0, le=64, reload=False)
    version: ShortText = key("", 'answer to CH TXT version.bind; "" refuses it')
    server_id: ShortText = key("", 'answer to CH TXT id.server, and NSID; "" refuses it')
    udp_size: int = key(1232, "largest UDP answer", unit="octets", ge=512, le=4096)
    allow: Many[Network] = key(("0.0.0.0/0", "::/0"), "networks that are answered")
    proxy_from: Many[Network] = key((), "networks whose packets begin with a PROXY v2 header")
    ecs_from: Many[Network] = key((), "networks whose EDNS client subnet is believed")
    cookies: bool = key(True, "DNS cookies (RFC 7873)")
    cookie_secrets: Few[Secret] = key(
        (), "32 hex digits each: first signs, all verify; none: random"
    )
    rate_limit: int = key(
        0, "like answers a second to a network", zero="no limit", ge=0, le=1_000_000
    )
    rate_slip: int = key(2, "1 in n over the limit is truncated", zero="none", ge=0, le=100)
    rate_exempt: Many[Network] = key((), "networks without rate limit")
    tcp_clients: int = key(1000, "most TCP connections at once", ge=1, le=100_000)
    tcp_idle: float = key(10.0, "close idle TCP after", unit="seconds", ge=0.1, le=3600)


class Metrics(Section):
    """Prometheus metrics at /metrics, and /healthz and /readyz, over HTTP."""

    listen: AddressOrOff = key("127.0.0.1:9353", 'TCP address; "" turns it off')


class Api(Section):
    """The HTTP API, by which names are registered; [store] says where they are kept."""

    listen: AddressOrOff = key("127.0.0.1:8053", 'TCP address; "" turns it off')
    tls_cert: PathOrNone = key("", 'PEM file, read again when it changes; "" is plain HTTP')
    tls_key: PathOrNone = key("", "PEM file of its key")
    allow_plain: bool = key(False, "plain HTTP on addresses that other machines reach")
    first_token: TokenOrNone = key("", 'may do all; "" makes one for the file', reload=False)
    first_token_file: PathOrNone = key("", '"" is token in [state] dir', reload=False)
    max_body: int = key(
        1_048_576, "largest body; imports 64 times that", unit="octets", ge=1024, le=67_108_864
    )
    rate: int = key(0, "requests a second of a token", zero="no limit", ge=0, le=1_000_000)


_key = key
"""For the class that has a key of this name."""


class EtcdLogin(Section):
    """How an etcd is asked: over TLS where it has a ca or cert, and by whom."""

    ca: PathOrNone = key("", "PEM file, who signed for the servers; or ETCD_CACERT")
    cert: PathOrNone = key("", "PEM file, the client's certificate; or ETCD_TLSPEM")
    key: PathOrNone = key("", "PEM file of the client's key; or ETCD_TLSKEY")
    user: ShortText = _key("", 'who logs in; "" is nobody')
    password: PasswordOrNone = _key("", "of the user")
    password_file: PathOrNone = _key("", "file that holds it, read at each login")
    timeout: float = _key(5.0, "a request takes at most", unit="seconds", ge=0.5, le=60)

    def plain_password_warning(self, remedy: str) -> str | None:
        """Return a warning, ending in a remedy, if the password is sent in plain text."""
        if not self.user or self.ca or self.cert:
            return None
        return f"the etcd password crosses the network in plain text: {remedy}"


class _Place(Section):
    """Where a store is."""

    url: StoreUrl = key("", '"" is store.db in [state] dir; or etcd://HOST:PORT,HOST:PORT')
    prefix: KeyPrefix = key("/", "what all keys in etcd begin with")


class StoreSettings(EtcdLogin, _Place):
    """Where the registry is kept."""

    fixed = True

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Those of its etcd, none where it is in a file."""
        return tuple(self.url.removeprefix("etcd://").split(",")) if self.url else ()


class State(Section):
    """What is kept on disk, so that a restart answers before its sources do."""

    dir: PathOrNone = key("/var/lib/musterd", 'directory; "" keeps nothing', reload=False)


class Log(Section):
    """What is told about the work, one event a line."""

    level: Literal["debug", "info", "warning", "error"] = key("info", "least level that is told")
    format: Literal["text", "json"] = key("text", "for people, or for machines")
    file: PathOrNone = key("", 'file to append to; "" is standard error')


class Soa(Section):
    """The SOA record of a zone whose sources have none."""

    mname: Name = key("", "primary name server", derived="ns.{zone}", validate_default=False)
    rname: Name = key(
        "",
        "mailbox of who is in charge",
        derived="hostmaster.{zone}",
        validate_default=False,
    )
    refresh: int = key(7200, "secondaries ask after", unit="seconds", ge=0, le=TTL_MOST)
    retry: int = key(1800, "they try again after", unit="seconds", ge=0, le=TTL_MOST)
    expire: int = key(DAY, "they give up after", unit="seconds", ge=0, le=TTL_MOST)
    minimum: int = key(30, "TTL of negative answers", unit="seconds", ge=0, le=TTL_MOST)


class ZoneSettings(Section):
    """A zone that is answered with authority. Names outside every zone are refused."""

    name: Name = key(..., "its apex", example="muster.local")
    ttl: int = key(30, "of records without a TTL", unit="seconds", ge=0, le=TTL_MOST)
    policy: Policy = key("all", 'for one client; or "one", "rotate", "sticky", "subset:K"')
    sources: Few[SourceName] = key((), "the first has precedence; none: each that serves the zone")
    merge: Literal["first", "union"] = key("first", "RRset of the first source, or of all")
    ptr: bool = key(False, "make PTR records into declared reverse zones")
    ns: Few[Name] = key((), "where no source has NS; none: the primary of the SOA")
    stale_after: float = key(
        30.0, "marked stale when a source is lost for", unit="seconds", ge=0, le=DAY
    )
    soa: Soa = key({}, "")

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, data: object) -> object:
        """Give the SOA its names when they are made from the zone's."""
        if not isinstance(data, dict):
            return data
        soa, apex = data.get("soa", {}), data.get("name")
        if not isinstance(soa, dict) or not is_name(apex):
            return data
        bare = apex.removesuffix(".")
        given = {"mname": f"ns.{bare}", "rname": f"hostmaster.{bare}"}
        return {**data, "soa": {**given, **soa}}


class SourceSettings(Section):
    """What every kind of source has."""

    zone_keys: ClassVar[tuple[str, ...]] = ()
    """Its keys that name zones: each holds one, or a list of them."""

    name: SourceName = key(..., "unique among all sources", example="example")
    policy: Policy | None = key(None, "of its records; default: the zone's", derived="all")
    ttl: int | None = key(
        None,
        "of records without one; default: the zone's",
        ge=0,
        le=TTL_MOST,
        unit="seconds",
        derived=30,
    )

    @property
    def served(self) -> tuple[str, ...]:
        """The names of the zones that it serves."""
        held = [getattr(self, name) for name in self.zone_keys]
        return tuple(z for h in held for z in ((h,) if isinstance(h, str) else h))


class RegistrySettings(SourceSettings):
    """What is registered by the API; there wherever the registry is, and not in the file."""

    ttls: dict[str, int]
    """The zones that may list it, which are all, with their TTLs in seconds."""
    place: str
    """Of its store if that is elsewhere, empty where it is on this disk."""

    @property
    def served(self) -> tuple[str, ...]:
        """The names of the zones that it serves."""
        return tuple(self.ttls)


class ZoneFileSettings(SourceSettings):
    """A master file (RFC 1035 section 5), read again when it changes."""

    zone_keys = ("zone",)

    zone: Name = key(..., "zone of its records, declared in [[zones]]", example="muster.local")
    path: FilePath = key(..., "relative to the directory of this file", example="example.zone")


class EtcdSettings(EtcdLogin, SourceSettings):
    """Records that others write to etcd, as for SkyDNS, CoreDNS, Hades or ContainerDNS."""

    zone_keys = ("zones",)

    name: SourceName = key(..., "unique among all sources", example="example-etcd")
    endpoints: Few[Endpoint] = key(..., "of its members", min_length=1, example=("127.0.0.1:2379",))
    layout: Literal["skydns", "hades", "containerdns"] = key("skydns", "how keys and values look")
    prefix: KeyPrefix = key("", "of its keys", derived="/skydns/")
    zones: Few[Name] = key(
        ..., "of its records, declared in [[zones]]", min_length=1, example=("muster.local",)
    )
    subtree: bool = key(True, "a name answers with the keys below it, too")
    ttl: int | None = key(300, "of records without one", ge=0, le=TTL_MOST, unit="seconds")

    @field_validator("zones")
    @classmethod
    def _below_root(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if "." in zones:
            raise ValueError("expected zones below the root, which has no key")
        return zones

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, data: object) -> object:
        """Give the prefix that the layout has."""
        if not isinstance(data, dict) or data.get("prefix"):
            return data
        return {**data, "prefix": f"/{data.get('layout', 'skydns')}"}


class Sources(Section):
    """Where records come from, by kind. A new kind is one class above and one line here."""

    zonefile: Many[ZoneFileSettings] = key((), "")
    etcd: Few[EtcdSettings] = key((), "")

    def each(self) -> tuple[SourceSettings, ...]:
        """Every source of every kind, in the order of the kinds and of the file."""
        return tuple(source for kind in type(self).model_fields for source in getattr(self, kind))


class Settings(Section):
    """The whole configuration."""

    dns: Dns = key({}, "")
    metrics: Metrics = key({}, "")
    api: Api = key({}, "")
    store: StoreSettings = key({}, "")
    state: State = key({}, "")
    log: Log = key({}, "")
    zones: Many[ZoneSettings] = key((), "")
    sources: Sources = key({}, "")

    @property
    def keeps(self) -> bool:
        """Whether there is a store, and with it a registry and an API."""
        return self.state.dir is not None or bool(self.store.url)

    def sources_of(self, zone: ZoneSettings) -> tuple[SourceSettings, ...]:
        """The sources of a zone, the first has precedence."""
        serving = self._serving.get(zone.name.lower(), {})
        return tuple(serving[name] for name in zone.sources or serving)

    @cached_property
    def _serving(self) -> dict[str, dict[str, SourceSettings]]:
        """Zone in lower case -> name of a source -> the source."""
        serving: dict[str, dict[str, SourceSettings]] = {}
        for source in (*self._built_in, *self.sources.each()):
            for zone in source.served:
                serving.setdefault(zone.lower(), {})[source.name] = source
        return serving

    @property
    def _built_in(self) -> tuple[SourceSettings, ...]:
        """The registry, which has precedence over what it isn't told to follow, if it is kept."""
        if not self.keeps:
            return ()
        ttls = {zone.name.lower(): zone.ttl for zone in self.zones}
        place = self.store.url + self.store.prefix if self.store.url else ""
        return (RegistrySettings(name=REGISTRY, ttls=ttls, place=place),)
