//! Bulk reader of zone files (RFC 1035 section 5, with `$TTL` of RFC 2308 section 4).
//!
//! An invalid record is reported with its line, and all other records are kept. `lexer` splits the text
//! into entries of words, `reader` turns them into records, and `rrsets` collects the records.

mod head;
mod lexer;
mod reader;
mod rrsets;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::rdata_text::check_name;

/// Maximum bytes of text, included files counted.
pub const MAX_TEXT: usize = 1 << 30;
/// Maximum levels of nested includes.
pub const MAX_DEPTH: usize = 8;
/// Maximum includes in all.
pub const MAX_INCLUDES: usize = 10_000;
/// Maximum problems reported; one more entry counts the rest.
pub const MAX_PROBLEMS: usize = 10_000;
/// Highest TTL in seconds (RFC 2181 section 8).
pub const MAX_TTL: u32 = i32::MAX as u32;

/// Owner in wire form (its case as first seen), type, packed RRset.
pub type Rrset = (Vec<u8>, u16, Vec<u8>);
/// File, line, `$ORIGIN` and owner in wire form, TTL in seconds, mnemonic, rdata as text on one line.
pub type Foreign = (String, u32, Vec<u8>, Vec<u8>, u32, String, String);
/// File, line, and a description of the problem and of what was expected.
pub type Problem = (String, u32, String);

/// The contents of a zone file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// RRsets in order of first appearance, packed (see `zone::rrset`): lowest TTL, duplicates removed,
    /// policy 0, weight 1 or the weight of the SRV record.
    pub rrsets: Vec<Rrset>,
    /// Records of types whose text form is not supported here. Names in the text are as written;
    /// relative names belong to the `$ORIGIN` of their line.
    pub foreign: Vec<Foreign>,
    pub problems: Vec<Problem>,
    /// Every file named, each once: the first file and its includes, readable or not.
    pub files: Vec<String>,
    /// The includes that could not be read.
    pub unread: Vec<String>,
    /// The files whose last line has no line end.
    pub cut: Vec<String>,
}

/// Reads the zone file at `path` of the zone whose apex is `origin`, in wire form.
///
/// `default_ttl` (seconds) applies if neither the file nor an earlier record sets a TTL. Fails if the
/// first file can't be read or is longer than `MAX_TEXT`, or `origin` is not a valid name. Everything
/// else is reported as a problem.
pub fn read_zone(path: &Path, origin: &[u8], default_ttl: u32) -> io::Result<Parsed> {
    check_name(origin).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let text = read_bounded(File::open(path)?)?;
    let mut include = |name: &str| {
        if !std::fs::metadata(name)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        read_bounded(File::open(name)?)
    };
    Ok(parse(&text, &path.to_string_lossy(), origin, default_ttl, &mut include))
}

fn read_bounded(file: File) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len().min(MAX_TEXT as u64);
    let mut text = Vec::with_capacity(size as usize + 1);
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MAX_TEXT {
        let why = format!("the file is longer than {MAX_TEXT} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

/// Parses the text of a zone file; `file` is its path, and `include` reads other files by path.
pub fn parse(
    text: &[u8], file: &str, origin: &[u8], default_ttl: u32,
    include: &mut dyn FnMut(&str) -> io::Result<Vec<u8>>,
) -> Parsed {
    if let Err(why) = check_name(origin) {
        return Parsed {
            problems: vec![(file.into(), 0, format!("origin: {why}"))],
            ..Parsed::default()
        };
    }
    reader::Reader::new(origin, default_ttl, include).run(text, file)
}
