//! Tests of records that are kept, and reported.

use super::*;

#[test]
fn address_as_a_name_is_reported_and_kept() {
    let cases = [
        ("@ MX 10 10.0.0.1", true),
        ("@ MX 10 10.0.0.1.", true),
        ("@ MX 10 [10.0.0.1]", true),
        ("@ NS 192.0.2.1", true),
        ("a CNAME 2001:db8::1", true),
        ("a SRV 0 1 80 10.0.0.1", true),
        ("a NAPTR 1 2 s x \"\" 10.0.0.1", true),
        ("@ SOA 10.0.0.1 a 1 2 3 4 5", true),
        ("a HTTPS 1 10.0.0.1 port=1", true),
        ("a RP b 10.0.0.1", true),
        ("@ MX 10 10.0.0.1.example.org.", false),
        ("@ MX 10 10.0.0", false),
        ("@ MX 10 10.0.0.256", false),
        ("@ MX 10 mail", false),
        ("a TXT 10.0.0.1", false),
        ("a HTTPS 1 . ipv4hint=10.0.0.1", false),
        ("a MX \\# 3 0001 00", false),
    ];
    for (text, reported) in cases {
        let parsed = read(text);
        let problems: Problems = &[(1, "is an address, but it is read as a name")];
        assert_problems(&parsed, if reported { problems } else { &[] }, text);
        assert_eq!(parsed.rrsets.len(), 1, "{text}");
    }
}
