"""Data of records: normalized, compared, or rejected if it is ambiguous."""

import pytest

from tests.api.kit import ApiKit


@pytest.mark.parametrize(
    ("rtype", "data", "shown"),
    [
        ("A", "10.0.0.1", "10.0.0.1"),
        ("AAAA", "FD00::0:1", "fd00::1"),
        ("CNAME", "Web.Example", "Web.Example."),
        ("TXT", '"a b" "c"', '"a b" "c"'),
        ("TXT", "v=spf1 a mx -all", '"v=spf1 a mx -all"'),
        ("TXT", 'a  (b) \\"c\\" \\\\', '"a  (b) \\"c\\" \\\\"'),
        ("TXT", "", '""'),
        ("TXT", "x" * 256, f'"{"x" * 255}" "x"'),
        ("TXT", r"\# 3 026869", '"hi"'),
        ("TXT", r"\#one two", '"#one two"'),
        ("SPF", "v=spf1 -all", '"v=spf1 -all"'),
        ("TXT", "größe", '"gr\\195\\182\\195\\159e"'),
        ("SRV", "0 10 8080 web.example.", "0 10 8080 web.example."),
        ("MX", "10 mail.", "10 mail."),
        ("MX", "0 .", "0 ."),
        ("CAA", '0 issue "x; a=b"', '0 issue "x; a=b"'),
        ("CAA", r"0 issue x\;a", '0 issue "x;a"'),
        ("URI", r'10 1 "a\"b"', r'10 1 "a\"b"'),
        ("HTTPS", "1 . alpn=h2", '1 . alpn="h2"'),
        ("TYPE65280", r"\# 2 0A0B", r"\# 2 0a0b"),
        ("type1", r"\# 4 0a000001", "10.0.0.1"),
        ("CNAME", r"\# 10 03776562047465737400", "web.test."),
    ],
)
async def test_record_data_is_normalized(api: ApiKit, rtype: str, data: str, shown: str) -> None:
    record = await api.ok("POST", f"/records/lab.internal/x/{rtype}", {"data": data})
    assert record["data"] == shown
    assert api.answers("x", record["type"]) == [shown]
    again = await api.call("POST", f"/records/lab.internal/x/{rtype}", {"data": shown})
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("rtype", "data"),
    [("A", "10.0.0"), ("A", "10.0.0.1\n"), ("A", ""), ("AAAA", "10.0.0.1"), ("CNAME", "a..b"),
     ("CNAME", "x" * 64), ("SRV", "1 2 3"), ("SRV", "1 2 70000 x"), ("TXT", '"' + "x" * 256 + '"'),
     ("TXT", '"a" b'), ("TXT", 'a "b"'), ("TXT", 'a"b"'), ("TXT", '"a"b'), ("TXT", '"a""b"'),
     ("TXT", '"a'), ("TXT", 'a"'), ("TXT", r"C:\temp"), ("TXT", r'"C:\temp"'), ("TXT", "a\\"),
     ("TXT", r"\256"), ("TXT", r"\25"), ("TXT", " a"), ("TXT", "a "), ("TXT", '"a" ; b'),
     ("TXT", r"\# 3 026869 00"), ("HINFO", "(a) b"), ("MX", "(10 mail.test)"),
     ("SOA", "a. b. 1 2 3 4 5"),
     ("ANY", "x"), ("OPT", "x"), ("NOPE", "x"),
     ("TYPE65536", r"\# 0"), ("TYPE65280", r"\# 2 0a"),
     ("A", r"\# 3 0a0000"), ("CNAME", r"\# 2 0000"), ("NS", r"\# 5 0377656200x"),
     ("TXT", r"\# 2 05aa"), ("A", r"\# 99999 0a"), ("A", r"\#4 0a000001")],
)  # fmt: skip
async def test_invalid_data_is_rejected(api: ApiKit, rtype: str, data: str) -> None:
    await api.refused(422, "POST", f"/records/lab.internal/x/{rtype}", {"data": data})
    await api.refused(422, "PUT", f"/records/lab.internal/x/{rtype}/1", {"data": data})


async def test_data_without_a_text_form_of_its_type_is_kept(api: ApiKit) -> None:
    path = "/records/lab.internal/x/ISDN/one"
    record = await api.ok("PUT", path, {"data": r"\# 2 0000"})
    assert record["data"] == r"\# 2 0000"
    assert (await api.ok("PUT", path, {"data": record["data"]})) == record
    assert len(api.answers("x", "ISDN")) == 1


