//! Turns entries into records and directives, with the values that a line inherits from earlier lines.

use std::collections::HashSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::rdata_text::{
    Kind, Word, address_as_name, is_generic, is_under, name_to_text, read_name, read_rdata, rtype,
    show, unescape,
};

use super::head::{Head, read_head, read_ttl};
use super::lexer::{Entry, Lexer};
use super::rrsets::Rrsets;
use super::{MAX_DEPTH, MAX_INCLUDES, MAX_PROBLEMS, MAX_TEXT, MAX_TTL, Parsed, Problem};

const CR_IN_COMMENT: &str = "the text after a carriage return belongs to the comment, expected a line \
                             feed at the end of a comment";

/// The state within one file.
struct Scope<'a> {
    file: &'a str,
    origin: Vec<u8>,
    /// Owner of the last record, in wire form; empty if it was invalid.
    owner: Vec<u8>,
}

/// Reads one zone.
pub struct Reader<'i> {
    apex: &'i [u8],
    default_ttl: u32,
    include: &'i mut dyn FnMut(&str) -> io::Result<Vec<u8>>,
    /// The value of `$TTL`.
    zone_ttl: Option<u32>,
    /// The TTL of the last record that has one.
    last_ttl: Option<u32>,
    rrsets: Rrsets,
    out: Parsed,
    /// Number of problems that are not reported, and the place of the first one.
    unreported: u64,
    unreported_at: Option<(String, u32)>,
    /// Files being read, outermost first.
    stack: Vec<String>,
    known_files: HashSet<String>,
    includes: usize,
    size: usize,
    rdata: Vec<u8>,
}

