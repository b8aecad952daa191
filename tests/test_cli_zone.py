"""``musterd zone check``."""

import json
from pathlib import Path

import pytest

from musterd.cli import run
from musterd.cli.zone import zone_of
from musterd.errors import UsageError

Capture = pytest.CaptureFixture[str]
EXAMPLE = Path(__file__).parent.parent / "examples" / "example.zone"
SOA = "SOA ns hostmaster 1 2 3 4 5\n"


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        (f"a.test. IN {SOA}", "a.test."),
        (f"a.test. 1h IN {SOA}", "a.test."),
        (f"a.test.\tin 3600 {SOA.lower()}", "a.test."),
        (f"$ORIGIN a.test.\n@ {SOA}", "a.test."),
        (f"$origin test. ; x\na 30 {SOA}", "a.test."),
        (f"; $ORIGIN no.\n; no. {SOA}$ORIGIN a.test.\nb A 192.0.2.1\n", "a.test."),
        (f"$ORIGIN a.test.\n$ORIGIN b.test.\nc.test. {SOA}", "c.test."),
        (f'x TXT "y SOA z"\n$ORIGIN a.test.\n@ {SOA}', "a.test."),
    ],
)
def test_zone_is_read_from_the_file(tmp_path: Path, text: str, zone: str) -> None:
    path = tmp_path / "x.zone"
    path.write_text(text)
    assert zone_of(path) == zone


@pytest.mark.parametrize("text", ["", f"@ {SOA}", "a A 192.0.2.1\n", "$ORIGIN a\n"])
def test_file_without_zone_needs_an_option(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.zone"
    path.write_text(text)
    with pytest.raises(UsageError, match="pass --zone NAME"):
        zone_of(path)


def test_shipped_zone_is_valid(capsys: Capture) -> None:
    assert run(["zone", "check", str(EXAMPLE)]) == 0
    expected = capsys.readouterr().out
    assert expected.endswith(f"{EXAMPLE}: ok, 16 records in lab.internal.\n")
    assert any(line.split() == ["SRV", "2"] for line in expected.splitlines())


BROKEN = """\
@ SOA ns hostmaster 1 2 3 4 5
@ NS ns
ns A 192.0.2.1
a A 192.0.2.300
b AAAA ::1
c.other. A 192.0.2.1
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
bad LOC north of here
"""


def test_each_problem_names_its_line(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "broken.zone"
    path.write_text(BROKEN)
    assert run(["zone", "check", str(path), "--zone", "a.test"]) == 1
    expected = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in expected[:3]] == [f"{path}:{n}" for n in (4, 6, 8)]
    assert expected[2].startswith(f"{path}:8: LOC: ")
    assert expected[-1] == f"{path}: 3 problems, 5 records in a.test."


def test_missing_last_line_end_is_a_warning(tmp_path: Path, capsys: Capture) -> None:
    path, included = tmp_path / "cut.zone", tmp_path / "i"
    path.write_text(f"$ORIGIN a.test.\n@ {SOA}$INCLUDE i\nb A 192.0.2.1\n")
    included.write_text("i A 192.0.2.2")
    assert run(["zone", "check", str(path)]) == 0
    warning = f"{included}: its last line has no end, so it may be cut off"
    assert capsys.readouterr().err == f"warning: {warning}\n"
    assert run(["zone", "check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == [warning]
    included.write_text("i A 192.0.2.2\n")
    assert run(["zone", "check", str(path)]) == 0
    assert not capsys.readouterr().err


def test_json_report(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "broken.zone"
    path.write_text(BROKEN)
    assert run(["zone", "check", str(path), "--zone", "a.test", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["zone"] == "a.test."
    assert report["files"] == [str(path)]
    assert report["records"] == {"A": 1, "AAAA": 1, "LOC": 1, "NS": 1, "SOA": 1}
    assert [problem["line"] for problem in report["problems"]] == [4, 6, 8]


@pytest.mark.parametrize("name", ["a..b", "a" * 64, "", "\u2603.test"])
def test_invalid_zone_option_is_rejected(name: str, capsys: Capture) -> None:
    assert run(["zone", "check", str(EXAMPLE), "--zone", name]) == 2
    assert capsys.readouterr().err.startswith("--zone: ")


def test_zone_option_may_be_unicode(capsys: Capture) -> None:
    assert run(["zone", "check", str(EXAMPLE), "--zone", "Straße.test"]) == 1
    assert capsys.readouterr().out.endswith("xn--strae-oqa.test.\n")


def test_rrset_that_fits_no_message_is_reported(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.zone"
    texts = "".join(f"a TXT {n:0200}\n" for n in range(310))
    addresses = "".join(f"b A 192.0.{n // 256}.{n % 256}\n" for n in range(5000))
    path.write_text(texts + addresses)
    assert run(["zone", "check", str(path), "--zone", "a.test"]) == 1
    shown = capsys.readouterr().out.splitlines()
    reason = "all records need 66056 bytes, and a message has at most 65535"
    assert [line for line in shown if "bytes" in line] == [f"a.a.test. TXT: {reason}"]


def test_table_is_not_indented(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 192.0.2.1\na A 192.0.2.2\na TXT x\n")
    assert run(["zone", "check", str(path), "--zone", "a.test"]) == 0
    verdict = f"{path}: ok, 3 records in a.test."
    assert capsys.readouterr().out.splitlines() == ["type  records", "A     2", "TXT   1", verdict]


def test_records_that_are_never_answered_are_problems(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.zone"
    lines = (
        "@ NS ns",
        "cut NS ns.cut",
        "ns.cut A 192.0.2.1",
        "side NS Ns2.cut",
        "ns2.cut A 192.0.2.3",
    )
    path.write_text("\n".join([*lines, "WWW.cut A 192.0.2.2", ""]))
    assert run(["zone", "check", str(path), "--zone", "a.test"]) == 1
    (problem,) = [line for line in capsys.readouterr().out.splitlines() if ": cut." in line]
    reason = "cut.a.test. is delegated by NS records, so below it only"
    assert problem.startswith(f"www.cut.a.test. A would never be answered: {reason} ")


def test_unreadable_file_is_reported(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "none.zone"
    assert run(["zone", "check", str(path)]) == 1
    assert run(["zone", "check", str(path), "--zone", "a.test"]) == 1
    assert capsys.readouterr().err.count(f"{path}: can't be read: No such file") == 2


@pytest.mark.parametrize(
    ("zone", "text", "reported"),
    [
        ("lab.internal", "@ MX 10 10.0.0.1\n", True),
        ("lab.internal", "a CNAME fd00::1\n", True),
        ("lab.internal", "@ MX 10 10.0.0.1.lab.internal.\n", False),
        ("in-addr.arpa", "4.3.2.1 CNAME 4.3.2.10\n", False),
        ("in-addr.arpa", "4.3.2.1 CNAME 4.3.2.10.\n", True),
    ],
)
def test_address_as_a_name_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zone: str, text: str, reported: bool
) -> None:
    path = tmp_path / "z"
    path.write_text(text)
    assert run(["zone", "check", str(path), "--zone", zone]) == reported
    out = capsys.readouterr().out
    assert (f"{path}:1: " in out and "is an address, but it is read as a name" in out) == reported
    assert "1 record in" in out
