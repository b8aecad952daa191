//! The fields between the owner and the rdata of a record: TTL, class, type.

use crate::rdata_text::{Kind, Word, number, seconds, show};

use super::MAX_TTL;

/// The fields before the rdata of a record, and the words of the rdata.
pub struct Head<'w, 'a> {
    pub ttl: Option<u32>,
    pub kind: Kind,
    pub rdata: &'w [Word<'a>],
}

/// Reads the optional TTL and class, in either order, and the type.
pub fn read_head<'w, 'a>(words: &'w [Word<'a>]) -> Result<Head<'w, 'a>, String> {
    let mut ttl = None;
    let mut has_class = false;
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        if ttl.is_none() && word.text.first().is_some_and(u8::is_ascii_digit) {
            ttl = Some(read_ttl(word.text)?);
        } else if !has_class && is_class(word.text)? {
            has_class = true;
        } else {
            let kind = read_kind(word)?;
            return Ok(Head { ttl, kind, rdata: rest });
        }
    }
    Err("the record has no type, expected OWNER [TTL] [IN] TYPE DATA".into())
}

fn read_kind(word: &Word) -> Result<Kind, String> {
    let kind = Kind::from_text(word.text).filter(|_| !word.quoted);
    let kind = kind.ok_or_else(|| {
        let text = show(word.text);
        format!("unknown type {text}, expected a type such as A, or TYPE731 with \\# LENGTH HEX")
    })?;
    if kind.is_meta() {
        return Err(format!("type {kind} is not allowed in a zone"));
    }
    Ok(kind)
}

/// Returns whether a word is the class IN. Other classes are rejected.
fn is_class(text: &[u8]) -> Result<bool, String> {
    if text.eq_ignore_ascii_case(b"IN") {
        return Ok(true);
    }
    let code = text
        .split_at_checked(5)
        .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(b"CLASS"))
        .and_then(|(_, digits)| number(digits, 65535));
    let others: [&[u8]; 3] = [b"CH", b"HS", b"CS"];
    match code {
        Some(1) => Ok(true),
        None if !others.iter().any(|other| text.eq_ignore_ascii_case(other)) => Ok(false),
        _ => Err(format!("class {}: expected IN, the only class supported", show(text))),
    }
}

/// Reads a TTL (RFC 2308 section 4), with or without units.
pub fn read_ttl(text: &[u8]) -> Result<u32, String> {
    seconds(text).ok_or_else(|| {
        let text = show(text);
        format!("TTL {text}: expected 0 to {MAX_TTL} seconds, or a time such as 1h30m")
    })
}
