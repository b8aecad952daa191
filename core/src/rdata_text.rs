//! Record data: from the text of zone files to wire form, and checks of the wire form.
//!
//! The table in `types` lists the fields of each type; reading, checking and comparing follow it.
//! Types without fields in the table have no text form here.

mod check;
mod name;
mod scalar;
mod svcb;
mod types;

#[cfg(test)]
mod tests;

pub use check::{folded, same_rdata, validate_rdata};
pub use name::{check_name, is_under, name_from_text, name_to_text, read_name};
pub use scalar::{number, seconds, show, unescape};
pub use types::{Kind, rtype};

use types::Field;

/// Largest rdata: its length is 16 bits on the wire (RFC 1035 section 3.2.1).
pub const MAX_RDATA: usize = u16::MAX as usize;

/// A word of a zone file, with its escapes not resolved yet.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    pub text: &'a [u8],
    pub quoted: bool,
    /// True for a quoted word directly after the `=` of the previous word: `key="value"`.
    pub joined: bool,
}

/// Appends the wire form of rdata of type `kind`, written as `words`, to `out`.
///
/// Relative names are completed with `origin`. `\# length hex` (RFC 3597) is accepted for every type.
/// The error names the invalid field and what was expected.
pub fn read_rdata(
    kind: &Kind, words: &[Word], origin: &[u8], out: &mut Vec<u8>,
) -> Result<(), String> {
    let start = out.len();
    if is_generic(words) {
        read_generic(&words[1..], out).map_err(|why| format!("{kind}: {why}"))?;
        return validate_rdata(kind.code, &out[start..]);
    }
    let Some(fields) = kind.fields() else {
        return Err(format!(
            "{kind}: expected \\# LENGTH HEX (RFC 3597), because its text form is not supported"
        ));
    };
    let mut words = Words { rest: words, origin };
    for &(label, field) in fields {
        words.read(field, out).map_err(|why| format!("{kind}: {label}: {why}"))?;
    }
    if let Some(word) = words.rest.first() {
        let more = show(word.text);
        return Err(format!("{kind}: unexpected {more} after the last field"));
    }
    if out.len() - start > MAX_RDATA {
        return Err(format!("{kind}: data is longer than {MAX_RDATA} bytes"));
    }
    Ok(())
}

/// Returns the first word that is an address in place of a name, which no resolver looks up.
///
/// In the tree of addresses, a relative name such as `4.3.2.1` is none.
pub fn address_as_name<'a>(kind: &Kind, words: &[Word<'a>], origin: &[u8]) -> Option<&'a [u8]> {
    if is_generic(words) {
        return None;
    }
    let fields = kind.fields().unwrap_or_default();
    let names = fields.iter().zip(words).filter(|((_, field), _)| *field == Field::Name);
    names.map(|(_, word)| word.text).find(|text| {
        let plain = text.strip_suffix(b".").unwrap_or(text);
        let plain = plain.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).unwrap_or(plain);
        let is_reverse = || !text.ends_with(b".") && is_under(origin, b"\x07in-addr\x04arpa\0");
        scalar::ipv6(plain).is_some() || (scalar::ipv4(plain).is_some() && !is_reverse())
    })
}

/// Returns whether rdata is in the form for any type, `\# length hex` (RFC 3597 section 5).
pub fn is_generic(words: &[Word]) -> bool {
    matches!(words.first(), Some(word) if !word.quoted && word.text == b"\\#")
}

fn read_generic(words: &[Word], out: &mut Vec<u8>) -> Result<(), String> {
    let Some((length, digits)) = words.split_first() else {
        return Err("ends after \\#, expected \\# LENGTH HEX".into());
    };
    let expected = number(length.text, MAX_RDATA as u32)
        .ok_or_else(|| format!("length {}: expected 0 to {MAX_RDATA}", show(length.text)))?;
    let start = out.len();
    scalar::hex(digits.iter().map(|word| word.text), out)?;
    let given = out.len() - start;
    if given != expected as usize {
        return Err(format!("length is {expected}, but {given} bytes follow"));
    }
    Ok(())
}

/// The words of rdata that have not been read yet.
struct Words<'a> {
    rest: &'a [Word<'a>],
    origin: &'a [u8],
}

impl<'a> Words<'a> {
    /// Reads a field.
    fn read(&mut self, field: Field, out: &mut Vec<u8>) -> Result<(), String> {
        match field {
            Field::Ipv4 => out.extend_from_slice(&self.parse(field, scalar::ipv4)?),
            Field::Ipv6 => out.extend_from_slice(&self.parse(field, scalar::ipv6)?),
            Field::U8 => out.push(self.parse(field, |text| number(text, 255))? as u8),
            Field::U16 => {
                let value = self.parse(field, |text| number(text, 65535))? as u16;
                out.extend_from_slice(&value.to_be_bytes());
            }
            Field::U32 => {
                let value = self.parse(field, |text| number(text, u32::MAX))?;
                out.extend_from_slice(&value.to_be_bytes());
            }
            Field::Time => out.extend_from_slice(&self.parse(field, seconds)?.to_be_bytes()),
            Field::Name => read_name(self.plain(field)?.text, self.origin, out)?,
            Field::String => read_string(self.next(field)?, out)?,
            Field::Strings => {
                read_string(self.next(field)?, out)?;
                while let Some((word, rest)) = self.rest.split_first() {
                    self.rest = rest;
                    read_string(*word, out)?;
                }
            }
            Field::Tag => read_tag(self.next(field)?, out)?,
            Field::Rest => unescape(self.next(field)?.text, out)?,
            Field::Params => svcb::read_params(std::mem::take(&mut self.rest), out)?,
        }
        Ok(())
    }

    /// Returns the next word.
    fn next(&mut self, field: Field) -> Result<Word<'a>, String> {
        let (word, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| format!("the line ends, expected {}", field.expected()))?;
        self.rest = rest;
        Ok(*word)
    }

    /// Returns the next word, which must not be quoted.
    fn plain(&mut self, field: Field) -> Result<Word<'a>, String> {
        let word = self.next(field)?;
        if word.quoted {
            let expected = field.expected();
            let text = show(word.text);
            return Err(format!("expected {expected} without quotes, got {text}"));
        }
        Ok(word)
    }

    /// Parses the next word, which must not be quoted.
    fn parse<T>(&mut self, field: Field, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, String> {
        let word = self.plain(field)?;
        read(word.text)
            .ok_or_else(|| format!("expected {}, got {}", field.expected(), show(word.text)))
    }
}

/// Reads a character string: a byte with its length, then its bytes (RFC 1035 section 3.3).
fn read_string(word: Word, out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    out.push(0);
    unescape(word.text, out)?;
    let length = out.len() - start - 1;
    out[start] = u8::try_from(length).map_err(|_| {
        format!("a string has {length} bytes, expected at most 255: split it into several")
    })?;
    Ok(())
}

/// Reads the property tag of a CAA record: letters and digits (RFC 8659 section 4.1).
fn read_tag(word: Word, out: &mut Vec<u8>) -> Result<(), String> {
    let fits = (1..=255).contains(&word.text.len());
    if !fits || !word.text.iter().all(u8::is_ascii_alphanumeric) {
        let expected = Field::Tag.expected();
        return Err(format!("expected {expected}, got {}", show(word.text)));
    }
    out.push(word.text.len() as u8);
    out.extend_from_slice(word.text);
    Ok(())
}