@pytest.mark.parametrize(
    ("rtype", "data", "named"),
    [("CAA", "0 issue letsencrypt.org; accounturi=https://a/1", "; accounturi=https://a/1"),
     ("TXT", "v=DMARC1; p=none", 'write "v=DMARC1; p=none"'), ("TXT", ";", ";"),
     ("A", "10.0.0.1 ; web", "; web"), ("A", "10.0.0.1;", ";"), ("AAAA", "fd00::1;x", ";x"),
     ("CNAME", "web.test. ;", ";"), ("SRV", "0 0 80 web.test. ; x", "; x"),
     ("MX", "10 mail.test. ; x", "; x"), ("URI", "1 1 http://a;b", ";b"), ("HINFO", "a b;c", ";c"),
     ("SVCB", "1 . alpn=h2;x", ";x"), ("NAPTR", '1 1 "" "" "" . ;', ";"),
     ("DNSKEY", "256 3 8 AwEAAQ== ; key", "; key"), ("TLSA", f"3 1 1 {'ab' * 32};", ";"),
     ("TYPE65280", r"\# 1 00 ; x", "; x"), ("CNAME", "web.test. x", "x"), ("A", "10.0.0.1 x", "x"),
     ("MX", "10 mail.test. x y", "x"), ("CAA", '0 issue "a" "b"', "b"),
     ("LOC", "1 N 1 E 0 1 1 1 x", "x"),
     ("DNSKEY", "256 3 8 AwEA!!AAQ==", "base64")],
)  # fmt: skip
async def test_data_that_would_be_dropped_is_named(
    api: ApiKit, rtype: str, data: str, named: str
) -> None:
    assert named in await refused_everywhere(api, "x", rtype, data)


async def refused_everywhere(api: ApiKit, owner: str, rtype: str, data: str) -> str:
    """Return the reason for which every kind of write rejects a record."""
    path = f"/records/lab.internal/{owner}/{rtype}"
    reasons = set()
    for method, where, body in (
        ("POST", path, {"data": data}),
        ("PUT", f"{path}/1", {"data": data}),
        ("PUT", path, {"records": [{"data": data}]}),
    ):
        problem = await api.refused(422, method, where, body)
        assert problem["type"] == "urn:musterd:problem:invalid"
        reasons.add(problem["detail"])
    assert (await api.ok("GET", "/records"))["records"] == []
    (reason,) = reasons
    return str(reason)


TARGETS = [("CNAME", "{}"), ("NS", "{}"), ("PTR", "{}"), ("DNAME", "{}"), ("MX", "10 {}"),
           ("SRV", "0 1 80 {}"), ("AFSDB", "1 {}"), ("RT", "1 {}"), ("KX", "1 {}"),
           ("NAPTR", '1 1 "" "" "" {}'), ("RP", "{} a.test."), ("RP", "a.test. {}"),
           ("PX", "1 a.test. {}"), ("SVCB", "1 {} port=1"), ("HTTPS", "1 {}"), ("LP", "10 {}"),
           ("NSEC", "{} A"), ("IPSECKEY", "10 3 2 {} AAAA"), ("AMTRELAY", "10 0 3 {}"),
           ("HIP", "2 200100107B1A74DF365639CC39F1D578 AAAA a.test. {}")]  # fmt: skip
"""Types with names in their data."""


@pytest.mark.parametrize(("rtype", "data"), TARGETS)
async def test_name_of_one_label_in_data_is_rejected(api: ApiKit, rtype: str, data: str) -> None:
    reason = await refused_everywhere(api, "x", rtype, data.format("web"))
    assert "write web. for that, or web.lab.internal. for" in reason
    reason = await refused_everywhere(api, "x", rtype, data.format("@"))
    assert "write . for that, or lab.internal. for" in reason
    for name in ("web.", "web.test", "web.test."):
        record = await api.ok(
            "PUT", f"/records/lab.internal/x/{rtype}/1", {"data": data.format(name)}
        )
        assert name.removesuffix(".") + "." in record["data"]
        await api.ok("DELETE", f"/records/lab.internal/x/{rtype}/1")


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.1.", "fd00::1", "fd00::1.", "[fd00::1]"])
@pytest.mark.parametrize(("rtype", "data"), TARGETS)
async def test_address_for_a_name_is_rejected(
    api: ApiKit, rtype: str, data: str, address: str
) -> None:
    reason = await refused_everywhere(api, "x", rtype, data.format(address))
    assert "is an address: write the name" in reason


async def test_number_in_a_name_is_no_address(api: ApiKit) -> None:
    for number, data in enumerate(("1.0.0.10.in-addr.arpa", "10.0.0.1.test", "10.0.0.999", "1.2")):
        record = await api.ok("PUT", f"/records/lab.internal/x/NS/{number}", {"data": data})
        assert record["data"] == f"{data}."


