//! Tests of line ends, quotes and parentheses.

use super::*;

#[test]
fn strings_span_lines() {
    let cases: &[(&str, &str)] = &[
        ("x TXT \"one\n$ORIGIN sub\ntwo\"", "one\n$ORIGIN sub\ntwo"),
        ("x TXT ( \"one\ntwo\" )", "one\ntwo"),
        ("x TXT (\"one\ntwo\")", "one\ntwo"),
        ("x TXT \"one\ntwo\"; c", "one\ntwo"),
        ("x TXT \"\n\"", "\n"),
        ("x TXT \"one\\\ntwo\"", "one\ntwo"),
        ("x TXT \"one\\\"\ntwo\\\\\"", "one\"\ntwo\\"),
        ("x TXT \"one\r\ntwo\"", "one\r\ntwo"),
        ("x TXT \"one\rtwo\"", "one\rtwo"),
        ("x TXT \"; one\n; two ( )\"", "; one\n; two ( )"),
        ("x TXT \"\ny A 10.0.0.1\n\"", "\ny A 10.0.0.1\n"),
    ];
    for (text, string) in cases {
        let parsed = read(&format!("{text}\nafter A 10.9.9.2\nbad\n"));
        // The lines within a string count.
        let line = text.replace("\r\n", "\n").matches(['\r', '\n']).count() as u32 + 3;
        assert_problems(&parsed, &[(line, "no type")], text);
        let txt = format!("x.example.org. 30 TXT {:02x}{}", string.len(), hex(string.as_bytes()));
        assert_eq!(shown(&parsed), [txt, "after.example.org. 30 A 0a090902".into()], "{text}");
    }
    let parsed = read("x CAA 0 issue \"ca.example; \n a=b\"\ny HTTPS 1 . alpn=\"h2,\nh3\"\n");
    assert_eq!(parsed.problems, []);
    assert_eq!(parsed.rrsets.len(), 2);
}

/// Each line with a quote that is not closed is lost, and no other.
#[test]
fn unclosed_quotes_swallow_no_lines() {
    let cases: &[(&str, &[u32])] = &[
        ("x TXT \"one\nkept A 10.0.0.1\ny TXT \"two\"", &[1]),
        ("x TXT \"one\nkept A 10.0.0.1\ny TXT \"\"", &[1]),
        // The quotes are paired wrongly, until the last one shows it.
        ("x TXT \"one\nkept A 10.0.0.1\ny TXT \" two\"", &[1]),
        ("x TXT \"one\nkept A 10.0.0.1\ny TXT \" two \" \" three \"", &[1]),
        ("x TXT ( \"one )\nkept A 10.0.0.1\ny TXT \" two \"", &[1]),
        ("x TXT \"one (\nkept A 10.0.0.1\ny TXT \" ) two \"", &[1]),
        // A quote that is only closed, twice.
        ("x TXT one\"\nkept A 10.0.0.1\ny TXT two\"", &[1, 3]),
        ("x TXT \"one\nkept A 10.0.0.1\ny TXT two\"z", &[1, 3]),
    ];
    for (text, lines) in cases {
        let parsed = read(text);
        let found: Vec<u32> = parsed.problems.iter().map(|problem| problem.1).collect();
        assert_eq!(found, *lines, "{text} {:?}", parsed.problems);
        assert!(shown(&parsed).contains(&"kept.example.org. 30 A 0a000001".into()), "{text}");
    }
    // The lines after an invalid owner have none.
    let parsed = read("a A 10.0.0.1\n\"b A 10.0.0.2\n A 10.0.0.3");
    assert_problems(&parsed, &[(2, "quote"), (3, "no owner")], "");
}

#[test]
fn lines_end_in_lf_or_cr() {
    for text in [
        "a A 10.0.0.1\rb A (\r10.0.0.2\r)\r A 10.0.0.3\rbad\r",
        "a A 10.0.0.1\r\nb A (\r\n10.0.0.2\r\n)\r\n A 10.0.0.3\r\nbad\r\n",
        "a A 10.0.0.1\n\rb A (10.0.0.2\r)\n A 10.0.0.3\rbad\n",
        "a A 10.0.0.1\r\r\nb A 10.0.0.2\r\r\n A 10.0.0.3\rbad",
        "a A 10.0.0.1;c\r\n;c\r\r\n\rb A 10.0.0.2 ;c \r \r\n A 10.0.0.3\nbad",
    ] {
        let parsed = read(text);
        assert_problems(&parsed, &[(6, "no type")], text);
        assert_eq!(
            shown(&parsed),
            ["a.example.org. 30 A 0a000001", "b.example.org. 30 A 0a000002 0a000003"],
            "{text:?}"
        );
    }
    // A comment ends at LF, but what it hides is reported.
    let parsed = read("a A 10.0.0.1 ; c\rb A 10.0.0.2\nb A 10.0.0.3\n; c\rb A 10.0.0.4");
    assert_problems(&parsed, &[(1, "belongs to the comment"), (3, "carriage return")], "");
    assert_eq!(shown(&parsed), ["a.example.org. 30 A 0a000001", "b.example.org. 30 A 0a000003"]);
}

#[test]
fn lines_after_an_unclosed_parenthesis_keep_their_owner() {
    let parsed = read("x TXT ( \"a\"\n A 10.0.0.1\ny TXT \"b\n A 10.0.0.2");
    assert_problems(&parsed, &[(1, "not closed"), (3, "quote")], "");
    assert_eq!(shown(&parsed), ["x.example.org. 30 A 0a000001", "y.example.org. 30 A 0a000002"]);
}
