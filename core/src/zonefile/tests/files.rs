//! Tests of `$ORIGIN`, `$INCLUDE`, and files on disk.

use super::*;

#[test]
fn origin_changes() {
    let parsed = read(
        "$ORIGIN b\nw A 10.0.0.1\n$origin c\n@ CNAME x\n$ORIGIN example.net.\n A 10.0.0.2\n\
         x.c.b.example.org. MX 1 m\n",
    );
    assert_problems(&parsed, &[(6, "next to a CNAME")], "");
    assert_eq!(
        shown(&parsed),
        [
            "w.b.example.org. 30 A 0a000001",
            "c.b.example.org. 30 CNAME 017801630162076578616d706c65036f726700",
            "x.c.b.example.org. 30 MX 0001016d076578616d706c65036e657400",
        ]
    );
}

#[test]
fn files_are_included() {
    let main = "$TTL 9\na A 10.0.0.1\n$INCLUDE sub/one.zone s ; c\n A 10.0.0.2\n\
                $INCLUDE \"two.zone\"\n$INCLUDE /abs.zone\nb A 10.0.0.3\n";
    let files = [
        ("d/sub/one.zone", " A 10.1.0.9\n$ORIGIN t\na A 10.1.0.1\n$INCLUDE ../two.zone\nbad"),
        ("d/sub/../two.zone", "c A 10.2.0.1"),
        ("d/two.zone", "$TTL 8\nc A 10.2.0.2"),
        ("/abs.zone", ""),
    ];
    let parsed = read_bytes(main.as_bytes(), &files);
    assert_eq!(
        shown(&parsed),
        [
            "a.example.org. 9 A 0a000001 0a010009 0a000002",
            "a.t.s.example.org. 9 A 0a010001",
            "c.t.s.example.org. 9 A 0a020001",
            "c.example.org. 8 A 0a020002",
            "b.example.org. 8 A 0a000003",
        ]
    );
    let places: Vec<_> = parsed.problems.iter().map(|p| (p.0.as_str(), p.1)).collect();
    assert_eq!(places, [("d/sub/one.zone", 5)]);
    assert_eq!(
        parsed.files,
        ["d/main.zone", "d/sub/one.zone", "d/sub/../two.zone", "d/two.zone", "/abs.zone"]
    );
    assert_eq!(parsed.unread, [""; 0]);
    assert_eq!(parsed.cut, ["d/sub/one.zone", "d/sub/../two.zone", "d/two.zone"]);
}

/// An included file begins with the owner and origin of the line that includes it, and changes neither.
#[test]
fn owner_is_inherited_into_include() {
    let a = "a.example.org. 30 A 0a000001";
    let cases: &[(&str, &str, &str, &[&str])] = &[
        (
            "a A 10.0.0.1\n$INCLUDE f",
            " A 10.0.0.2\nb A 10.0.0.3",
            " A 10.0.0.4",
            &["a.example.org. 30 A 0a000001 0a000002 0a000004", "b.example.org. 30 A 0a000003"],
        ),
        (
            "a A 10.0.0.1\n$INCLUDE f s",
            " A 10.0.0.2\nb A 10.0.0.3",
            "c A 10.0.0.4",
            &[
                "a.example.org. 30 A 0a000001 0a000002",
                "b.s.example.org. 30 A 0a000003",
                "c.example.org. 30 A 0a000004",
            ],
        ),
        (
            "a A 10.0.0.1\n$INCLUDE f",
            "x..y A 10.0.0.2",
            " A 10.0.0.3",
            &["a.example.org. 30 A 0a000001 0a000003"],
        ),
        ("a A 10.0.0.1\n$INCLUDE f", "$INCLUDE g", "", &["a.example.org. 30 A 0a000001 0a000009"]),
        ("a A 10.0.0.1\nx..y A 10.0.0.1\n$INCLUDE f", " A 10.0.0.2", " A 10.0.0.3", &[a]),
        ("$INCLUDE f", " A 10.0.0.2", " A 10.0.0.3\na A 10.0.0.1", &[a]),
        (
            "$INCLUDE f",
            "b A 10.0.0.2",
            " A 10.0.0.3\na A 10.0.0.1",
            &["b.example.org. 30 A 0a000002", a],
        ),
    ];
    for (before, file, after, expected) in cases {
        let main = format!("{before}\n{after}\n");
        let parsed = read_bytes(main.as_bytes(), &[("d/f", file), ("d/g", " A 10.0.0.9")]);
        assert_eq!(shown(&parsed), *expected, "{main:?} {file:?} {:?}", parsed.problems);
    }
}

#[test]
fn include_loops_are_detected() {
    let own = "$INCLUDE main.zone\n".repeat(3);
    let parsed = read_bytes(own.as_bytes(), &[]);
    assert_problems(&parsed, &[(1, "itself"), (2, "itself"), (3, "itself")], "");

    let files = [("d/a", "$INCLUDE ./b\n$INCLUDE ./b"), ("d/b", "$INCLUDE a\n$INCLUDE ././a")];
    let parsed = read_bytes(b"$INCLUDE a", &files);
    assert_eq!(parsed.problems.len(), 4);
    assert_eq!(parsed.files, ["d/main.zone", "d/a", "d/b"]);

    // A file that includes itself under new names is stopped at a depth, and at a number of includes.
    let mut reads = 0;
    let mut include = |_: &str| {
        reads += 1;
        Ok(b"$INCLUDE x/y\n".repeat(10))
    };
    let parsed = parse(b"$INCLUDE x/y\n", "m", APEX, TTL, &mut include);
    assert_eq!(reads, MAX_INCLUDES);
    assert!(parsed.problems[0].2.contains("too many nested includes, expected at most 8"));
    let last = &parsed.problems[MAX_PROBLEMS].2;
    assert!(last.contains("more problems from here on are not listed"), "{last}");
    assert_eq!(parsed.files.len(), 9);
}

#[test]
fn files_are_read_from_disk() {
    let directory = std::env::temp_dir().join(format!("zonefile-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("main.zone");
    let text = "a A 10.0.0.1\n$INCLUDE more.zone\n$INCLUDE .\n$INCLUDE none\n";
    std::fs::write(&path, text).unwrap();
    std::fs::write(directory.join("more.zone"), "b A 10.0.0.2").unwrap();
    let parsed = read_zone(&path, APEX, TTL).unwrap();
    let missing = read_zone(&directory.join("none"), APEX, TTL);
    let origin = read_zone(&path, b"", TTL);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(parsed.rrsets.len(), 2);
    let named = [".", "more.zone", "none", "main.zone"].map(|name| directory.join(name));
    assert_eq!(parsed.files.len(), named.len());
    assert!(parsed.files.iter().all(|file| named.iter().any(|path| path == Path::new(file))));
    assert_eq!(parsed.unread, parsed.files[2..]);
    assert_eq!(parsed.cut, parsed.files[1..2]);
    let lines: Vec<u32> = parsed.problems.iter().map(|problem| problem.1).collect();
    assert_eq!(lines, [3, 4]);
    assert!(parsed.problems[0].2.contains("not a regular file"));
    assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(origin.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
