//! Small values in text: numbers, times, addresses, escapes, hexadecimal, Base64.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Maximum bytes of a word that an error message shows.
const MAX_SHOWN: usize = 60;

/// Parses a decimal number without a sign, at most `max`.
pub fn number(text: &[u8], max: u32) -> Option<u32> {
    let mut value = 0u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
        if value > u64::from(max) {
            return None;
        }
    }
    (!text.is_empty()).then_some(value as u32)
}

/// Parses seconds: a number, or numbers with the units w, d, h, m and s, such as `1h30m`.
pub fn seconds(text: &[u8]) -> Option<u32> {
    if text.last()?.is_ascii_digit() {
        return number(text, u32::MAX);
    }
    let mut total = 0u64;
    for part in text.split_inclusive(|byte| !byte.is_ascii_digit()) {
        let (unit, digits) = part.split_last()?;
        let scale = match unit.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total += u64::from(number(digits, u32::MAX)?) * scale;
        if total > u64::from(u32::MAX) {
            return None;
        }
    }
    Some(total as u32)
}

/// Parses an IPv4 address.
pub fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    let address: Ipv4Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.octets())
}

/// Parses an IPv6 address (RFC 4291 section 2.2).
pub fn ipv6(text: &[u8]) -> Option<[u8; 16]> {
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.octets())
}

/// Returns the byte that the text after a backslash stands for, and the length of that text: `\DDD`
/// or `\X` (RFC 1035 section 5.1).
pub fn escape(text: &[u8]) -> Result<(u8, usize), String> {
    match text {
        [] => Err("a backslash at the end escapes nothing, expected \\DDD or \\X".into()),
        [b'0'..=b'9', ..] => text
            .get(..3)
            .and_then(|digits| number(digits, 255))
            .map(|byte| (byte as u8, 3))
            .ok_or_else(|| {
                let digits = String::from_utf8_lossy(&text[..text.len().min(3)]);
                format!(
                    "\\{} is not an escape, expected \\ and three digits, at most 255",
                    digits.escape_debug()
                )
            }),
        [byte, ..] => Ok((*byte, 1)),
    }
}

/// Appends the bytes of a word to `out`, with its escapes resolved.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let (byte, used) = escape(&rest[at + 1..])?;
        out.push(byte);
        rest = &rest[at + 1 + used..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Appends the bytes of hexadecimal digits to `out`; words may be split anywhere.
pub fn hex<'a>(words: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Result<(), String> {
    let mut high = None;
    for word in words {
        for &byte in word {
            let Some(digit) = char::from(byte).to_digit(16) else {
                let text = show(word);
                return Err(format!("expected hexadecimal digits, got {text}"));
            };
            match high.take() {
                None => high = Some(digit as u8),
                Some(first) => out.push(first << 4 | digit as u8),
            }
        }
    }
    match high {
        None => Ok(()),
        Some(_) => Err("expected an even number of hexadecimal digits".into()),
    }
}

/// Decodes Base64 with padding (RFC 4648 section 4).
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut have) = (0u32, 0);
    for &byte in &text[..text.len() - padding] {
        bits = bits << 6 | u32::from(base64_digit(byte)?);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    // Unused bits are zero (RFC 4648 section 3.5).
    (bits & ((1 << have) - 1) == 0).then_some(out)
}

fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Returns a word for an error message: in quotes, printable, and shortened if it is long.
pub fn show(text: &[u8]) -> String {
    let cut = &text[..text.len().min(MAX_SHOWN)];
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", String::from_utf8_lossy(cut).escape_debug())
}
