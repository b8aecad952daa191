//! Tests of limits, and of corrupted text.

use super::*;

#[test]
fn problems_are_bounded() {
    let parsed = read(&"bad\n".repeat(MAX_PROBLEMS + 5));
    assert_eq!(parsed.problems.len(), MAX_PROBLEMS + 1);
    let last = &parsed.problems[MAX_PROBLEMS];
    assert_eq!(last.1, 10_001);
    assert_eq!(last.2, "5 more problems from here on are not listed");
}

#[test]
fn rrsets_are_bounded() {
    let record = |i: u32| format!("a A 10.{}.{}.{}\n", i >> 16, i >> 8 & 255, i & 255);
    let mut text: String = (0..65_535).map(record).collect();
    text.push_str(&record(7));
    let parsed = read(&text);
    assert_eq!(parsed.problems, []);
    assert_eq!(records(&parsed.rrsets[0].2).len(), 65_535);

    text.push_str(&record(65_535));
    assert_problems(&read(&text), &[(65_537, "at most 65535 records")], "");

    let text: String = (300..600).map(|i| format!("a TYPE{i} \\# 0\n")).collect();
    let parsed = read(&text);
    assert_eq!((parsed.rrsets.len(), parsed.problems.len()), (256, 44));
}

#[test]
fn large_rrsets_lose_their_duplicates() {
    let text: String = (0..200).map(|i| format!("a NS n{}\na NS N{}\n", i / 2, i / 2)).collect();
    let parsed = read(&text);
    assert_eq!(parsed.problems, []);
    assert_eq!(records(&parsed.rrsets[0].2).len(), 100);
}

#[test]
fn unclosed_parentheses_and_quotes_take_linear_time() {
    for pattern in ["(=\"\n\\", "x(\r)(;", "a TXT \"\n", "x ( \" \" \"\n", "\"\" \"\r("] {
        let lines = pattern.repeat(20_000);
        read(&lines);
        read(&format!("{lines}{}", "\"".repeat(20_001)));
    }
    let parsed = read(&"a A (\n".repeat(200_000));
    assert_eq!(parsed.problems.len(), MAX_PROBLEMS + 1);
    let parsed = read(&format!("a TXT ({}\nb A 10.0.0.1", " x".repeat(200_000)));
    assert_problems(&parsed, &[(1, "too long")], "");
}

#[test]
fn invalid_origin_is_a_problem() {
    let mut include = |_: &str| Err(io::Error::other("none"));
    let parsed = parse(b"a A 10.0.0.1", "m", b"\x07exam", TTL, &mut include);
    assert_eq!((parsed.rrsets.len(), parsed.problems.len()), (0, 1));
    let parsed = parse(b"a A 10.0.0.1", "m", b"\0", TTL, &mut include);
    assert_eq!(shown(&parsed), ["a. 30 A 0a000001"]);
}

/// Corrupts the seeds of the fuzzer in many ways: nothing panics, and all results are valid.
#[test]
fn corrupted_files_do_no_harm() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/zonefile");
    let mut seeds = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "zone") {
            seeds += 1;
            corrupt_in_many_ways(&std::fs::read(path).unwrap());
        }
    }
    assert!(seeds >= 12);
}

fn corrupt_in_many_ways(seed: &[u8]) {
    let special = b"\"();\\\n\r\t $@.\0\xff0A";
    for at in 0..seed.len() {
        let mut text = seed.to_vec();
        text[at] = special[at % special.len()];
        read_bytes(&text, &[]);
        text.truncate(at);
        read_bytes(&text, &[]);
        let mut text = seed.to_vec();
        text.insert(at, special[at / 2 % special.len()]);
        read_bytes(&text, &[]);
    }
}
