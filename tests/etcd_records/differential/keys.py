"""Random sets of keys in SkyDNS's layout, and questions about their names; both from a seed."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PREFIX = "/skydns/"
ZONES = ("lab.internal", "deep.lab.internal", "10.in-addr.arpa")
WILDCARDS = frozenset({"*", "any"})
TYPES = ("A", "AAAA", "SRV", "TXT", "MX", "CNAME", "PTR", "NS")

_LABELS = ("a", "b", "web", "db", "_http", "_tcp", "x-1", "node01", "dns", "apex", "ns", "deep")
_OUTSIDE = ("www.example.com", "elsewhere.test.")


def path_of(name: str) -> str:
    """Return the path of a name without its final dot."""
    return "/".join(reversed(name.split(".")))


def name_of(path: str) -> str:
    """Return the name of a path."""
    return ".".join(reversed(path.split("/")))


@dataclass
class KeySet:
    """Path -> value: an object, or bytes that are not valid JSON of one."""

    values: dict[str, Any] = field(default_factory=dict)
    plain: bool = False
    """True if there is nothing unusual in it, so that few differences are intended."""

    def own(self, path: str) -> list[str]:
        """Return the path if it has a key."""
        return [path] if path in self.values else []

    def below(self, path: str) -> list[str]:
        """Return the paths of the keys below a path, in etcd's order."""
        return sorted(key for key in self.values if key.startswith(path + "/"))

    def at(self, path: str) -> list[str]:
        """Return the paths of the keys at and below a path."""
        return self.own(path) + self.below(path)

    def matches(self, path: str) -> list[str]:
        """Return the paths that a path with wildcard labels stands for, those of no key too."""
        labels = path.split("/")
        if not WILDCARDS & {*labels}:
            return [path]
        starts = {tuple(key.split("/")[: len(labels)]) for key in self.values}
        return sorted(
            "/".join(start)
            for start in starts
            if len(start) == len(labels)
            and all(
                wanted in {label, *WILDCARDS} for wanted, label in zip(labels, start, strict=True)
            )
        )

    def put(self, path: str) -> tuple[bytes, bytes]:
        """Return a key and its value as stored in etcd."""
        value = self.values[path]
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return (PREFIX + path).encode(), text


def generate(seed: int) -> KeySet:
    """Generate some dozens of keys: services, aliases, reverse names, keys of external-dns.

    Every other seed gives plain keys: none is below another, and none has both text and host.
    """
    pick = random.Random(seed)
    keys = KeySet(plain=seed % 2 == 0)
    names = [_name(pick) for _ in range(pick.randrange(5, 40))]
    for name in names:
        keys.values[path_of(name)] = _value(pick, names, plain=keys.plain)
    for _ in range(pick.randrange(4)):
        _external_dns(pick, keys, names)
    for number in range(pick.randrange(5)):
        keys.values[f"arpa/in-addr/10/0/{number}"] = {"host": pick.choice(names)}
    for number in range(pick.randrange(3)):
        value = {"host": f"10.9.0.{number}"}
        keys.values[f"internal/lab/dns/{pick.choice(['ns', 'apex'])}/n{number}"] = value
    if keys.plain:
        for path in [path for path in keys.values if keys.below(path)]:
            del keys.values[path]
    return keys


def _name(pick: random.Random) -> str:
    zone = pick.choices(ZONES[:2], (5, 1))[0]
    depth = pick.choices((0, 1, 2, 3, 4), (1, 8, 8, 3, 1))[0]
    return ".".join([*(pick.choice(_LABELS) for _ in range(depth)), zone])


def _value(pick: random.Random, names: list[str], *, plain: bool) -> Any:
    if not plain and pick.random() < 0.01:
        return pick.choice((b"{", b"[]", b'{"host":5}', b'{"port":"http","host":"10.0.0.1"}'))
    value: dict[str, Any] = {}
    kind = pick.choices(("v4", "v6", "alias", "outside", "none"), (10, 3, 4, 1, 1))[0]
    if kind == "v4":
        value["host"] = f"10.0.{pick.randrange(3)}.{pick.randrange(6)}"
    elif kind == "v6":
        value["host"] = f"fd00::{pick.randrange(6):x}"
    elif kind == "alias":
        value["host"] = pick.choice(names)
    elif kind == "outside":
        value["host"] = pick.choice(_OUTSIDE)
    optional: dict[str, Any] = {
        "port": pick.choice((80, 443, 8080, -1)),
        "priority": pick.choice((1, 10, 20)),
        "weight": pick.choice((1, 7, 50, 100, 300)),
        "ttl": pick.choice((5, 30, 600)),
        "text": pick.choice(("hello", "v=1 x", "t" * pick.choice((254, 256, 600)))),
        "mail": True,
        "targetstrip": pick.choice((1, 1, 2, 9)),
        "group": pick.choice(("g1", "g2")),
    }
    if plain:
        for name in {"group", "targetstrip", *({"text"} if kind != "none" else ())}:
            del optional[name]
        optional["text"] = optional.get("text", "")[:200]
    chance = {"port": 0.5, "text": 0.12, "mail": 0.1, "targetstrip": 0.15, "group": 0.08}
    value |= {
        name: held for name, held in optional.items() if pick.random() < chance.get(name, 0.25)
    }
    return value


def _external_dns(pick: random.Random, keys: KeySet, names: list[str]) -> None:
    """Add a name with its targets below it, and an ownership text, as external-dns does."""
    name = f"app{pick.randrange(3)}.{ZONES[0]}"
    alias = pick.random() < 0.3
    for number in range(1 if alias else pick.randrange(1, 4)):
        target = pick.choice(names) if alias else f"10.7.{number}.{pick.randrange(9)}"
        prefix = f"{pick.getrandbits(31):08x}"
        value = {"host": target, "targetstrip": 1, "ttl": 60}
        keys.values[f"{path_of(name)}/{prefix}"] = value
    owner = '"heritage=external-dns,external-dns/owner=me"'
    text = {"text": owner, "targetstrip": 1}
    keys.values[f"{path_of('a-' + name)}/{pick.getrandbits(31):08x}"] = text


def questions(keys: KeySet, seed: int) -> Iterator[tuple[str, str]]:
    """Yield every type for every name of a key, above a key, or beside one.

    Also for each name with wildcard labels instead of some of its own.
    """
    pick = random.Random(seed)
    names = set(ZONES)
    for path in keys.values:
        labels = path.split("/")
        for depth in range(2, len(labels) + 1):
            name = ".".join(reversed(labels[:depth]))
            if any(name == zone or name.endswith("." + zone) for zone in ZONES):
                names.add(name)
    names |= {f"nothing.{name}" for name in pick.sample(sorted(names), 3)}
    patterns = {_pattern(pick, name) for name in sorted(names - {*ZONES})}
    for name in sorted(names | patterns):
        for rtype in TYPES:
            yield name, rtype


def _pattern(pick: random.Random, name: str) -> str:
    """Return a name with wildcards for some labels below its zone."""
    zone = max((zone for zone in ZONES if name.endswith(f".{zone}")), key=len)
    labels = name.removesuffix(f".{zone}").split(".")
    for at in range(len(labels)):
        if pick.random() < 0.4:
            labels[at] = pick.choice(sorted(WILDCARDS))
    labels[0] = "*" if not WILDCARDS & {*labels} else labels[0]
    return ".".join([*labels, zone])
