"""``musterd record`` and ``musterd lease``."""

import time

import pytest

from tests.apikit import RunningApi

pytest_plugins = ["tests.apifixture"]


def test_set_replaces_the_rrset(api: RunningApi) -> None:
    output = api("record", "set", "web.lab.internal", "A", "10.0.0.1", "10.0.0.2", "--ttl", "30")
    assert output.splitlines()[0] == "web.lab.internal A: set 10.0.0.1, 10.0.0.2"
    api("record", "set", "web.lab.internal", "A", "10.0.0.2", "10.0.0.3")
    api("record", "set", "web.lab.internal", "AAAA", "2001:db8::1")
    found = api.objects("record", "show", "web.lab.internal", "A")
    assert sorted((record["data"], record["ttl"]) for record in found) == [
        ("10.0.0.2", None),
        ("10.0.0.3", None),
    ]


def test_set_prints_a_dig_command(api: RunningApi) -> None:
    line = api("record", "set", "*.lab.internal.", "a", "10.0.0.1").splitlines()[-1]
    command = line.split()
    assert command[0] == "dig"
    assert command[1].startswith("@127.0.0.1")
    assert command[-2:] == ["'*.lab.internal'", "A"]


def test_set_passes_every_option(api: RunningApi) -> None:
    details = ["--ttl", "5", "--weight", "7", "--policy", "sticky", "--description", "a b"]
    more = ["--label", "team=dns", "--label", "x=y=z"]
    written = api.objects("record", "set", "web.lab.internal", "A", "10.0.0.1", *details, *more)
    for found in (written, api.objects("record", "show", "web.lab.internal")):
        (record,) = found
        assert {key: record[key] for key in ("zone", "owner", "type", "data", "ttl")} == {
            "zone": "lab.internal",
            "owner": "web",
            "type": "A",
            "data": "10.0.0.1",
            "ttl": 5,
        }
        assert (record["weight"], record["policy"], record["description"]) == (7, "sticky", "a b")
        assert record["labels"] == {"team": "dns", "x": "y=z"}


def test_add_keeps_existing_records(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "A", "10.0.0.1")
    output = api("record", "set", "web.lab.internal", "A", "10.0.0.2", "10.0.0.3", "--add")
    assert output.startswith("web.lab.internal A: added 10.0.0.2, 10.0.0.3\n")
    found = api.objects("record", "show", "web.lab.internal")
    assert sorted(str(record["data"]) for record in found) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_most_specific_zone_gets_the_record(api: RunningApi) -> None:
    names = ("a.deep.lab.internal", "deep.lab.internal", "xdeep.lab.internal", "LAB.internal.")
    for name in names:
        api("record", "set", name, "TXT", "x")
    found = {(record["zone"], record["owner"]) for record in api.objects("record", "list")}
    assert found == {
        ("deep.lab.internal", "a"),
        ("deep.lab.internal", "@"),
        ("lab.internal", "xdeep"),
        ("lab.internal", "@"),
    }


def test_name_outside_all_zones_is_rejected(api: RunningApi) -> None:
    output = api.fails("record", "set", "web.other.test", "A", "10.0.0.1")
    assert output.startswith("web.other.test is not in a declared zone; declared: ")
    assert "lab.internal" in output


def test_if_revision_protects_a_concurrent_write(api: RunningApi) -> None:
    (first,) = api.objects("record", "set", "web.lab.internal", "A", "10.0.0.1")
    seen = str(first["revision"])
    line = ["record", "set", "web.lab.internal", "A", "10.0.0.2", "--if-revision", seen]
    api(*line)
    output = api.fails(*line)
    assert "musterd record show NAME shows the current records" in output
    assert "10.0.0.2" in api("record", "show", "web.lab.internal")
    output = api.fails("record", "delete", "web.lab.internal", "A", "--if-revision", seen)
    assert "musterd record show" in output


def test_unquoted_text_is_one_string(api: RunningApi) -> None:
    api("record", "set", "lab.internal", "TXT", "v=spf1 mx -all")
    (record,) = api.objects("record", "show", "lab.internal", "TXT")
    assert record["data"] == '"v=spf1 mx -all"'
    api("record", "delete", "lab.internal", "TXT", "v=spf1 mx -all")
    api.fails("record", "show", "lab.internal")


