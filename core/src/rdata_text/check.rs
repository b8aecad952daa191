//! Checks and comparisons of rdata in wire form.

use super::name::name_length;
use super::svcb::check_params;
use super::types::{Field, Kind};
use super::{MAX_RDATA, show};

/// Checks that `rdata` is well-formed wire data of type `rtype`, with names uncompressed.
///
/// Rdata of types without known fields is only checked for its length. The error names the invalid
/// field and the reason.
pub fn validate_rdata(rtype: u16, rdata: &[u8]) -> Result<(), String> {
    let kind = Kind::from_code(rtype);
    if rdata.len() > MAX_RDATA {
        return Err(format!("{kind}: data is longer than {MAX_RDATA} bytes"));
    }
    let Some(fields) = kind.fields() else {
        return Ok(());
    };
    let mut rest = rdata;
    for &(label, field) in fields {
        let length = length(field, rest).map_err(|why| format!("{kind}: {label}: {why}"))?;
        rest = &rest[length..];
    }
    if rest.is_empty() {
        return Ok(());
    }
    let more = rest.len();
    Err(format!("{kind}: {more} unexpected bytes after the last field"))
}

/// Returns whether two well-formed rdata are equal; names in them are compared without case (RFC
/// 4343).
pub fn same_rdata(rtype: u16, a: &[u8], b: &[u8]) -> bool {
    a == b || (a.eq_ignore_ascii_case(b) && folded(rtype, a) == folded(rtype, b))
}

/// Returns rdata with its names in lower case.
pub fn folded(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut out = rdata.to_vec();
    let mut at = 0;
    for &(_, field) in Kind::from_code(rtype).fields().unwrap_or_default() {
        let Ok(length) = length(field, &rdata[at..]) else {
            break;
        };
        if field == Field::Name {
            out[at..at + length].make_ascii_lowercase();
        }
        at += length;
    }
    out
}

/// Returns the length of the field that `wire` begins with.
fn length(field: Field, wire: &[u8]) -> Result<usize, String> {
    match field {
        Field::Ipv4 => fixed(4, wire),
        Field::Ipv6 => fixed(16, wire),
        Field::U8 => fixed(1, wire),
        Field::U16 => fixed(2, wire),
        Field::U32 | Field::Time => fixed(4, wire),
        Field::Name => name_length(wire),
        Field::String => string(wire),
        Field::Strings => {
            let mut at = string(wire)?;
            while at < wire.len() {
                at += string(&wire[at..])?;
            }
            Ok(at)
        }
        Field::Tag => {
            let length = string(wire)?;
            let tag = &wire[1..length];
            if tag.is_empty() || !tag.iter().all(u8::is_ascii_alphanumeric) {
                let expected = field.expected();
                return Err(format!("expected {expected}, got {}", show(tag)));
            }
            Ok(length)
        }
        Field::Rest => Ok(wire.len()),
        Field::Params => check_params(wire).map(|()| wire.len()),
    }
}

fn fixed(expected: usize, wire: &[u8]) -> Result<usize, String> {
    match wire.len() {
        length if length < expected => Err(format!("expected {expected} bytes, got {length}")),
        _ => Ok(expected),
    }
}

fn string(wire: &[u8]) -> Result<usize, String> {
    let Some(&length) = wire.first() else {
        return Err("the data ends, expected a character string".into());
    };
    fixed(1 + usize::from(length), wire)
}
