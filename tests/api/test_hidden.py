"""Records that a delegation or a DNAME hides are rejected, because nobody would get them."""

import pytest

from tests.api.kit import ApiKit

ROOT = "/records/lab.internal"
NS = {"records": [{"data": "ns.kid.lab.internal"}, {"data": "NS.Other.test."}]}


async def hidden(api: ApiKit, owner: str, rtype: str, data: str) -> None:
    """No way of writing takes a record."""
    path = f"{ROOT}/{owner}/{rtype}"
    before = (await api.ok("GET", "/records"))["records"]
    for method, where, body in (
        ("POST", path, {"data": data}),
        ("PUT", f"{path}/1", {"data": data}),
        ("PUT", path, {"records": [{"data": data}]}),
    ):
        problem = await api.refused(409, method, where, body)
        assert problem["type"] == "urn:musterd:problem:clash"
    assert (await api.ok("GET", "/records"))["records"] == before
    line = f"{owner} {rtype} {data}\n".encode()
    problem = await api.refused(422, "POST", "/zones/lab.internal/import", content=line)
    assert len(problem["problems"]) == 1


@pytest.mark.parametrize(
    ("owner", "rtype", "data"),
    [("web.kid", "A", "10.0.0.1"), ("a.b.c.kid", "TXT", "x"), ("*.kid", "A", "10.0.0.1"),
     ("ns.kid", "TXT", "x"), ("sub.kid", "NS", "ns.other.test."), ("web.kid", "CNAME", "a.test."),
     ("sub.kid", "DNAME", "a.test."), ("web.kid", "DS", "1 8 2 " + "ab" * 32),
     ("kid", "A", "10.0.0.1"), ("kid", "TXT", "x"), ("kid", "MX", "10 a.test."),
     ("kid", "DNAME", "a.test.")],
)  # fmt: skip
async def test_record_at_or_below_a_delegation_is_rejected(
    api: ApiKit, owner: str, rtype: str, data: str
) -> None:
    await api.ok("PUT", f"{ROOT}/kid/NS", NS)
    await hidden(api, owner, rtype, data)


async def test_glue_and_records_of_the_delegation_are_taken(api: ApiKit) -> None:
    await api.ok("PUT", f"{ROOT}/kid/NS", NS)
    await api.ok("POST", f"{ROOT}/NS.kid/A", {"data": "10.0.0.1"})
    await api.ok("POST", f"{ROOT}/ns.kid/AAAA", {"data": "fd00::1"})
    await api.ok("POST", f"{ROOT}/kid/DS", {"data": "1 8 2 " + "ab" * 32})
    await api.ok("POST", f"{ROOT}/kid/NS", {"data": "ns3.kid.lab.internal."})
    await api.ok("POST", f"{ROOT}/ns3.kid/A", {"data": "10.0.0.3"})
    for owner in ("xkid", "kid2", "kid.x"):
        await api.ok("POST", f"{ROOT}/{owner}/A", {"data": "10.0.0.2"})
    await api.ok("PUT", f"{ROOT}/@/NS", {"records": [{"data": "ns.other.test."}]})
    await api.ok("POST", f"{ROOT}/web/A", {"data": "10.0.0.2"})


async def test_records_are_taken_again_without_the_delegation(api: ApiKit) -> None:
    await api.ok("PUT", f"{ROOT}/kid/NS/one", {"data": "ns.other.test."})
    await api.refused(409, "PUT", f"{ROOT}/web.kid/A/one", {"data": "10.0.0.1"})
    await api.ok("DELETE", f"{ROOT}/kid/NS/one")
    await api.ok("PUT", f"{ROOT}/web.kid/A/one", {"data": "10.0.0.1"})
    assert api.answers("web.kid") == ["10.0.0.1"]
    await api.ok("PUT", f"{ROOT}/kid/NS/one", {"data": "ns.other.test."})
    # A record that is hidden now can still be deleted.
    await api.ok("DELETE", f"{ROOT}/web.kid/A/one")


async def test_server_of_the_delegation_itself_is_glue(api: ApiKit) -> None:
    await api.ok("PUT", f"{ROOT}/kid/A/one", {"data": "10.0.0.1"})
    await api.refused(409, "PUT", f"{ROOT}/kid/NS/one", {"data": "ns.other.test."})
    await api.ok("PUT", f"{ROOT}/kid/NS/one", {"data": "Kid.lab.internal."})
    await api.ok("PUT", f"{ROOT}/kid/A/two", {"data": "10.0.0.2"})
    await api.ok("PUT", f"{ROOT}/kid/NS", {"records": []})


async def test_delegation_does_not_hide_records_at_its_name(api: ApiKit) -> None:
    await api.ok("PUT", f"{ROOT}/kid/TXT/one", {"data": "x"})
    for method, path, body in (
        ("PUT", f"{ROOT}/kid/NS/one", {"data": "ns.other.test."}),
        ("POST", f"{ROOT}/kid/NS", {"data": "ns.other.test."}),
        ("PUT", f"{ROOT}/kid/NS", NS),
    ):
        problem = await api.refused(409, method, path, body)
        assert "kid has TXT records, which NS records would hide" in problem["detail"]


@pytest.mark.parametrize(
    ("owner", "rtype", "data"),
    [("web.old", "A", "10.0.0.1"), ("a.b.old", "TXT", "x"), ("*.old", "A", "10.0.0.1"),
     ("sub.old", "NS", "ns.other.test."), ("ns.sub.old", "A", "10.0.0.1")],
)  # fmt: skip
async def test_record_below_a_dname_is_rejected(
    api: ApiKit, owner: str, rtype: str, data: str
) -> None:
    await api.ok("PUT", f"{ROOT}/old/DNAME/one", {"data": "new.lab.internal."})
    await hidden(api, owner, rtype, data)
    for place, kind, text in (("old", "A", "10.0.0.1"), ("xold", "A", "10.0.0.1")):
        await api.ok("PUT", f"{ROOT}/{place}/{kind}/one", {"data": text})


async def test_record_below_a_dname_at_the_apex_is_rejected(api: ApiKit) -> None:
    await api.ok("PUT", f"{ROOT}/@/DNAME/one", {"data": "new.test."})
    await hidden(api, "web", "A", "10.0.0.1")
    await api.ok("PUT", f"{ROOT}/@/A/one", {"data": "10.0.0.1"})
    # A zone of its own is not redirected.
    await api.ok("PUT", "/records/sub.lab.internal/web/A/one", {"data": "10.0.0.1"})


async def test_import_is_checked_as_a_whole(api: ApiKit) -> None:
    path = "/zones/lab.internal/import"
    content = b"kid NS ns.kid\nkid NS ns.other.test.\nns.kid A 10.0.0.1\nweb A 10.0.0.2\n"
    await api.ok("POST", path, content=content)
    exported = (await api.call("GET", "/zones/lab.internal/export")).content
    done = await api.ok("POST", f"{path}?replace=true", content=exported)
    assert (done["added"], done["removed"]) == (0, 0)
    wrong = b"new NS ns.other.test.\na.new A 10.0.0.1\nold DNAME x.test.\nb.old A 10.0.0.1\n"
    problem = await api.refused(422, "POST", path, content=wrong)
    assert ["a.new" in each["problem"] or "b.old" in each["problem"]
            for each in problem["problems"]] == [True, True]  # fmt: skip
    # The delegation is replaced by an address.
    done = await api.ok("POST", f"{path}?replace=true", content=b"a.kid A 10.0.0.1\n")
    assert api.answers("a.kid") == ["10.0.0.1"]
