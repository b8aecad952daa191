"""The names of keys, and their order."""

import pytest

from musterd.rr.names import name_from_text
from musterd.sources.etcd.keys import LAYOUTS, KeyCodec, name_of, path_of
from tests.etcd_records.kit import wire

ZONES = wire("lab.internal", "deep.lab.internal", "10.in-addr.arpa")


def keys(layout: str = "skydns") -> KeyCodec:
    return KeyCodec(LAYOUTS[layout], LAYOUTS[layout].prefix, ZONES)


@pytest.mark.parametrize(
    ("layout", "key", "path"),
    [
        ("skydns", "/skydns/internal/lab/web", "internal/lab/web"),
        ("skydns", "/skydns/internal/lab", "internal/lab"),
        ("skydns", "/skydns/internal/lab/web/", "internal/lab/web"),
        ("skydns", "/skydns/internal/lab/Web", "internal/lab/web"),
        ("skydns", "/skydns/internal/lab/10.0.0.1", "internal/lab/1/0/0/10"),
        ("skydns", "/skydns/internal/lab/web.a", "internal/lab/a/web"),
        ("skydns", "/skydns/internal/lab/*", "internal/lab/*"),
        ("skydns", "/skydns/arpa/in-addr/10/0/0/1", "arpa/in-addr/10/0/0/1"),
        ("skydns", "/skydns/internal/labd/web", None),
        ("skydns", "/skydns/local", None),
        ("skydns", "/skydns/config", None),
        ("skydns", "/skydns/", None),
        ("skydns", "/skydns/local//web", None),
        ("containerdns", "/containerdns/internal/lab/web/", "internal/lab/web"),
        ("containerdns", "/containerdns/internal/lab/web", "internal/lab/web"),
        ("hades", "/hades/internal/lab/web/1a2b", "internal/lab/web/1a2b"),
        ("hades", "/hades/monitor/status/10.0.0.1", None),
    ],
)
def test_path_of_a_key(layout: str, key: str, path: str | None) -> None:
    found = keys(layout).read(key.encode())
    assert (found and found.path.decode()) == path


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("/skydns/internal/lab//web", "empty label"),
        ("/skydns/internal/lab/a b", "printable"),
        ("/skydns/internal/lab/a\0b", "printable"),
        ("/skydns/internal/lab/\xe4", "printable"),
        ("/skydns/internal/lab/a..b", "label of 0 bytes"),
        ("/skydns/internal/lab/" + "x" * 64, "label of 64 bytes"),
        ("/skydns/internal/lab" + "/abcdefghi" * 25, "bytes, at most 255"),
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
    raws = sorted(f"{prefix}/internal/lab/{name}{end}".encode() for name in names)
    found = [keys(layout).read(raw) for raw in raws]
    heads = [each.head for each in found if each]
    assert heads == sorted(heads)
    assert [keys(layout).raw(head) for head in heads] == raws
    bounds = [keys(layout).bound(raw) for raw in raws]
    assert sorted([*heads, *bounds]) == [
        x for pair in zip(heads, bounds, strict=True) for x in pair
    ]


def test_irregular_key_survives_a_round_trip() -> None:
    for raw in (
        b"/skydns/internal/lab/Web",
        b"/skydns/internal/lab/a.b/",
        b"/skydns/internal/lab/a/",
    ):
        found = keys().read(raw)
        assert found
        assert found.irregular
        assert keys().raw(found.head + b"rest\0more") == raw
        assert keys().split(found.head + b"rest\0more") == (found.path, len(found.head))


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("internal/lab/a/b", ["internal/lab/a", "internal/lab"]),
        ("internal/lab", []),
        ("internal/lab/deep/x", ["internal/lab/deep", "internal/lab"]),
    ],
)
def test_above_ends_at_the_highest_zone(path: str, above: list[str]) -> None:
    assert [each.decode() for each in keys().above(path.encode())] == above


def test_names_and_paths_are_inverse() -> None:
    for name in ("a.b.lab.internal", "*.lab.internal", "x"):
        assert name_of(path_of(name_from_text(name))) == name_from_text(name)
    assert path_of(name_from_text("Web.Lab.Internal")) == b"internal/lab/web"


def test_apexes_of_a_key() -> None:
    assert keys().apexes(b"internal/lab/dns/ns/a") == [b"internal/lab"]
    assert keys("hades").apexes(b"internal/lab/deep/mail/a") == [b"internal/lab/deep"]
    assert keys().apexes(b"internal/lab/web/dns/ns/a") == []
