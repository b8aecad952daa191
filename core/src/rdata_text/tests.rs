//! Tables of rdata in text and in wire form.

use super::scalar::{base64, hex};
use super::*;

const ORIGIN: &[u8] = b"\x07example\x03org\0";

/// Splits a text into words at blanks; quoted words contain no blanks.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut out = Vec::new();
    for part in text.split_whitespace() {
        let (plain, quoted) = match part.split_once('"') {
            None => (part, None),
            Some((plain, rest)) => (plain, Some(rest.trim_end_matches('"'))),
        };
        if !plain.is_empty() {
            let text = plain.as_bytes();
            let (quoted, joined) = (false, false);
            out.push(Word { text, quoted, joined });
        }
        if let Some(text) = quoted {
            let (text, joined) = (text.as_bytes(), plain.ends_with('='));
            out.push(Word { text, quoted: true, joined });
        }
    }
    out
}

fn read(kind: &str, text: &str) -> Result<Vec<u8>, String> {
    let kind = Kind::from_text(kind.as_bytes()).expect("a known type");
    let mut out = b"before".to_vec();
    read_rdata(&kind, &words(text), ORIGIN, &mut out)?;
    let rdata = out.split_off(6);
    validate_rdata(kind.code, &rdata).expect("read_rdata writes valid rdata");
    Ok(rdata)
}

