r"""Unusual names, from the API to answers and back."""

from urllib.parse import quote

import dns.name
import pytest

from tests.api.kit import ApiKit

LONGEST = ".".join(["x" * 63] * 3 + ["y" * 48])
"""255 bytes with lab.internal."""
ALL = ".".join("".join(f"\\{byte:03}" for byte in range(at, at + 32)) for at in range(0, 192, 32))
"""192 bytes in 6 labels, none as it is."""


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("web", "web"),
        ("WEB", "web"),
        ("a.b", "a.b"),
        ("web.lab.internal.", "web"),
        ("*", "*"),
        ("*.a", "*.a"),
        ("_http._tcp", "_http._tcp"),
        (r"a\.b", r"a\046b"),
        (r"a\046b", r"a\046b"),
        ("a/b", r"a\047b"),
        (r"a\ b", r"a\032b"),
        (r"\@", r"\064"),
        (r"\"\;\(\)\\", r"\034\059\040\041\092"),
        (r"\000\255", r"\000\255"),
        ("a%b", r"a\037b"),
        ("a?b#c", r"a\063b\035c"),
        ("bücher", "xn--bcher-kva"),
        ("Bücher.Größe", "xn--bcher-kva.xn--gre-6ka8i"),
        ("日本", "xn--wgv71a"),
        ("straße.GROẞ", "xn--strae-oqa.xn--gro-7ka"),
        ("a。b", "a.b"),
        ("x" * 63, "x" * 63),
        (LONGEST, LONGEST),
        (ALL, None),
    ],
)
async def test_name_round_trips(api: ApiKit, written: str, kept: str | None) -> None:
    path = f"/records/lab.internal/{quote(written, safe='')}/A"
    record = await api.ok("POST", path, {"data": "10.0.0.1"})
    assert record["owner"] == kept or kept is None
    owner = dns.name.from_text(record["owner"], dns.name.from_text("lab.internal."))
    assert api.answers(owner.to_text()) == ["10.0.0.1"]
    back = f"/records/lab.internal/{quote(record['owner'], safe='')}"
    assert (await api.ok("GET", back))["records"] == [record]
    assert (await api.ok("GET", f"{back}/A/{record['id']}")) == record
    explained = await api.ok("GET", f"/explain?name={quote(owner.to_text(), safe='')}")
    assert explained["records"][0]["data"] == "10.0.0.1"
    exported = (await api.call("GET", "/zones/lab.internal/export")).content
    await api.ok("DELETE", f"{back}/A/{record['id']}")
    assert (await api.ok("GET", "/records"))["records"] == []
    await api.ok("POST", "/zones/lab.internal/import", content=exported)
    found = (await api.ok("GET", f"{back}/A"))["records"]
    assert [entry["owner"] for entry in found] == [record["owner"]]
    assert api.answers(owner.to_text()) == ["10.0.0.1"]


async def test_location_header_leads_to_record(api: ApiKit) -> None:
    path = f"/records/lab.internal/{quote('a/b%c', safe='')}/A"
    response = await api.call("POST", path, {"data": "10.0.0.1"})
    location = response.headers["location"].removeprefix("/v1")
    assert await api.ok("GET", location) == response.json()


async def test_names_in_data_round_trip(api: ApiKit) -> None:
    path = "/records/lab.internal/x/CNAME/1"
    for data, kept in ((r"a\.b.test", r"a\.b.test."), ("bücher.test", "xn--bcher-kva.test."),
                       (r"\000\255.test.", r"\000\255.test."), (".", ".")):  # fmt: skip
        assert (await api.ok("PUT", path, {"data": data}))["data"] == kept
        assert api.answers("x", "CNAME") == [kept]


@pytest.mark.parametrize(
    "owner",
    ["a b", " a", "a\t", r"a\b", "a..b", ".", "x" * 64, LONGEST + "z", "a\\", r"a\300", "..",
     "\u0301", "\u2603", "x" * 1200],
)  # fmt: skip
async def test_invalid_name_is_rejected(api: ApiKit, owner: str) -> None:
    path = f"/records/lab.internal/{quote(owner, safe='').replace('.', '%2E')}/A"
    await api.refused(422, "POST", path, {"data": "10.0.0.1"})


async def test_path_that_is_not_utf8_is_rejected(api: ApiKit) -> None:
    await api.refused(400, "GET", "/records/lab.internal/%FF/A")
