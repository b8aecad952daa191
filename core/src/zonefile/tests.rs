//! Tests of zone files: their RRsets and problems.

use std::collections::HashMap;
use std::io;

use crate::rdata_text::{Kind, name_to_text, read_name, validate_rdata};

use super::*;

mod bounds;
mod files;
mod lines;
mod warnings;

const APEX: &[u8] = b"\x07example\x03org\0";
const TTL: u32 = 30;

/// The line of each problem, and a part of its text.
type Problems<'a> = &'a [(u32, &'a str)];

fn read_bytes(text: &[u8], files: &[(&str, &str)]) -> Parsed {
    let files: HashMap<&str, &str> = files.iter().copied().collect();
    let mut include = |path: &str| match files.get(path) {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    let parsed = parse(text, "d/main.zone", APEX, TTL, &mut include);
    check(&parsed);
    parsed
}

fn read(text: &str) -> Parsed {
    read_bytes(text.as_bytes(), &[])
}

/// Checks the properties of every result.
fn check(parsed: &Parsed) {
    for (owner, rtype, packed) in &parsed.rrsets {
        check_name(owner).unwrap();
        let records = records(packed);
        assert!(!records.is_empty());
        for (_, rdata) in records {
            validate_rdata(*rtype, &rdata).unwrap();
        }
    }
    assert!(parsed.problems.len() <= MAX_PROBLEMS + 1);
}

/// Returns weight and rdata of each record.
fn records(packed: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let u16_at = |at: usize| u16::from_be_bytes([packed[at], packed[at + 1]]);
    assert_eq!(packed[4..14], [0; 10], "never expires, policy all");
    let mut out = Vec::new();
    let mut at = 16;
    while at < packed.len() {
        let length = usize::from(u16_at(at + 2));
        out.push((u16_at(at), packed[at + 4..at + 4 + length].to_vec()));
        at += 4 + length;
    }
    assert_eq!((at, out.len()), (packed.len(), usize::from(u16_at(14))));
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a line for each RRset: owner, TTL, type, rdata of each record.
fn shown(parsed: &Parsed) -> Vec<String> {
    let line = |(owner, rtype, packed): &Rrset| {
        let ttl = u32::from_be_bytes([packed[0], packed[1], packed[2], packed[3]]);
        let rdata: Vec<String> = records(packed).iter().map(|record| hex(&record.1)).collect();
        let (owner, kind) = (name_to_text(owner), Kind::from_code(*rtype));
        format!("{owner} {ttl} {kind} {}", rdata.join(" "))
    };
    parsed.rrsets.iter().map(line).collect()
}

/// Checks that the problems are the expected ones, in order.
fn assert_problems(parsed: &Parsed, expected: Problems, text: &str) {
    let lines: Vec<u32> = parsed.problems.iter().map(|problem| problem.1).collect();
    let wanted: Vec<u32> = expected.iter().map(|problem| problem.0).collect();
    assert_eq!(lines, wanted, "{text}\n{:?}", parsed.problems);
    for (problem, expected) in parsed.problems.iter().zip(expected) {
        assert!(problem.2.contains(expected.1), "{problem:?} lacks {:?}", expected.1);
        assert_eq!(problem.0, "d/main.zone");
    }
}

#[test]
fn valid_text_gives_rrsets() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("\n \n;c\n\t ; c", &[]),
        ("a A 10.0.0.1", &["a.example.org. 30 A 0a000001"]),
        (
            "a A 10.0.0.1\r\n\r\nb A 10.0.0.2\r\n",
            &["a.example.org. 30 A 0a000001", "b.example.org. 30 A 0a000002"],
        ),
        ("\u{feff}@ A 10.0.0.1", &["example.org. 30 A 0a000001"]),
        ("a.EXAMPLE.org. A 10.0.0.1", &["a.EXAMPLE.org. 30 A 0a000001"]),
        ("* A 10.0.0.1", &["*.example.org. 30 A 0a000001"]),
        // In quotes, only blanks and the like lose their meaning.
        (
            "\"a\" A 10.0.0.1\n A 10.0.0.2\n\"a.b\" A 10.0.0.1",
            &["a.example.org. 30 A 0a000001 0a000002", "a.b.example.org. 30 A 0a000001"],
        ),
        ("\"a b;c\" A 10.0.0.1", &["a\\032b\\;c.example.org. 30 A 0a000001"]),
        ("\"a\\.b\\\"\" A 10.0.0.1", &["a\\.b\\\".example.org. 30 A 0a000001"]),
        ("\"a.example.org.\" A 10.0.0.1", &["a.example.org. 30 A 0a000001"]),
        ("\"@\" A 10.0.0.1", &["example.org. 30 A 0a000001"]),
        ("\\@ A 10.0.0.1", &["\\@.example.org. 30 A 0a000001"]),
        ("a\\.b\\032c A 10.0.0.1;c", &["a\\.b\\032c.example.org. 30 A 0a000001"]),
        // Class and TTL in either order, with units.
        ("a 5 A 10.0.0.1", &["a.example.org. 5 A 0a000001"]),
        ("a IN A 10.0.0.1", &["a.example.org. 30 A 0a000001"]),
        ("a in 5 a 10.0.0.1", &["a.example.org. 5 A 0a000001"]),
        ("a 1h30m CLASS1 TYPE1 10.0.0.1", &["a.example.org. 5400 A 0a000001"]),
        ("a 2147483647 A 10.0.0.1", &["a.example.org. 2147483647 A 0a000001"]),
        // A name that looks like a class or a TTL.
        ("in in a 10.0.0.1", &["in.example.org. 30 A 0a000001"]),
        ("5 5 a 10.0.0.1", &["5.example.org. 5 A 0a000001"]),
        (
            "a a 10.0.0.1\n a 10.0.0.2\n\tTXT x",
            &["a.example.org. 30 A 0a000001 0a000002", "a.example.org. 30 TXT 0178"],
        ),
        // Parentheses, over lines and not.
        (
            "a (A\n10.0.0.1 ; c )\n\n)\nb A (10.0.0.2)( )",
            &["a.example.org. 30 A 0a000001", "b.example.org. 30 A 0a000002"],
        ),
        (
            "@ SOA ns host (\n 1 ; serial\n 2 3\n 4 5 ) ; end\n",
            &[
                "example.org. 5 SOA 026e73076578616d706c65036f72670004686f7374076578616d706c65036f726700\
             0000000100000002000000030000000400000005",
            ],
        ),
        (
            "a TXT \"a;b (c)\" d\\ e \"\"\"f\"g\n",
            &["a.example.org. 30 TXT 07613b6220286329 0364206500 0166 0167"],
        ),
        (
            "a HTTPS 1 . alpn=\"h2,h3\"port=\"8443\"",
            &["a.example.org. 30 HTTPS 00010000010006026832026833000300022 0fb"],
        ),
        ("a TYPE731 \\# 3 ab (\ncdef )\na TYPE731 \\# 0", &["a.example.org. 30 TYPE731 abcdef "]),
        ("a DS \\# 1 ff", &["a.example.org. 30 DS ff"]),
        // Next to a CNAME, only the types that DNSSEC needs there.
        (
            "a CNAME b\na TYPE46 \\# 0\na TYPE25 \\# 0",
            &[
                "a.example.org. 30 CNAME 0162076578616d706c65036f726700",
                "a.example.org. 30 RRSIG ",
                "a.example.org. 30 KEY ",
            ],
        ),
    ];
    for (text, expected) in cases {
        let parsed = read(text);
        let strip = |line: &str| line.replace(' ', "");
        let shown: Vec<String> = shown(&parsed).iter().map(|line| strip(line)).collect();
        let expected: Vec<String> = expected.iter().map(|line| strip(line)).collect();
        assert_eq!(parsed.problems, [], "{text}");
        assert_eq!(shown, expected, "{text}");
    }
}

#[test]
fn ttl_is_inherited() {
    let soa = "@ SOA . . 1 2 3 4 77\n";
    let cases: &[(&str, &[u32])] = &[
        // The default of the zone.
        ("a A 10.0.0.1\nb A 10.0.0.2", &[30, 30]),
        // The previous record (RFC 1035 section 5.1).
        ("a 5 A 10.0.0.1\nb A 10.0.0.2\nc 6 A 10.0.0.3\nd A 10.0.0.4", &[5, 5, 6, 6]),
        // $TTL wins over it (RFC 2308 section 4).
        ("$TTL 9\na 5 A 10.0.0.1\nb A 10.0.0.2\n$TTL 1m\nc A 10.0.0.3", &[5, 9, 60]),
        // A SOA without a TTL uses its minimum, and so do the records after it.
        (&format!("{soa}a A 10.0.0.1"), &[77, 77]),
        (&format!("$TTL 9\n{soa}a A 10.0.0.1"), &[9, 9]),
        (&format!("a A 10.0.0.1\n{soa}"), &[30, 77]),
        ("@ 8 SOA . . 1 2 3 4 77\na A 10.0.0.1", &[8, 8]),
        // The lowest TTL of an RRset, duplicates included.
        ("a 5 A 10.0.0.1\na 4 A 10.0.0.2\na 6 A 10.0.0.3", &[4]),
        ("a 5 A 10.0.0.1\na 4 A 10.0.0.1", &[4]),
        // A line that is not a record changes nothing.
        ("a 5 A 10.0.0.1\n 7 ; no type\nb A 10.0.0.2", &[5, 5]),
    ];
    for (text, expected) in cases {
        let ttls: Vec<u32> = read(text)
            .rrsets
            .iter()
            .map(|set| u32::from_be_bytes([set.2[0], set.2[1], set.2[2], set.2[3]]))
            .collect();
        assert_eq!(ttls, *expected, "{text}");
    }
}

#[test]
fn ttl_with_highest_bit_counts_as_zero() {
    let cases: &[(&str, u32, &[&str])] = &[
        ("a 2147483648 A 10.0.0.1\nb A 10.0.0.2", 1, &["a", "b"]),
        ("a 4294967295 A 10.0.0.1", 1, &["a"]),
        ("a 3551w A 10.0.0.1", 1, &["a"]),
        ("a 2147483648 LOC x\nb A 10.0.0.2", 1, &["b"]),
        ("$TTL 2147483648\na A 10.0.0.1", 1, &["a"]),
        ("a 9 A 10.0.0.1\na 4294967295 A 10.0.0.1", 2, &["a"]),
        ("\n@ SOA . . 1 2 3 4 4294967295\na A 10.0.0.1", 2, &["", "a"]),
    ];
    for (text, line, owners) in cases {
        let parsed = read(text);
        assert_problems(&parsed, &[(*line, "counts as 0 (RFC 2181 section 8)")], text);
        let zero = |set: &Rrset| name_to_text(&set.0) + &format!(" {:?}", &set.2[..4]);
        let found: Vec<String> = parsed.rrsets.iter().map(zero).collect();
        let owners = owners.iter().map(|owner| format!("{owner}.example.org. [0, 0, 0, 0]"));
        let expected: Vec<String> =
            owners.map(|name| name.trim_start_matches('.').into()).collect();
        assert_eq!(found, expected, "{text}");
        assert!(parsed.foreign.iter().all(|record| record.4 == 0));
    }
}

#[test]
fn invalid_records_are_reported_and_the_others_kept() {
    let label = format!("{} A 10.0.0.1", "x".repeat(64));
    let name = format!("{0}.{0}.{0}.{0} A 10.0.0.1", "x".repeat(60));
    let cases: &[(&str, Problems)] = &[
        ("x A 10.0.0", &[(2, "expected an IPv4 address")]),
        ("x", &[(2, "no type, expected OWNER [TTL] [IN] TYPE DATA")]),
        ("x 5 IN", &[(2, "no type")]),
        ("x 5 5 A 10.0.0.1", &[(2, "unknown type \"5\"")]),
        ("x IN IN A 10.0.0.1", &[(2, "unknown type \"IN\"")]),
        ("x AA 10.0.0.1", &[(2, "unknown type \"AA\", expected a type such as A, or TYPE731")]),
        ("x \"A\" 10.0.0.1", &[(2, "unknown type")]),
        ("x TYPE65536 \\# 0", &[(2, "unknown type")]),
        ("x TYPE255 \\# 0", &[(2, "is not allowed in a zone")]),
        ("x TYPE41 \\# 0", &[(2, "is not allowed in a zone")]),
        ("x CH A 10.0.0.1", &[(2, "class \"CH\": expected IN")]),
        ("x CLASS3 A 10.0.0.1", &[(2, "expected IN")]),
        ("x 4294967296 A 10.0.0.1", &[(2, "TTL \"4294967296\": expected 0 to 2147483647")]),
        ("x 1h30 A 10.0.0.1", &[(2, "TTL")]),
        ("x 10.0.0.1", &[(2, "TTL \"10.0.0.1\"")]),
        (&label, &[(2, "label of 64 bytes")]),
        (&name, &[(2, "bytes, expected at most 255")]),
        ("x..y A 10.0.0.1", &[(2, "empty label")]),
        ("\"\" A 10.0.0.1", &[(2, "name is empty")]),
        ("\"x..y\" A 10.0.0.1", &[(2, "empty label")]),
        ("x.example.net. A 10.0.0.1", &[(2, "x.example.net. is outside the zone")]),
        ("org. A 10.0.0.1", &[(2, "outside the zone")]),
        ("xexample.org. A 10.0.0.1", &[(2, "outside the zone")]),
        ("x SOA . . 1 2 3 4 5", &[(2, "expected at the apex example.org.")]),
        ("@ CNAME x", &[(2, "CNAME at the apex")]),
        ("x DS 1 2 3 ff )", &[(2, "unmatched parenthesis )")]),
        // A line with an invalid owner does not keep the previous owner.
        ("x..y A 10.0.0.1\n A 10.0.0.2", &[(2, "empty"), (3, "has no owner")]),
        ("x.example.net. A 10.0.0.1\n A 10.0.0.2", &[(2, "outside"), (3, "outside")]),
        // Directives.
        ("$TTL", &[(2, "expected $TTL SECONDS")]),
        ("$TTL x", &[(2, "TTL \"x\"")]),
        ("$TTL 4294967296", &[(2, "TTL")]),
        ("\"$TTL\" 5", &[(2, "no type")]),
        ("$TTL 1 2", &[(2, "expected $TTL SECONDS")]),
        ("$ORIGIN", &[(2, "expected $ORIGIN NAME")]),
        ("$ORIGIN a..b", &[(2, "empty label")]),
        ("$INCLUDE", &[(2, "expected $INCLUDE FILE")]),
        ("$INCLUDE nothere", &[(2, "$INCLUDE d/nothere: no such file")]),
        ("$INCLUDE \"\"", &[(2, "expected a file name")]),
        ("$INCLUDE \\255", &[(2, "expected a file name")]),
        ("$INCLUDE a\\010b", &[(2, "expected a file name, got \"a\\nb\"")]),
        ("$INCLUDE \"a\nb\"", &[(2, "expected a file name, got \"a\\nb\"")]),
        ("$GENERATE 1-9 a$ A 10.0.0.$", &[(2, "$GENERATE is not supported: write the records")]),
        ("$COLOUR red", &[(2, "unknown directive \"$COLOUR\"")]),
        (" $TTL 5", &[(2, "unknown type \"$TTL\"")]),
        // Only the line of an unclosed quote or parenthesis is lost.
        ("x TXT \"abc", &[(2, "quote \" is not closed")]),
        ("x TXT ( \"abc\n\"def\" )", &[(2, "quote")]),
        ("x TXT (\n \"abc\n \"def\"\n)", &[(3, "quote")]),
        ("x TXT ( \"abc )", &[(2, "quote")]),
        ("$TTL \"5", &[(2, "quote")]),
        ("\"x A 10.0.0.1", &[(2, "quote")]),
        ("x A ( 10.0.0.1", &[(2, "parenthesis ( is not closed")]),
        ("@ SOA a b (\n 1 ; serial\n 2 3 4\n 5", &[(2, "not closed")]),
        ("@ SOA a b (\n 1 2 (\n 3 ) 4 5\n)", &[(2, "not closed")]),
        ("x A (\n A 10.0.0", &[(2, "not closed"), (3, "IPv4")]),
        ("x )", &[(2, "unmatched parenthesis )")]),
        (") x ( A\n10.0.0.1 )", &[(2, "unmatched parenthesis )")]),
        ("(\n", &[(2, "not closed")]),
        ("x A 10.0.0.1\\", &[(2, "IPv4")]),
        ("x X25 ( a\\\nb )", &[(2, "X25: a backslash at the end escapes nothing")]),
        ("x X25 \\256", &[(2, "X25: \\256 is not an escape")]),
    ];
    for (text, expected) in cases {
        let parsed = read(&format!("before A 10.9.9.1\n{text}\nafter A 10.9.9.2\n"));
        assert_problems(&parsed, expected, text);
        let shown = shown(&parsed);
        let kept = |line: &str| shown.iter().any(|set| set == line);
        assert!(kept("before.example.org. 30 A 0a090901"), "{text}: {shown:?}");
        assert!(kept("after.example.org. 30 A 0a090902"), "{text}: {shown:?}");
        assert_eq!(shown.len(), 2, "{text}: {shown:?}");
    }
}

#[test]
fn first_of_conflicting_records_is_kept() {
    let b = "0162076578616d706c65036f726700";
    let cases: &[(&str, Problems, &[&str])] = &[
        (
            "a CNAME b\na A 10.0.0.1",
            &[(2, "A at a.example.org. next to a CNAME")],
            &[&format!("a.example.org. 30 CNAME {b}")],
        ),
        (
            "a A 10.0.0.1\nA CNAME b",
            &[(2, "CNAME at a.example.org. next to other records")],
            &["a.example.org. 30 A 0a000001"],
        ),
        (
            "a CNAME b\na CNAME c\na CNAME B",
            &[(2, "second CNAME record at a.example.org.")],
            &[&format!("a.example.org. 30 CNAME {b}")],
        ),
        ("a DS 1 2 3 ff\na CNAME b", &[(2, "next to other records")], &[]),
        (
            "a CNAME b\na LOC x",
            &[(2, "LOC at a.example.org. next to a CNAME")],
            &[&format!("a.example.org. 30 CNAME {b}")],
        ),
        (
            "@ SOA . . 1 2 3 4 5\n@ SOA . . 2 2 3 4 5\n",
            &[(2, "second SOA")],
            &["example.org. 5 SOA 00000000000100000002000000030000000400000005"],
        ),
        (
            "a DNAME b\na DNAME c\n",
            &[(2, "second DNAME")],
            &[&format!("a.example.org. 30 DNAME {b}")],
        ),
        // No conflict: a duplicate, names compared without case; the first case stays.
        ("A NS b\na NS B\nA NS b", &[], &[&format!("A.example.org. 30 NS {b}")]),
        ("a TXT b\na TXT B", &[], &["a.example.org. 30 TXT 0162 0142"]),
    ];
    for (text, problems, expected) in cases {
        let parsed = read(text);
        assert_problems(&parsed, problems, text);
        assert_eq!(shown(&parsed), *expected, "{text}");
    }
}

#[test]
fn srv_records_keep_their_weight() {
    let parsed = read("a SRV 1 0 3 b\na SRV 1 700 3 c\nb A 10.0.0.1");
    let weights = |set: &Rrset| -> Vec<u16> { records(&set.2).iter().map(|r| r.0).collect() };
    assert_eq!(weights(&parsed.rrsets[0]), [0, 700]);
    assert_eq!(weights(&parsed.rrsets[1]), [1]);
}

#[test]
fn types_without_text_form_are_foreign() {
    let text = "$TTL 9\n\na.b DS 1 8 2 (\n abc ;c\n def )\n LOC \"x y\" \\232\u{e9}\n\
                \x20URI 1 1 \"a\nb\\\nc\\\\\nd\\\u{e9}\\\";\t\"\n";
    let parsed = read(text);
    let mut owner = Vec::new();
    read_name(b"a.b", APEX, &mut owner).unwrap();
    let expected = [
        (3, owner.clone(), 9, "DS", "1 8 2 abc def"),
        (6, owner.clone(), 9, "LOC", "\"x y\" \\232\\195\\169"),
        (7, owner, 9, "URI", "1 1 \"a\\010b\\010c\\\\\\010d\\195\\169\\\";\t\""),
    ];
    let foreign = parsed.foreign.iter();
    let found: Vec<_> = foreign
        .map(|(_, line, _, owner, ttl, kind, text)| {
            (*line, owner.clone(), *ttl, &kind[..], &text[..])
        })
        .collect();
    assert_eq!(found, expected);
    assert!(parsed.foreign.iter().all(|record| record.2 == APEX));
    assert_eq!((parsed.rrsets, parsed.problems), (vec![], vec![]));
}