#[test]
fn rdata_is_read() {
    let long = format!("\"{}\"", "x".repeat(255));
    let long_wire = [&[255u8][..], &[b'x'; 255]].concat();
    let cases: &[(&str, &str, &[u8])] = &[
        ("A", "192.0.2.1", &[192, 0, 2, 1]),
        ("a", "\\# 4 c0 00 02 01", &[192, 0, 2, 1]),
        ("TYPE1", "192.0.2.1", &[192, 0, 2, 1]),
        ("AAAA", "2001:db8::1", b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"),
        ("AAAA", "::ffff:192.0.2.1", b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01"),
        ("NS", "ns", b"\x02ns\x07example\x03org\0"),
        ("CNAME", "@", b"\x07example\x03org\0"),
        ("PTR", "Host.Example.NET.", b"\x04Host\x07Example\x03NET\0"),
        ("DNAME", ".", b"\0"),
        ("MX", "10 a\\.b\\046c.", b"\0\x0a\x05a.b.c\0"),
        ("MX", "0 .", b"\0\0\0"),
        ("TXT", "one \"\" a\\034\\\\\\009\\;", b"\x03one\0\x05a\"\\\x09;"),
        ("TXT", &long, &long_wire),
        ("TXT", "h\u{e9}", b"\x03h\xc3\xa9"),
        ("SPF", "v=spf1", b"\x06v=spf1"),
        ("HINFO", "cpu \"os\"", b"\x03cpu\x02os"),
        ("SRV", "1 2 65535 t.", b"\0\x01\0\x02\xff\xff\x01t\0"),
        (
            "SOA",
            "ns. h. 4294967295 1h30m 0 1W 1m1s",
            b"\x02ns\0\x01h\0\xff\xff\xff\xff\0\0\x15\x18\0\0\0\0\0\x09\x3a\x80\0\0\0\x3d",
        ),
        ("CAA", "128 issue \"ca.example\"", b"\x80\x05issueca.example"),
        ("CAA", "0 \"issue\" \"\"", b"\0\x05issue"),
        ("RP", "a. b.", b"\x01a\0\x01b\0"),
        ("AFSDB", "1 a.", b"\0\x01\x01a\0"),
        ("MB", "a.", b"\x01a\0"),
        ("mg", "a.", b"\x01a\0"),
        ("MR", "a.", b"\x01a\0"),
        ("MINFO", "a. .", b"\x01a\0\0"),
        ("NULL", "\\# 2 00ff", b"\0\xff"),
        ("NULL", "\\# 0", b""),
        ("NAPTR", "1 2 \"u\" \"e2u\" \"!a!b!\" .", b"\0\x01\0\x02\x01u\x03e2u\x05!a!b!\0"),
        ("PX", "1 a. b.", b"\0\x01\x01a\0\x01b\0"),
        ("TYPE731", "\\# 3 abc def", b"\xab\xcd\xef"),
        ("TYPE731", "\\# 0", b""),
        ("DS", "\\# 1 FF", b"\xff"),
        ("MX", "\\# 4 000a 01 6", b""),
    ];
    for (kind, text, expected) in cases {
        match read(kind, text) {
            Ok(rdata) => assert_eq!(rdata, *expected, "{kind} {text}"),
            Err(why) => assert!(expected.is_empty(), "{kind} {text}: {why}"),
        }
    }
}

#[test]
fn error_names_the_field_and_what_was_expected() {
    let long = "x".repeat(256);
    let label = "x".repeat(64);
    let name = format!("{0}.{0}.{0}.{0}", "x".repeat(62));
    let huge = vec!["x".repeat(255); 257].join(" ");
    let cases: &[(&str, &str, &str)] = &[
        ("A", "10.0.0", "A: address: expected an IPv4 address such as 192.0.2.1, got \"10.0.0\""),
        ("A", "10.0.0.256", "IPv4"),
        ("A", "10.0.0.01", "IPv4"),
        ("A", "10.0.0.1 x", "A: unexpected \"x\" after the last field"),
        ("A", "", "A: address: the line ends, expected an IPv4 address"),
        ("A", "\"10.0.0.1\"", "without quotes"),
        ("A", "\\# 4 0a0000", "length is 4, but 3 bytes follow"),
        ("A", "\\# 3 0a0000", "expected 4 bytes, got 3"),
        ("A", "\\# 5 0a00000000", "1 unexpected bytes after the last field"),
        ("A", "\\# 2 0a0", "even number of hexadecimal digits"),
        ("A", "\\# 1 zz", "hexadecimal"),
        ("A", "\\# 65536 00", "expected 0 to 65535"),
        ("A", "\\#", "expected \\# LENGTH HEX"),
        ("AAAA", "2001:db8:::1", "IPv6"),
        ("AAAA", "10.0.0.1", "IPv6"),
        ("NS", "a..b", "empty label"),
        ("NS", ".a", "empty label"),
        ("NS", &label, "label of 64 bytes, expected at most 63"),
        ("NS", &name, "bytes, expected at most 255"),
        ("NS", "a\\", "backslash"),
        ("NS", "a\\256", "at most 255"),
        ("NS", "a\\25", "three digits"),
        ("MX", "mail", "preference: expected a number from 0 to 65535, got \"mail\""),
        ("MX", "65536 a", "65535"),
        ("MX", "-1 a", "65535"),
        ("MX", "10", "MX: host: the line ends, expected a domain name"),
        ("TXT", "", "a character string"),
        ("TXT", &long, "256 bytes, expected at most 255"),
        ("TXT", &huge, "longer than 65535 bytes"),
        ("HINFO", "a", "os: the line ends"),
        ("SOA", "a b 1 2 3 4", "minimum: the line ends, expected seconds"),
        ("SOA", "a b 1h 2 3 4 5", "serial: expected a number"),
        ("SOA", "a b 1 2 3 4x 5", "expire: expected seconds"),
        ("SOA", "a b 1 2 3 4 4294967296", "minimum"),
        ("CAA", "256 issue x", "flags"),
        ("CAA", "0 is-sue x", "letters and digits"),
        ("TYPE731", "abc", "TYPE731: expected \\# LENGTH HEX"),
        ("DS", "1 2 3 abcd", "DS: expected \\# LENGTH HEX"),
        ("CNAME", "\\# 2 c000", "length of a label"),
        ("CNAME", "\\# 2 0261", "past the end"),
        ("TXT", "\\# 0", "character string"),
        ("NULL", "x", "NULL: expected \\# LENGTH HEX"),
        ("MINFO", "a.", "errors: the line ends"),
    ];
    for (kind, text, expected) in cases {
        let why = read(kind, text).expect_err(text);
        assert!(why.contains(expected), "{kind} {text}: {why}");
        assert!(why.starts_with(&kind.to_ascii_uppercase()), "{kind} {text}: {why}");
    }
}

#[test]
fn service_parameters_are_read() {
    let cases: &[(&str, &[u8])] = &[
        ("0 pool.", b"\0\0\x04pool\0"),
        ("1 .", b"\0\x01\0"),
        ("1 . port=53", b"\0\x01\0\0\x03\0\x02\0\x35"),
        ("1 . key667=\"a\\210b\"", b"\0\x01\0\x02\x9b\0\x03a\xd2b"),
        ("1 . key667", b"\0\x01\0\x02\x9b\0\0"),
        ("1 . key3=\\000\\053", b"\0\x01\0\0\x03\0\x02\0\x35"),
        (
            "1 . ipv6hint=2001:db8::1 ALPN=\"h2,h3\"",
            b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x06\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01",
        ),
        // RFC 9460 appendix D.2, figure 9: sorted.
        (
            "1 . ipv4hint=192.0.2.1 mandatory=ipv4hint,alpn alpn=h2",
            b"\0\x01\0\0\0\0\x04\0\x01\0\x04\0\x01\0\x03\x02h2\0\x04\0\x04\xc0\0\x02\x01",
        ),
        // RFC 9460 appendix D.2, figure 10: escaped twice.
        (
            "16 f. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
            b"\0\x10\x01f\0\0\x01\0\x0c\x08f\\oo,bar\x02h2",
        ),
        ("16 f. alpn=f\\\\\\092oo\\092,bar,h2", b"\0\x10\x01f\0\0\x01\0\x0c\x08f\\oo,bar\x02h2"),
        ("1 . no-default-alpn alpn=h2", b"\0\x01\0\0\x01\0\x03\x02h2\0\x02\0\0"),
        ("1 . ech=AAQAAAAA", b"\0\x01\0\0\x05\0\x06\0\x04\0\0\0\0"),
        ("1 . ech=\"AAQAAAAA\"", b"\0\x01\0\0\x05\0\x06\0\x04\0\0\0\0"),
        ("1 . dohpath=/q{?dns} ohttp", b"\0\x01\0\0\x07\0\x08/q{?dns}\0\x08\0\0"),
        ("1 . tls-supported-groups=29,23", b"\0\x01\0\0\x09\0\x04\0\x1d\0\x17"),
        ("1 . tls-supported-groups=\"4588\"", b"\0\x01\0\0\x09\0\x02\x11\xec"),
        ("1 . docpath", b"\0\x01\0\0\x0a\0\0"),
        ("1 . docpath=", b"\0\x01\0\0\x0a\0\0"),
        ("1 . docpath=dns,a\\\\,b", b"\0\x01\0\0\x0a\0\x08\x03dns\x03a,b"),
        (
            "1 . mandatory=docpath,tls-supported-groups tls-supported-groups=1 docpath=a",
            b"\0\x01\0\0\0\0\x04\0\x09\0\x0a\0\x09\0\x02\0\x01\0\x0a\0\x02\x01a",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read("SVCB", text).as_deref(), Ok(*expected), "{text}");
        assert_eq!(read("https", text).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn invalid_service_parameters_are_rejected() {
    let cases: &[(&str, &str)] = &[
        ("1", "target: the line ends"),
        ("1 . port", "port: expected a number"),
        ("1 . port=65536", "port: expected a number"),
        ("1 . key3=\\000", "port: expected a number"),
        ("1 . alpn=h2 alpn=h3", "alpn is given twice"),
        ("1 . key1=\\002h2 alpn=h3", "alpn is given twice"),
        ("1 . alpn", "names of 1 to 255"),
        ("1 . alpn=h2,,h3", "names of 1 to 255"),
        ("1 . alpn=\"h\\\\2\"", "after a backslash in a list"),
        ("1 . no-default-alpn", "expected alpn in the same record"),
        ("1 . no-default-alpn=1 alpn=h2", "expected no value"),
        ("1 . mandatory=alpn", "alpn is listed but missing"),
        ("1 . mandatory=mandatory", "can't list itself"),
        ("1 . mandatory=alpn,alpn alpn=h2", "each key once"),
        ("1 . mandatory", "unknown key"),
        ("1 . ipv4hint=10.0.0", "IPv4 addresses"),
        ("1 . ipv4hint=", "IPv4 addresses"),
        ("1 . ipv6hint=10.0.0.1", "IPv6 addresses"),
        ("1 . ech=A", "Base64"),
        ("1 . ech=AQJ=", "Base64"),
        ("1 . ech", "ECHConfigList"),
        ("1 . ech=AAQAAAA=", "ECHConfigList"),
        ("1 . dohpath", "URI template"),
        ("1 . tls-supported-groups", "numbers from 0 to 65535"),
        ("1 . tls-supported-groups=65536", "numbers from 0 to 65535"),
        ("1 . tls-supported-groups=29,29", "each once"),
        ("1 . key9=a", "each once"),
        ("1 . docpath=a,,b", "path segments of 1 to 255"),
        ("1 . key10=\\000", "path segments of 1 to 255"),
        ("1 . key65535=a", "unknown key"),
        ("1 . key01=a", "unknown key"),
        ("1 . colour=red", "unknown key \"colour\""),
        ("1 . =h2", "unknown key"),
        ("1 . \"alpn=h2\"", "in quotes"),
    ];
    for (text, expected) in cases {
        let why = read("SVCB", text).expect_err(text);
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn wire_form_is_checked() {
    let cases: &[(u16, &[u8], bool)] = &[
        (1, b"\x0a\0\0\x01", true),
        (1, b"\x0a\0\0", false),
        (1, b"\x0a\0\0\x01\0", false),
        (28, &[0; 16], true),
        (28, &[0; 15], false),
        (2, b"\x02ns\0", true),
        (2, b"", false),
        (2, b"\x02ns", false),
        (2, b"\x02ns\0\0", false),
        (5, b"\xc0\x0c", false),
        (5, b"\x40", false),
        (12, &[1; 255], false),
        (15, b"\0\x01\0", true),
        (15, b"\0\x01", false),
        (33, b"\0\x01\0\x01\0\x01\0", true),
        (33, b"\0\x01\0\x01\0\0", false),
        (6, &[0; 22], true),
        (6, &[0; 21], false),
        (17, b"\0\0", true),
        (17, b"\0", false),
        (16, b"\0", true),
        (16, b"", false),
        (16, b"\x01a\x02b", false),
        (257, b"\0\x01a", true),
        (257, b"\0\0a", false),
        (257, b"\0\x01-", false),
        (257, b"\0", false),
        (64, b"\0\x01\0\0\x03\0\x02\0\x35", true),
        (64, b"\0\x01\0\0\x03\0\x02\0", false),
        (64, b"\0\x01\0\0\x03\0", false),
        (64, b"\0\x01\0\x02\x9b\0\0\0\x03\0\x02\0\x35", false),
        (64, b"\0\x01\0\x02\x9b\0\0\x02\x9b\0\0", false),
        (65, b"\0\x01\0\0\0\0\0", false),
        (65, b"\0\x01\0\0\x01\0\x02\x02h", false),
        (65, b"\0\x01\0\xff\xff\0\0", false),
        (43, b"", true),
        (731, &[0xff; 65535], true),
        (731, &[0; 65536], false),
    ];
    for (rtype, rdata, valid) in cases {
        let result = validate_rdata(*rtype, rdata);
        assert_eq!(result.is_ok(), *valid, "{rtype} {rdata:02x?}: {result:?}");
    }
}

#[test]
fn check_never_panics() {
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u32
    };
    for _ in 0..20_000 {
        let length = random() % 40;
        let rdata: Vec<u8> = (0..length)
            .map(|_| if random() % 2 == 0 { random() % 8 } else { random() } as u8)
            .collect();
        for rtype in [1, 2, 6, 13, 15, 16, 17, 28, 33, 35, 39, 64, 65, 257, 731] {
            if validate_rdata(rtype, &rdata).is_ok() {
                assert!(same_rdata(rtype, &rdata, &folded(rtype, &rdata)));
            } else {
                folded(rtype, &rdata);
            }
        }
    }
}

#[test]
fn names_in_rdata_are_compared_without_case() {
    let cases: &[(u16, &[u8], &[u8], bool)] = &[
        (2, b"\x02ns\0", b"\x02NS\0", true),
        (2, b"\x02ns\0", b"\x02nt\0", false),
        (15, b"\0A\x01a\0", b"\0A\x01A\0", true),
        (15, b"\0A\x01a\0", b"\0a\x01a\0", false),
        (16, b"\x02ns", b"\x02NS", false),
        (64, b"\0\x01\x01a\0\x02\x9b\0\x01a", b"\0\x01\x01A\0\x02\x9b\0\x01a", true),
        (64, b"\0\x01\x01a\0\x02\x9b\0\x01a", b"\0\x01\x01A\0\x02\x9b\0\x01A", false),
        (731, b"a", b"A", false),
    ];
    for (rtype, a, b, same) in cases {
        assert_eq!(same_rdata(*rtype, a, b), *same, "{rtype} {a:?} {b:?}");
    }
}

#[test]
fn names_are_compared_with_an_apex() {
    let cases: &[(&[u8], &[u8], bool)] = &[
        (b"\x01a\x01b\0", b"\x01B\0", true),
        (b"\x01b\0", b"\x01b\0", true),
        (b"\x01b\0", b"\0", true),
        (b"\x01b\0", b"\x01a\x01b\0", false),
        // The end matches, but not at a label: the first label has three bytes.
        (b"\x03a\x01b\0", b"\x01b\0", false),
        (b"\x02ab\0", b"\x01b\0", false),
    ];
    for (name, apex, under) in cases {
        assert_eq!(is_under(name, apex), *under, "{name:?} {apex:?}");
    }
    assert_eq!(name_to_text(b"\x03a.\x01\x01b\0"), "a\\.\\001.b.");
    assert_eq!(name_to_text(b"\0"), ".");
    assert!(check_name(b"").is_err() && check_name(b"\0\0").is_err());
}

#[test]
fn scalars_are_read() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1w2D3h4M5s", Some(788_645)),
        ("4294967295", Some(u32::MAX)),
        ("4294967296", None),
        ("9999999w", None),
        ("1h30", None),
        ("h", None),
        ("1y", None),
        ("", None),
        ("1hh", None),
    ] {
        assert_eq!(seconds(text.as_bytes()), expected, "{text}");
    }
    for (text, expected) in [
        ("", Some("")),
        ("Zg==", Some("f")),
        ("Zm8=", Some("fo")),
        ("Zm9v", Some("foo")),
        ("Zm9", None),
        ("Z===", None),
        ("Zh==", None),
        ("Z=9v", None),
        ("Zm 9", None),
    ] {
        let expected = expected.map(|text| text.as_bytes().to_vec());
        assert_eq!(base64(text.as_bytes()), expected, "{text}");
    }
    let mut out = Vec::new();
    assert_eq!(hex([&b"0aF"[..], b"f"].into_iter(), &mut out), Ok(()));
    assert_eq!(out, [0x0a, 0xff]);
    assert_eq!(show(b"a\"\x01\xff"), "\"a\\\"\\u{1}\u{fffd}\"");
    assert_eq!(show(&[b'x'; 100]).chars().count(), 63);
}
