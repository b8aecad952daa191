"""The names of keys, and their order."""

import pytest

from musterd.rr.names import name_from_text
from musterd.sources.etcd.keys import LAYOUTS, KeyCodec, name_of, path_of
from tests.etcd_records.kit import wire

ZONES = wire("muster.local", "deep.muster.local", "10.in-addr.arpa")


def keys(layout: str = "skydns") -> KeyCodec:
    return KeyCodec(LAYOUTS[layout], LAYOUTS[layout].prefix, ZONES)


@pytest.mark.parametrize(
    ("layout", "key", "path"),
    [
        ("skydns", "/skydns/local/muster/web", "local/muster/web"),
        ("skydns", "/skydns/local/muster", "local/muster"),
        ("skydns", "/skydns/local/muster/web/", "local/muster/web"),
        ("skydns", "/skydns/local/muster/Web", "local/muster/web"),
        ("skydns", "/skydns/local/muster/10.0.0.1", "local/muster/1/0/0/10"),
        ("skydns", "/skydns/local/muster/web.a", "local/muster/a/web"),
        ("skydns", "/skydns/local/muster/*", "local/muster/*"),
        ("skydns", "/skydns/arpa/in-addr/10/0/0/1", "arpa/in-addr/10/0/0/1"),
        ("skydns", "/skydns/local/musterd/web", None),
        ("skydns", "/skydns/local", None),
        ("skydns", "/skydns/config", None),
        ("skydns", "/skydns/", None),
        ("skydns", "/skydns/local//web", None),
        ("containerdns", "/containerdns/local/muster/web/", "local/muster/web"),
        ("containerdns", "/containerdns/local/muster/web", "local/muster/web"),
        ("hades", "/hades/local/muster/web/1a2b", "local/muster/web/1a2b"),
        ("hades", "/hades/monitor/status/10.0.0.1", None),
    ],
)
def test_path_of_a_key(layout: str, key: str, path: str | None) -> None:
    found = keys(layout).read(key.encode())
    assert (found and found.path.decode()) == path


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("/skydns/local/muster//web", "empty label"),
        ("/skydns/local/muster/a b", "printable"),
        ("/skydns/local/muster/a\0b", "printable"),
        ("/skydns/local/muster/\xe4", "printable"),
        ("/skydns/local/muster/a..b", "label of 0 bytes"),
        ("/skydns/local/muster/" + "x" * 64, "label of 64 bytes"),
        ("/skydns/local/muster" + "/abcdefghi" * 25, "bytes, at most 255"),
    ],
)
def test_key_without_a_valid_name(key: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        keys().read(key.encode())


@pytest.mark.parametrize("layout", ["skydns", "containerdns"])
def test_heads_sort_like_keys_in_etcd(layout: str) -> None:
    end = "/" if layout == "containerdns" else ""
    names = ["a", "a/b", "a/b/c", "a-b", "a-b/c", "a/b-c", "a!", "ab", "a0", "a/0"]
    prefix = LAYOUTS[layout].prefix
    raws = sorted(f"{prefix}/local/muster/{name}{end}".encode() for name in names)
    found = [keys(layout).read(raw) for raw in raws]
    heads = [one.head for one in found if one]
    assert heads == sorted(heads)
    assert [keys(layout).raw(head) for head in heads] == raws
    bounds = [keys(layout).bound(raw) for raw in raws]
    assert sorted([*heads, *bounds]) == [
        x for pair in zip(heads, bounds, strict=True) for x in pair
    ]


def test_irregular_key_survives_a_round_trip() -> None:
    for raw in (
        b"/skydns/local/muster/Web",
        b"/skydns/local/muster/a.b/",
        b"/skydns/local/muster/a/",
    ):
        found = keys().read(raw)
        assert found
        assert found.irregular
        assert keys().raw(found.head + b"rest\0more") == raw
        assert keys().split(found.head + b"rest\0more") == (found.path, len(found.head))


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("local/muster/a/b", ["local/muster/a", "local/muster"]),
        ("local/muster", []),
        ("local/muster/deep/x", ["local/muster/deep", "local/muster"]),
    ],
)
def test_above_ends_at_the_highest_zone(path: str, above: list[str]) -> None:
    assert [one.decode() for one in keys().above(path.encode())] == above


def test_names_and_paths_are_inverse() -> None:
    for name in ("a.b.muster.local", "*.muster.local", "x"):
        assert name_of(path_of(name_from_text(name))) == name_from_text(name)
    assert path_of(name_from_text("Web.Muster.Local")) == b"local/muster/web"


def test_apexes_of_a_key() -> None:
    assert keys().apexes(b"local/muster/dns/ns/a") == [b"local/muster"]
    assert keys("hades").apexes(b"local/muster/deep/mail/a") == [b"local/muster/deep"]
    assert keys().apexes(b"local/muster/web/dns/ns/a") == []