impl<'i> Reader<'i> {
    pub fn new(
        apex: &'i [u8], default_ttl: u32, include: &'i mut dyn FnMut(&str) -> io::Result<Vec<u8>>,
    ) -> Reader<'i> {
        Reader {
            apex,
            default_ttl: default_ttl.min(MAX_TTL),
            include,
            zone_ttl: None,
            last_ttl: None,
            rrsets: Rrsets::default(),
            out: Parsed::default(),
            unreported: 0,
            unreported_at: None,
            stack: Vec::new(),
            known_files: HashSet::new(),
            includes: 0,
            size: 0,
            rdata: Vec::new(),
        }
    }

    /// Reads the zone from the text of its first file.
    pub fn run(mut self, text: &[u8], file: &str) -> Parsed {
        self.size = text.len();
        self.read_file(text, Scope { file, origin: self.apex.to_vec(), owner: Vec::new() });
        self.out.rrsets = self.rrsets.finish();
        if let Some((file, line)) = self.unreported_at {
            let why = format!("{} more problems from here on are not listed", self.unreported);
            self.out.problems.push((file, line, why));
        }
        self.out
    }

    fn read_file(&mut self, text: &[u8], mut scope: Scope) {
        let file = scope.file;
        self.know(file);
        if !matches!(text.last(), None | Some(b'\n' | b'\r')) {
            self.out.cut.push(file.into());
        }
        self.stack.push(tidy(Path::new(file)));
        let mut lexer = Lexer::new(text);
        let mut words = Vec::new();
        let mut is_broken = false;
        loop {
            let entry = lexer.next(&mut words);
            if let Some(line) = lexer.take_cr_comment() {
                self.report((file.into(), line, CR_IN_COMMENT.into()));
            }
            let Some(entry) = entry else { break };
            let Err((line, why)) = self.read_entry(&entry, &words, &mut scope) else {
                is_broken = false;
                continue;
            };
            // The rest of a record whose parenthesis is not closed is not reported separately.
            if is_broken && is_remainder(&entry, &words) {
                continue;
            }
            is_broken = entry.unclosed;
            self.report((file.into(), line, why));
        }
        self.stack.pop();
    }

    fn know(&mut self, file: &str) {
        if self.known_files.insert(file.into()) {
            self.out.files.push(file.into());
        }
    }

    fn report(&mut self, problem: Problem) {
        if self.out.problems.len() < MAX_PROBLEMS {
            self.out.problems.push(problem);
            return;
        }
        self.unreported += 1;
        self.unreported_at.get_or_insert((problem.0, problem.1));
    }

    fn read_entry(
        &mut self, entry: &Entry, words: &[Word], scope: &mut Scope,
    ) -> Result<(), (u32, String)> {
        let at = |why| (entry.line, why);
        let first = words.first();
        if let Some(word) = first
            && !entry.indented
            && !word.quoted
            && word.text.starts_with(b"$")
        {
            if let Some(fault) = &entry.fault {
                return Err(fault.clone());
            }
            return self.read_directive(entry.line, words, scope).map_err(at);
        }
        let (owner, rest) = match words.split_first() {
            Some((owner, rest)) if !entry.indented => (read_owner(owner, scope), rest),
            _ => (Ok(()), words),
        };
        // Checked only now, because the lines after an invalid one may inherit its owner.
        if let Some(fault) = &entry.fault {
            return Err(fault.clone());
        }
        owner.map_err(at)?;
        self.read_record(entry.line, rest, scope).map_err(at)
    }

    fn read_record(&mut self, line: u32, words: &[Word], scope: &Scope) -> Result<(), String> {
        let Head { ttl, kind, rdata } = read_head(words)?;
        let ttl = ttl.map(|ttl| self.limit_ttl(ttl, scope.file, line));
        let stated = ttl.or(self.zone_ttl).or(self.last_ttl);
        self.last_ttl = ttl.or(self.last_ttl);
        self.check_place(kind, &scope.owner)?;
        if kind.is_foreign() && !is_generic(rdata) {
            // Joined words would be read differently if one ends in a backslash.
            for word in rdata {
                self.rdata.clear();
                unescape(word.text, &mut self.rdata).map_err(|why| format!("{kind}: {why}"))?;
            }
            self.rrsets.occupy(&scope.owner, kind)?;
            let ttl = stated.unwrap_or(self.default_ttl);
            let (origin, owner) = (scope.origin.clone(), scope.owner.clone());
            let record =
                (scope.file.into(), line, origin, owner, ttl, kind.to_string(), join(rdata));
            self.out.foreign.push(record);
            return Ok(());
        }
        self.rdata.clear();
        read_rdata(&kind, rdata, &scope.origin, &mut self.rdata)?;
        if let Some(address) = address_as_name(&kind, rdata, &scope.origin) {
            let why = format!(
                "{kind}: {} is an address, but it is read as a name: write the name that has this address",
                show(address)
            );
            self.report((scope.file.into(), line, why));
        }
        let ttl = stated.unwrap_or_else(|| self.implicit_ttl(kind, scope.file, line));
        self.rrsets.add(&scope.owner, kind, ttl, &self.rdata)
    }

    /// Returns the TTL of a record if neither it nor an earlier line sets one.
    ///
    /// A SOA record then uses its minimum, and so do the records after it. That was the meaning of
    /// the field before RFC 2308.
    fn implicit_ttl(&mut self, kind: Kind, file: &str, line: u32) -> u32 {
        match self.rdata.last_chunk::<4>() {
            Some(minimum) if kind.code == rtype::SOA => {
                let ttl = self.limit_ttl(u32::from_be_bytes(*minimum), file, line);
                self.last_ttl = Some(ttl);
                ttl
            }
            _ => self.default_ttl,
        }
    }

    /// Returns a TTL, or 0 if its highest bit is set (RFC 2181 section 8), which is reported.
    fn limit_ttl(&mut self, ttl: u32, file: &str, line: u32) -> u32 {
        if ttl <= MAX_TTL {
            return ttl;
        }
        let why = format!("TTL {ttl} counts as 0 (RFC 2181 section 8), expected at most {MAX_TTL}");
        self.report((file.into(), line, why));
        0
    }

    fn check_place(&self, kind: Kind, owner: &[u8]) -> Result<(), String> {
        if owner.is_empty() {
            return Err("the record has no owner, and no valid owner is before it: expected a name at the start of the line"
                .into());
        }
        if !is_under(owner, self.apex) {
            let (owner, apex) = (name_to_text(owner), name_to_text(self.apex));
            return Err(format!("owner {owner} is outside the zone, expected a name in {apex}"));
        }
        let is_apex = owner.len() == self.apex.len();
        if kind.code == rtype::SOA && !is_apex {
            let (owner, apex) = (name_to_text(owner), name_to_text(self.apex));
            return Err(format!("SOA at {owner}, expected at the apex {apex}"));
        }
        if kind.code == rtype::CNAME && is_apex {
            return Err(
                "CNAME at the apex is not allowed, because it has SOA and NS records".into()
            );
        }
        Ok(())
    }

    fn read_directive(
        &mut self, line: u32, words: &[Word], scope: &mut Scope,
    ) -> Result<(), String> {
        let name = words[0].text.to_ascii_uppercase();
        match (name.as_slice(), &words[1..]) {
            (b"$TTL", [ttl]) => {
                let ttl = read_ttl(ttl.text)?;
                self.zone_ttl = Some(self.limit_ttl(ttl, scope.file, line));
                Ok(())
            }
            (b"$ORIGIN", [origin]) => {
                let origin = read_origin(origin, &scope.origin)?;
                scope.origin = origin;
                Ok(())
            }
            (b"$INCLUDE", [file]) => self.include(file, scope.origin.clone(), scope),
            (b"$INCLUDE", [file, origin]) => {
                self.include(file, read_origin(origin, &scope.origin)?, scope)
            }
            (b"$TTL", _) => Err("expected $TTL SECONDS".into()),
            (b"$ORIGIN", _) => Err("expected $ORIGIN NAME".into()),
            (b"$INCLUDE", _) => Err("expected $INCLUDE FILE, or $INCLUDE FILE ORIGIN".into()),
            (b"$GENERATE", _) => {
                Err("$GENERATE is not supported: write the records, one per line".into())
            }
            _ => Err(format!(
                "unknown directive {}, expected $TTL, $ORIGIN or $INCLUDE",
                show(words[0].text)
            )),
        }
    }

    /// Reads another file. It inherits the owner, but changes neither owner nor origin of this one.
    fn include(&mut self, name: &Word, origin: Vec<u8>, from: &Scope) -> Result<(), String> {
        let mut path = Vec::new();
        unescape(name.text, &mut path)?;
        let name = std::str::from_utf8(&path)
            .ok()
            .filter(|name| !name.is_empty() && !name.contains(char::is_control))
            .ok_or_else(|| format!("$INCLUDE: expected a file name, got {}", show(&path)))?;
        let path = resolve(from.file, name);
        if self.stack.contains(&path) {
            return Err(format!("$INCLUDE {path}: the file includes itself"));
        }
        if self.stack.len() > MAX_DEPTH {
            return Err(format!(
                "$INCLUDE {path}: too many nested includes, expected at most {MAX_DEPTH}"
            ));
        }
        if self.includes == MAX_INCLUDES {
            return Err(format!(
                "$INCLUDE {path}: too many includes, expected at most {MAX_INCLUDES}"
            ));
        }
        self.includes += 1;
        let text = match (self.include)(&path) {
            Ok(text) => text,
            Err(why) => {
                self.know(&path);
                self.out.unread.push(path.clone());
                return Err(format!("$INCLUDE {path}: {why}"));
            }
        };
        if text.len() > MAX_TEXT - self.size {
            return Err(format!(
                "$INCLUDE {path}: too much text, expected at most {MAX_TEXT} bytes in all"
            ));
        }
        self.size += text.len();
        self.read_file(&text, Scope { file: &path, origin, owner: from.owner.clone() });
        Ok(())
    }
}

