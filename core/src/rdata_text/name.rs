//! Domain names: from text to wire form, and checks of wire form.

use super::scalar::{escape, show};

/// Longest name on the wire, with its root label (RFC 1035 section 3.1).
pub const MAX_NAME: usize = 255;
/// Longest label (RFC 1035 section 3.1).
pub const MAX_LABEL: usize = 63;
/// Longest text of a name: each octet takes at most the four characters of `\DDD`.
const MAX_TEXT: usize = 4 * MAX_NAME;

/// Appends to `out` the wire form of the name `text`, completed with `origin` if it is relative.
///
/// `@` is the origin itself. After an error `out` may end in part of the name.
pub fn read_name(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    match text {
        b"" => return Err("the name is empty, expected a domain name, or . for the root".into()),
        b"@" => out.extend_from_slice(origin),
        b"." => out.push(0),
        _ if text.len() > MAX_TEXT => return Err(too_long(text)),
        _ if read_labels(text, out)? => out.push(0),
        _ => out.extend_from_slice(origin),
    }
    if out.len() - start > MAX_NAME {
        return Err(too_long(text));
    }
    Ok(())
}

fn too_long(text: &[u8]) -> String {
    let name = show(text);
    format!("name {name} is over {MAX_NAME} octets long, its origin included")
}

/// Appends the labels without a root label; says whether the name is absolute.
fn read_labels(text: &[u8], out: &mut Vec<u8>) -> Result<bool, String> {
    let mut label = out.len();
    out.push(0);
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        at += 1;
        match octet {
            b'.' => {
                close_label(text, label, out)?;
                if at == text.len() {
                    return Ok(true);
                }
                label = out.len();
                out.push(0);
            }
            b'\\' => {
                let (octet, used) = escape(&text[at..])?;
                out.push(octet);
                at += used;
            }
            _ => out.push(octet),
        }
    }
    close_label(text, label, out)?;
    Ok(false)
}

fn close_label(text: &[u8], label: usize, out: &mut [u8]) -> Result<(), String> {
    let length = out.len() - label - 1;
    if length == 0 {
        return Err(format!("name {} has an empty label", show(text)));
    }
    if length > MAX_LABEL {
        let name = show(text);
        return Err(format!(
            "name {name} has a label of {length} octets, expected at most {MAX_LABEL}"
        ));
    }
    out[label] = length as u8;
    Ok(())
}

/// The length of the uncompressed name that `wire` begins with.
pub fn name_length(wire: &[u8]) -> Result<usize, String> {
    let mut at = 0;
    loop {
        let Some(&length) = wire.get(at) else {
            return Err("a name runs past the end of the data".into());
        };
        if usize::from(length) > MAX_LABEL {
            return Err(format!(
                "a name has the octet {length} where a label's length (0 to {MAX_LABEL}) belongs"
            ));
        }
        at += 1 + usize::from(length);
        if at > MAX_NAME {
            return Err(format!("a name is over {MAX_NAME} octets"));
        }
        if length == 0 {
            return Ok(at);
        }
    }
}

/// Checks that `wire` is one uncompressed name and nothing else.
pub fn check_name(wire: &[u8]) -> Result<(), String> {
    match name_length(wire)? {
        length if length == wire.len() => Ok(()),
        length => Err(format!("a name of {length} octets is followed by more")),
    }
}

/// Whether the name is `apex` or below it, both in wire form.
pub fn is_under(name: &[u8], apex: &[u8]) -> bool {
    let Some(cut) = name.len().checked_sub(apex.len()) else {
        return false;
    };
    // Length octets are below 64 and so no letters.
    if !name[cut..].eq_ignore_ascii_case(apex) {
        return false;
    }
    let mut at = 0;
    while at < cut {
        at += 1 + usize::from(name[at]);
    }
    at == cut
}

/// The text of a name in wire form, as error messages show it.
pub fn show_name(wire: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = wire;
    while let Some((&length, after)) = rest.split_first() {
        let (label, after) = after.split_at(after.len().min(usize::from(length)));
        for &octet in label {
            match octet {
                b'.' | b'\\' => out.extend(['\\', octet.into()]),
                b'!'..=b'~' => out.push(octet.into()),
                _ => out.push_str(&format!("\\{octet:03}")),
            }
        }
        if length > 0 || out.is_empty() {
            out.push('.');
        }
        rest = after;
    }
    out
}