def test_semicolon_outside_quotes_is_rejected(api: RunningApi) -> None:
    text = "v=DMARC1; p=none"
    assert f'write "{text}"' in api.fails("record", "set", "_dmarc.lab.internal", "TXT", text)
    assert "; x=1" in api.fails("record", "set", "lab.internal", "CAA", "0 issue ca.test; x=1")
    api("record", "set", "_dmarc.lab.internal", "TXT", f'"{text}"')
    assert "; p=none" in api.fails("record", "delete", "_dmarc.lab.internal", "TXT", text)
    api("record", "delete", "_dmarc.lab.internal", "TXT", f'"{text}"')


@pytest.mark.parametrize(
    ("rtype", "data", "other"),
    [
        ("AAAA", "2001:db8::1", "2001:DB8:0:0::1"),
        ("SRV", "0 1 80 Web.test.", "0  1 80 web.TEST"),
        ("MX", "10 Mail.Test", "10 mail.test."),
        ("CAA", '0 issue "ca.test"', "0 issue ca.test"),
        ("TXT", '"a b"', "a b"),
    ],
)
def test_delete_finds_equal_data(api: RunningApi, rtype: str, data: str, other: str) -> None:
    api("record", "set", "web.lab.internal", rtype, data)
    api("record", "delete", "web.lab.internal", rtype, other)
    api.fails("record", "show", "web.lab.internal")


def test_name_that_repeats_its_zone_is_written_shown_and_deleted(api: RunningApi) -> None:
    for name in ("web.lab.internal.lab.internal", "lab.internal.lab.internal"):
        output = api("record", "set", name, "A", "10.0.0.1")
        assert output.startswith(f"{name} A: set 10.0.0.1\n")
        (record,) = api.objects("record", "show", name)
        assert record["owner"] == name.removesuffix(".lab.internal")
        assert name in api("record", "list", "lab.internal")
        assert api.objects("record", "history", name)
        api("record", "delete", name, "A")
        api.fails("record", "show", name)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--policy", "best"], '--policy: got "best", expected all, one'),
        (["--weight", "99999"], '--weight: got "99999", expected 65535 or less'),
        (["--label", "a b=x"], '--label a b: got "a b", expected 1 to 63'),
        (["--label", f"a.b={'x' * 300}"], "--label a.b: got"),
        (["--description", "x" * 1001], "--description: got"),
        (["--lease", "0s"], '--lease: got "0s", expected 1 or more (seconds)'),
        (["--lease", "60000d"], '--lease: got "60000d", expected 31536000 or less (seconds)'),
    ],
)
@pytest.mark.parametrize("adding", [[], ["--add"]])
def test_invalid_option_is_named(
    api: RunningApi, options: list[str], wrong: str, adding: list[str]
) -> None:
    line = ["record", "set", "web.lab.internal", "A", "10.0.0.1", "10.0.0.2", *options, *adding]
    output = api.fails(*line)
    assert output.startswith(wrong)
    assert output.count("\n") == 1


def test_invalid_filter_is_named(api: RunningApi) -> None:
    assert api.fails("record", "list", "--registrant", "x" * 100).startswith("--registrant: got")
    assert api.fails("record", "list", "--label", f"{'x' * 500}=1").startswith("--label: got")


def test_delete_by_data_keeps_other_data(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "TXT", "a", "A")
    api("record", "delete", "web.lab.internal", "TXT", "a")
    (record,) = api.objects("record", "show", "web.lab.internal")
    assert record["data"] == '"A"'
    assert 'there is "A" (--id ' in api.fails("record", "delete", "web.lab.internal", "TXT", "b")


def test_lease_is_granted_renewed_and_revoked(api: RunningApi) -> None:
    output = api("record", "set", "web.lab.internal", "A", "10.0.0.1", "--lease", "2m").splitlines()
    assert output[1].startswith("lease: 120 s; before it expires: musterd lease renew ")
    lease = output[1].split()[-1]
    (record,) = api.objects("record", "show", "web.lab.internal")
    assert record["lease"] == lease
    assert api("lease", "renew", lease) == f"{lease}: renewed for 2min\n"
    assert api("lease", "revoke", lease) == f"{lease}: revoked, its records are deleted\n"
    api.fails("record", "show", "web.lab.internal")
    assert lease in api.fails("lease", "renew", lease)


def test_failed_write_revokes_its_lease(api: RunningApi) -> None:
    (record,) = api.objects("record", "set", "a.lab.internal", "A", "10.0.0.1", "--lease", "60")
    api.fails("record", "set", "web.lab.internal", "A", "bad", "--lease", "60")
    (found,) = api.objects("record", "list")
    assert found["lease"] == record["lease"]