@pytest.mark.parametrize(
    ("owner", "rtype", "data"),
    [("@", "CNAME", "web.test."), ("lab.internal.", "CNAME", "web.test."),
     ("*", "NS", "ns.test."), ("*.a", "NS", "ns.test."), ("*.a", "DNAME", "web.test.")],
)  # fmt: skip
async def test_record_that_is_never_answered_is_rejected(
    api: ApiKit, owner: str, rtype: str, data: str
) -> None:
    await refused_everywhere(api, owner, rtype, data)
    path = f"/records/lab.internal/{owner}/{rtype}"
    await api.ok("PUT", path, {"records": []})
    await api.refused(404, "DELETE", f"{path}/1")
    line = f"{owner} {rtype} {data}\na A 10.0.0.1\n".encode()
    problem = await api.refused(422, "POST", "/zones/lab.internal/import", content=line)
    assert len(problem["problems"]) == 1


EQUAL = [("MX", "10 {}"), ("SRV", "0 1 80 {}"), ("KX", "1 {}"), ("AFSDB", "1 {}"), ("RT", "1 {}"),
         ("NAPTR", '1 1 "" "" "" {}'), ("RP", "{} a.test."), ("RP", "a.test. {}"),
         ("PX", "1 {} a.test."), ("PTR", "{}"), ("SVCB", "1 {}"), ("LP", "1 {}"),
         ("HTTPS", "1 {} port=1")]  # fmt: skip


@pytest.mark.parametrize(("rtype", "data"), EQUAL)
async def test_case_of_names_in_data_does_not_count(api: ApiKit, rtype: str, data: str) -> None:
    path = f"/records/lab.internal/x/{rtype}"
    mixed, lower = data.format("Mail.Test."), data.format("mail.test.")
    record = await api.ok("POST", path, {"data": mixed})
    assert (await api.ok("POST", path, {"data": lower}))["id"] == record["id"]
    twice = {"records": [{"data": mixed}, {"data": lower}]}
    await api.refused(422, "PUT", path, twice)
    await api.ok("PUT", path, {"records": [{"data": mixed}]})
    assert len(api.answers("x", rtype)) == 1
    found = (
        await api.ok(
            "GET",
            path,
        )
    )["records"]
    assert [each["id"] for each in found] == [record["id"]]
    content = f"x {rtype} {lower}\n".encode()
    done = await api.ok("POST", "/zones/lab.internal/import?replace=true", content=content)
    assert (done["added"], done["removed"], done["changed"] + done["unchanged"]) == (0, 0, 1)
    # Two clients may register the same record by ids of their own: it is one in answers.
    await api.ok("PUT", f"{path}/one", {"data": mixed})
    await api.ok("PUT", f"{path}/two", {"data": lower})
    assert len(api.answers("x", rtype)) == 1


async def test_list_finds_equal_data(api: ApiKit) -> None:
    path = "/records/lab.internal/x/MX"
    await api.ok("PUT", f"{path}/one", {"data": "10 Mail.Test."})
    await api.ok("PUT", f"{path}/two", {"data": "10 mail.test."})
    await api.ok("PUT", f"{path}/other", {"data": "20 mail.test."})
    for where in (f"{path}?data=10%20MAIL.test", "/records?type=MX&data=10%20mail.test"):
        found = (await api.ok("GET", where))["records"]
        assert [each["id"] for each in found] == ["one", "two"]
    await api.refused(422, "GET", f"{path}?data=mail.test")
    await api.refused(422, "GET", "/records?data=10.0.0.1")


@pytest.mark.parametrize(
    "owner", ["web.lab.internal", "lab.internal", "Web.LAB.internal", "*.lab.internal"]
)
async def test_owner_that_ends_in_its_zone_needs_a_dot(api: ApiKit, owner: str) -> None:
    reason = await refused_everywhere(api, owner, "A", "10.0.0.1")
    assert f"write {owner}. for that name, or {owner.lower()}.lab.internal. for" in reason
    await api.refused(422, "GET", f"/records/lab.internal/{owner}")
    await api.refused(422, "DELETE", f"/records/lab.internal/{owner}/A/1")
    for wanted in (f"{owner}.", f"{owner}.lab.internal."):
        response = await api.call("POST", f"/records/lab.internal/{wanted}/A", {"data": "10.0.0.1"})
        assert response.status_code == 201
        assert api.answers(wanted) == ["10.0.0.1"]
        location = response.headers["location"].removeprefix("/v1")
        assert await api.ok("GET", location) == response.json()
        await api.ok("DELETE", location)