/// Resolves a path relative to the directory of the file `from`.
fn resolve(from: &str, name: &str) -> String {
    let directory = Path::new(from).parent().unwrap_or(Path::new(""));
    tidy(&directory.join(name))
}

/// Returns a path without "." components, so that a loop is detected at once.
fn tidy(path: &Path) -> String {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.collect::<PathBuf>().to_string_lossy().into_owned()
}

/// Returns whether an entry looks like the rest of the previous record: no owner, no type.
fn is_remainder(entry: &Entry, words: &[Word]) -> bool {
    (entry.indented || words.is_empty())
        && !words.iter().any(|word| Kind::from_text(word.text).is_some())
}

/// Sets the owner of this record and of the records after it without one; clears it on an error.
fn read_owner(word: &Word, scope: &mut Scope) -> Result<(), String> {
    scope.owner.clear();
    let result = read_name(word.text, &scope.origin, &mut scope.owner);
    if result.is_err() {
        scope.owner.clear();
    }
    result.map_err(|why| format!("owner: {why}"))
}

fn read_origin(word: &Word, origin: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    read_name(word.text, origin, &mut out).map_err(|why| format!("origin: {why}"))?;
    Ok(out)
}

/// Returns words on one line as they were written; line ends and non-ASCII bytes become `\DDD`.
fn join(words: &[Word]) -> String {
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 && !word.joined {
            out.push(' ');
        }
        if word.quoted {
            out.push('"');
        }
        let mut bytes = word.text.iter().peekable();
        while let Some(&byte) = bytes.next() {
            match byte {
                // `\DDD` needs no second backslash.
                b'\\' if bytes.peek().is_some_and(|&&next| !is_printable(next)) => {}
                b'\\' => {
                    out.push('\\');
                    out.extend(bytes.next().map(|&next| char::from(next)));
                }
                _ if is_printable(byte) => out.push(byte.into()),
                _ => out.push_str(&format!("\\{byte:03}")),
            }
        }
        if word.quoted {
            out.push('"');
        }
    }
    out
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}