def test_invalid_data_is_reported(api: RunningApi) -> None:
    assert "bad" in api.fails("record", "set", "web.lab.internal", "A", "10.0.0.1", "bad")
    api.fails("record", "show", "web.lab.internal")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["set", "web.lab.internal", "A"], "musterd record delete web.lab.internal A"),
        (["set", "web.lab.internal", "A/B", "x"], '"A/B" is not a record type'),
        (["set", "a..b", "A", "x"], "is not a valid name"),
        (["set", "web.lab.internal", "A", "x", "--label", "x"], "expected KEY=VALUE"),
        (["set", "web.lab.internal", "A", "x", "--lease", "soon"], "expected a duration"),
        (["set", "web.lab.internal", "A", "x", "--add", "--if-revision", "1"], "omit it"),
        (["delete", "web.lab.internal", "A", "x", "--id", "y"], "omit one"),
        (["list", "--type", "A A"], "is not a record type"),
    ],
)
def test_usage_errors(line: list[str], expected: str, api: RunningApi) -> None:
    assert expected in api.fails("record", *line, code=2)


def test_show_prints_a_table(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "A", "10.0.0.1", "10.0.0.2", "--ttl", "30")
    head, *rows = api("record", "show", "web.lab.internal").splitlines()
    assert head.split()[:5] == ["type", "data", "ttl", "id", "registrant"]
    assert sorted(row.split()[:3] for row in rows) == [
        ["A", "10.0.0.1", "30"],
        ["A", "10.0.0.2", "30"],
    ]


def test_show_without_records_suggests_explain(api: RunningApi) -> None:
    output = api.fails("record", "show", "web.lab.internal", "A")
    assert output.splitlines() == [
        "web.lab.internal: no A record is registered",
        "musterd explain web.lab.internal shows the records of other sources",
    ]
    assert api("record", "show", "web.lab.internal", "--json", code=1) == ""


def test_list_filters(api: RunningApi) -> None:
    api("record", "set", "a.lab.internal", "A", "10.0.0.1", "--label", "team=dns")
    api("record", "set", "b.lab.internal", "A", "10.0.0.2", "--label", "team=web")
    api("record", "set", "b.lab.internal", "AAAA", "2001:db8::2", "--label", "team=web")
    api("record", "set", "c.deep.lab.internal", "A", "10.0.0.3")
    both = ["a.lab.internal", "b.lab.internal"]

    def names(*line: str) -> list[str]:
        return sorted(row[0] for row in api.rows("record", "list", *line))

    assert names() == sorted([*both, "b.lab.internal", "c.deep.lab.internal"])
    assert names("lab.internal", "--type", "a") == both
    assert names("deep.lab.internal.") == ["c.deep.lab.internal"]
    assert names("--label", "team=web", "--type", "A") == ["b.lab.internal"]
    assert names("--label", "team=web", "--label", "x=y") == []
    assert names("--registrant", "nobody") == []


def test_list_of_undeclared_zone_fails(api: RunningApi) -> None:
    assert "deep.lab.internal" in api.fails("record", "list", "other.test")


def test_delete_by_data(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "AAAA", "2001:db8::1", "2001:db8::2")
    output = api("record", "delete", "web.lab.internal", "AAAA", "2001:DB8:0::1")
    assert output == "web.lab.internal AAAA: deleted 2001:db8::1\n"
    (left,) = api.objects("record", "show", "web.lab.internal")
    assert left["data"] == "2001:db8::2"
    output = api.fails("record", "delete", "web.lab.internal", "AAAA", "2001:db8::9")
    assert output == (
        "web.lab.internal AAAA: no record with data 2001:db8::9; "
        f"there is 2001:db8::2 (--id {left['id']})\n"
    )


def test_delete_by_id(api: RunningApi) -> None:
    first, second = api.objects("record", "set", "web.lab.internal", "A", "10.0.0.1", "10.0.0.2")
    api("record", "delete", "web.lab.internal", "A", "--id", str(first["id"]))
    assert api.objects("record", "show", "web.lab.internal") == [second]


def test_delete_rrset(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "A", "10.0.0.1", "10.0.0.2")
    api("record", "set", "web.lab.internal", "TXT", "x")
    assert api("record", "delete", "web.lab.internal", "A") == "web.lab.internal A: deleted\n"
    assert [row[0] for row in api.rows("record", "show", "web.lab.internal")] == ["TXT"]
    api.fails("record", "delete", "web.lab.internal", "A")


