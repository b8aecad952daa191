//! Domain names: from text to wire form and back, and checks of the wire form.

use super::scalar::{escape, show};

/// Longest name in wire form, its root label included (RFC 1035 section 3.1).
pub const MAX_NAME: usize = 255;
/// Longest label (RFC 1035 section 3.1).
pub const MAX_LABEL: usize = 63;
/// Longest text of a name: each byte takes at most the four characters of `\DDD`.
const MAX_TEXT: usize = 4 * MAX_NAME;

/// Appends the wire form of the name `text` to `out`; a relative name is completed with `origin`.
///
/// `@` is the origin itself (RFC 1035 section 5.1). After an error `out` may end in part of the name.
pub fn read_name(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    match text {
        b"" => return Err("the name is empty, expected a domain name, or . for the root".into()),
        b"@" => out.extend_from_slice(origin),
        _ => read_labels(text, origin, out)
            .map_err(|why| format!("{} is not a valid name: {why}", show(text)))?,
    }
    Ok(())
}

/// Returns the wire form of a name in ASCII text, which is absolute with or without a final dot.
///
/// `\X` and `\DDD` are escapes (RFC 1035 section 5.1).
pub fn name_from_text(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len().min(MAX_NAME) + 2);
    let result = if text.is_ascii() {
        read_labels(text.as_bytes(), b"\0", &mut out)
    } else {
        Err("it contains non-ASCII characters".into())
    };
    match result {
        Ok(()) => Ok(out),
        Err(why) => Err(format!("{} is not a valid name: {why}", show(text.as_bytes()))),
    }
}

/// Appends the labels of `text`, and `origin` if they do not end in the root.
fn read_labels(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if text.len() > MAX_TEXT {
        return Err(format!("it is longer than {MAX_NAME} bytes"));
    }
    let start = out.len();
    let mut label = start;
    // Length byte of the first label.
    out.push(0);
    let mut at = 0;
    if text == b"." {
        return Ok(());
    }
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'.' => {
                close_label(label, out)?;
                label = out.len();
                out.push(0);
            }
            b'\\' => {
                let (byte, used) = escape(&text[at..])?;
                out.push(byte);
                at += used;
            }
            _ => out.push(byte),
        }
    }
    // After a final dot the empty label is the root.
    let is_absolute = label > start && out.len() == label + 1;
    if !is_absolute {
        close_label(label, out)?;
        out.extend_from_slice(origin);
    }
    match out.len() - start {
        length if length > MAX_NAME => {
            Err(format!("it has {length} bytes, expected at most {MAX_NAME}"))
        }
        _ => Ok(()),
    }
}

/// Sets the length of the label that begins at `label` and ends `out`.
fn close_label(label: usize, out: &mut [u8]) -> Result<(), String> {
    let length = out.len() - label - 1;
    if length == 0 {
        return Err("it has an empty label".into());
    }
    if length > MAX_LABEL {
        return Err(format!("it has a label of {length} bytes, expected at most {MAX_LABEL}"));
    }
    out[label] = length as u8;
    Ok(())
}

/// Returns the length of the uncompressed name that `wire` begins with.
pub fn name_length(wire: &[u8]) -> Result<usize, String> {
    let mut at = 0;
    loop {
        let Some(&length) = wire.get(at) else {
            return Err("a name runs past the end of the data".into());
        };
        if usize::from(length) > MAX_LABEL {
            return Err(format!(
                "a name has the byte {length} as the length of a label, expected 0 to {MAX_LABEL}"
            ));
        }
        at += 1 + usize::from(length);
        if at > MAX_NAME {
            return Err(format!("a name is longer than {MAX_NAME} bytes"));
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
        length => Err(format!("a name of {length} bytes is followed by more data")),
    }
}

/// Returns whether a name is `apex` or below it, both in wire form.
pub fn is_under(name: &[u8], apex: &[u8]) -> bool {
    let Some(cut) = name.len().checked_sub(apex.len()) else {
        return false;
    };
    // Length bytes are below 64 and therefore no letters.
    if !name[cut..].eq_ignore_ascii_case(apex) {
        return false;
    }
    let mut at = 0;
    while at < cut {
        at += 1 + usize::from(name[at]);
    }
    at == cut
}

/// Returns the text of a name in wire form with its final dot, escaped as in zone files.
///
/// Never panics: the text of malformed data ends where the data does.
pub fn name_to_text(wire: &[u8]) -> String {
    let mut out = String::with_capacity(wire.len() + 8);
    let mut rest = wire;
    while let Some((&length, after)) = rest.split_first() {
        let (label, after) = after.split_at(after.len().min(usize::from(length)));
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    out.extend(['\\', byte.into()]);
                }
                b'!'..=b'~' => out.push(byte.into()),
                _ => out.push_str(&format!("\\{byte:03}")),
            }
        }
        if length > 0 || out.is_empty() {
            out.push('.');
        }
        rest = after;
    }
    out
}