def test_history_is_newest_first(api: RunningApi) -> None:
    for ttl in ("10", "20", "30"):
        api("record", "set", "past.lab.internal", "A", "10.0.0.1", "--ttl", ttl)
    api("record", "delete", "past.lab.internal", "A")
    api("record", "set", "other.lab.internal", "A", "10.0.0.9")
    head, *rows = api("record", "history", "past.lab.internal").splitlines()
    assert head.split() == ["time", "revision", "who", "action", "type", "data", "changed"]
    assert [row.partition("10.0.0.1")[2].strip() for row in rows] == [
        "",
        "ttl 20 to 30",
        "ttl 10 to 20",
        "",
    ]
    assert "delete" in rows[0]
    entries = api.objects("record", "history", "past.lab.internal", "A", "--limit", "3")
    assert [bool(entry["before"]) for entry in entries] == [True, True, True]
    output = api.fails("record", "history", "past.lab.internal", "TXT")
    assert output == "past.lab.internal: no changes of TXT are known\n"


ODD = (
    "*.lab.internal",
    "_sip._tcp.lab.internal",
    r"a\.b.lab.internal",
    r"a\047b.lab.internal",
    r"\064.lab.internal",
    r"\000\255.lab.internal",
    r"sp\032ace.lab.internal",
    f"{'x' * 63}.{'y' * 63}.{'z' * 63}.{'w' * 48}.lab.internal",
    "bücher.lab.internal",
)


@pytest.mark.parametrize("name", ODD)
def test_unusual_names(name: str, api: RunningApi) -> None:
    output = api("record", "set", name, "A", "10.0.0.1")
    asked = output.splitlines()[-1].split()[-2].strip("'")
    (record,) = api.objects("record", "show", name)
    assert record["data"] == "10.0.0.1"
    assert api.objects("record", "show", asked) == [record]
    assert api.rows("record", "list")[0][0] == asked
    api("record", "delete", name, "A", "10.0.0.1")
    api.fails("record", "show", name)


def test_long_list_is_paged(api: RunningApi) -> None:
    addresses = [f"10.0.{n // 250}.{n % 250}" for n in range(1200)]
    for half in (0, 1):
        api("record", "set", f"many{half}.lab.internal", "A", *addresses[half::2])
    rows = api.rows("record", "list")
    assert sorted(row[2] for row in rows) == sorted(addresses)
    assert len(api.objects("record", "list")) == 1200


def test_description_and_labels_are_shown(api: RunningApi) -> None:
    details = ["--ttl", "90", "--weight", "7", "--policy", "sticky", "--description", "the front"]
    more = ["--label", "team=dns", "--lease", "1h"]
    api("record", "set", "web.lab.internal", "A", "10.0.0.1", "10.0.0.2", *details, *more)
    (lease, _) = [str(record["lease"]) for record in api.objects("record", "list")]
    shown = api("record", "show", "web.lab.internal")
    for text in ("90", "7", "sticky", "the front", "team=dns", lease, "first"):
        assert shown.count(text) >= 2
    assert api("record", "list").count(lease) == 2
    explained = api("explain", "web.lab.internal", "A", "--client", "192.0.2.1").splitlines()
    assert "policy  sticky" in explained
    known = explained[explained.index("answered:") + 2 :][:2]
    assert [line.split()[1:4] for line in known] == [
        ["10.0.0.1", "90", "7"],
        ["10.0.0.2", "90", "7"],
    ]
    assert explained[-1].startswith("  web.lab.internal. 90 IN A 10.0.0.")
    assert explained[-2] == "answer: NOERROR"
    api("record", "set", "web.lab.internal", "A", "10.0.0.2", "--description", "alone")
    changes = [line.split() for line in api("record", "history", "web.lab.internal").splitlines()]
    assert [line[3:7] for line in changes[1:3]] == [
        ["first", "changed", "A", "10.0.0.2"], ["first", "deleted", "A", "10.0.0.1"],
    ]  # fmt: skip
    assert "description the front to alone" in " ".join(changes[1])
    assert "lease" in " ".join(changes[1])


def test_expired_lease_deletes_its_records_and_is_in_history(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "A", "10.0.0.1", "--lease", "1s")
    explained = api("explain", "web.lab.internal")
    # A client must not cache an answer for longer than the lease.
    assert explained.splitlines()[-1].split()[1] == "1"
    end = time.monotonic() + 30
    while api.objects("record", "list") and time.monotonic() < end:
        time.sleep(0.05)
    assert "answer: NXDOMAIN" in api("explain", "web.lab.internal")
    (first, *_) = api("record", "history", "web.lab.internal").splitlines()[1:]
    assert first.split()[3:] == ["expired", "A", "10.0.0.1"]
