//! SvcParams of SVCB and HTTPS records (RFC 9460): from text to wire form, and checks.

use super::scalar::{base64, ipv4, ipv6, number, show, unescape};
use super::{MAX_RDATA, Word};

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
const TLS_SUPPORTED_GROUPS: u16 = 9;
const DOCPATH: u16 = 10;
/// The reserved invalid key (RFC 9460 section 14.3.2).
const INVALID: u16 = u16::MAX;

/// Keys with a name: RFC 9460 section 14.3.2, RFC 9461 section 5, RFC 9540 section 4, RFC 9953, and the key of
/// draft-ietf-tls-key-share-prediction in the registry of IANA.
const KEYS: &[(u16, &str)] = &[
    (MANDATORY, "mandatory"),
    (ALPN, "alpn"),
    (NO_DEFAULT_ALPN, "no-default-alpn"),
    (PORT, "port"),
    (IPV4HINT, "ipv4hint"),
    (ECH, "ech"),
    (IPV6HINT, "ipv6hint"),
    (DOHPATH, "dohpath"),
    (OHTTP, "ohttp"),
    (TLS_SUPPORTED_GROUPS, "tls-supported-groups"),
    (DOCPATH, "docpath"),
];

/// Appends the wire form of `key=value` words to `out`, sorted by key (RFC 9460 section 2.2).
pub fn read_params(words: &[Word], out: &mut Vec<u8>) -> Result<(), String> {
    let mut params = Vec::new();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        let (name, mut value) = split(word)?;
        if let (Some(b""), Some((next, after))) = (value, rest.split_first())
            && next.joined
        {
            value = Some(next.text);
            rest = after;
        }
        let key = read_key(name)?;
        let value = read_value(key, name, value).map_err(|why| format!("{}: {why}", title(key)))?;
        params.push((key, value));
    }
    params.sort_by_key(|param| param.0);
    let start = out.len();
    for (key, value) in params {
        let length = u16::try_from(value.len())
            .map_err(|_| format!("{}: value is longer than {MAX_RDATA} bytes", title(key)))?;
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&value);
    }
    check_params(&out[start..])
}

/// Splits a word into key and value.
fn split<'a>(word: &Word<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), String> {
    if word.quoted {
        let text = show(word.text);
        return Err(format!("expected KEY or KEY=VALUE, got {text} in quotes"));
    }
    match word.text.iter().position(|&byte| byte == b'=') {
        None => Ok((word.text, None)),
        Some(at) => Ok((&word.text[..at], Some(&word.text[at + 1..]))),
    }
}

/// Returns the number of a key, from its name or `keyNNNNN` without leading zeros (RFC 9460 section 2.1).
fn read_key(name: &[u8]) -> Result<u16, String> {
    if let Some(known) = KEYS.iter().find(|known| known.1.as_bytes().eq_ignore_ascii_case(name)) {
        return Ok(known.0);
    }
    name.split_at_checked(3)
        .filter(|(prefix, digits)| {
            prefix.eq_ignore_ascii_case(b"key") && (digits.len() == 1 || !digits.starts_with(b"0"))
        })
        .and_then(|(_, digits)| number(digits, u32::from(INVALID) - 1))
        .map(|key| key as u16)
        .ok_or_else(|| {
            let name = show(name);
            format!("unknown key {name}, expected a name such as alpn, or key0 to key65534")
        })
}

/// Returns the name of a key for error messages.
fn title(key: u16) -> String {
    match KEYS.iter().find(|known| known.0 == key) {
        Some(known) => known.1.into(),
        None => format!("key{key}"),
    }
}

/// Returns the wire form of a value (RFC 9460 section 7). Values of `keyNNNNN` are plain bytes.
fn read_value(key: u16, name: &[u8], text: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let mut value = Vec::new();
    unescape(text.unwrap_or_default(), &mut value)?;
    let is_named = KEYS.iter().any(|known| known.1.as_bytes().eq_ignore_ascii_case(name));
    if !is_named {
        return Ok(value);
    }
    match key {
        MANDATORY => read_mandatory(&value),
        ALPN => read_strings(&value, "names of 1 to 255 bytes, such as h2,h3"),
        // No segments: the root path.
        DOCPATH if value.is_empty() => Ok(value),
        DOCPATH => read_strings(&value, "path segments of 1 to 255 bytes, such as dns,v1"),
        TLS_SUPPORTED_GROUPS => {
            let group = |text: &[u8]| Some((number(text, 65535)? as u16).to_be_bytes());
            read_list(&value, group, "numbers from 0 to 65535")
        }
        PORT => number(&value, 65535)
            .map(|port| (port as u16).to_be_bytes().to_vec())
            .ok_or_else(|| format!("expected a number from 0 to 65535, got {}", show(&value))),
        IPV4HINT => read_list(&value, ipv4, "IPv4 addresses"),
        IPV6HINT => read_list(&value, ipv6, "IPv6 addresses"),
        ECH => base64(&value).ok_or_else(|| format!("expected Base64, got {}", show(&value))),
        NO_DEFAULT_ALPN | OHTTP if text.is_some() => Err("expected no value".into()),
        _ => Ok(value),
    }
}

fn read_mandatory(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut keys = Vec::new();
    for name in value.split(|&byte| byte == b',') {
        keys.push(read_key(name)?);
    }
    keys.sort_unstable();
    Ok(keys.into_iter().flat_map(u16::to_be_bytes).collect())
}

/// Reads strings separated by commas; `\,` and `\\` are escapes in them (RFC 9460 appendix A.1).
fn read_strings(value: &[u8], expected: &str) -> Result<Vec<u8>, String> {
    let mut names = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        let last = names.len() - 1;
        match byte {
            b',' => names.push(Vec::new()),
            b'\\' => match bytes.next() {
                Some(&byte @ (b',' | b'\\')) => names[last].push(byte),
                _ => return Err("expected \\, or \\\\ after a backslash in a list".into()),
            },
            _ => names[last].push(byte),
        }
    }
    let mut out = Vec::new();
    for name in names {
        let fits = u8::try_from(name.len()).ok().filter(|&length| length > 0);
        let length = fits.ok_or_else(|| format!("expected {expected}"))?;
        out.push(length);
        out.extend_from_slice(&name);
    }
    Ok(out)
}

fn read_list<const N: usize>(
    value: &[u8], read: impl Fn(&[u8]) -> Option<[u8; N]>, what: &str,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for item in value.split(|&byte| byte == b',') {
        let bytes = read(item)
            .ok_or_else(|| format!("expected {what} separated by commas, got {}", show(item)))?;
        out.extend_from_slice(&bytes);
    }
    Ok(out)
}

/// Checks SvcParams in wire form: their order, and the values of known keys.
pub fn check_params(wire: &[u8]) -> Result<(), String> {
    let mut params: Vec<(u16, &[u8])> = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        let (key, value, after) = next_param(rest).ok_or("a parameter runs past the end")?;
        match params.last() {
            Some(last) if last.0 == key => return Err(format!("{} is given twice", title(key))),
            Some(last) if last.0 > key => return Err("the keys are not in ascending order".into()),
            _ => params.push((key, value)),
        }
        rest = after;
    }
    for &(key, value) in &params {
        check_value(key, value, &params).map_err(|why| format!("{}: {why}", title(key)))?;
    }
    Ok(())
}

fn next_param(wire: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (key, rest) = wire.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((u16::from_be_bytes(*key), value, rest))
}

fn check_value(key: u16, value: &[u8], params: &[(u16, &[u8])]) -> Result<(), String> {
    let has = |key: u16| params.binary_search_by_key(&key, |param| param.0).is_ok();
    let expected = match key {
        MANDATORY => return check_mandatory(value, has),
        ALPN if value.is_empty() || !is_strings(value) => {
            "expected names of 1 to 255 bytes, such as h2,h3"
        }
        NO_DEFAULT_ALPN | OHTTP if !value.is_empty() => "expected no value",
        NO_DEFAULT_ALPN if !has(ALPN) => "expected alpn in the same record",
        PORT if value.len() != 2 => "expected a number from 0 to 65535",
        IPV4HINT if value.is_empty() || !value.len().is_multiple_of(4) => "expected IPv4 addresses",
        IPV6HINT if value.is_empty() || !value.len().is_multiple_of(16) => {
            "expected IPv6 addresses"
        }
        DOCPATH if !is_strings(value) => "expected path segments of 1 to 255 bytes, such as dns,v1",
        TLS_SUPPORTED_GROUPS if !is_groups(value) => {
            "expected numbers from 0 to 65535, each once, such as 29,23"
        }
        ECH if !is_ech(value) => "expected an ECHConfigList",
        DOHPATH if value.is_empty() || std::str::from_utf8(value).is_err() => {
            "expected a URI template"
        }
        INVALID => "the key is reserved",
        _ => return Ok(()),
    };
    Err(expected.into())
}

/// Checks the key `mandatory`: other keys of the record in ascending order (RFC 9460 section 8).
fn check_mandatory(value: &[u8], has: impl Fn(u16) -> bool) -> Result<(), String> {
    let (keys, rest) = value.as_chunks::<2>();
    if keys.is_empty() || !rest.is_empty() {
        return Err("expected keys separated by commas".into());
    }
    let keys: Vec<u16> = keys.iter().map(|key| u16::from_be_bytes(*key)).collect();
    if !keys.is_sorted_by(|a, b| a < b) {
        return Err("expected each key once, in ascending order".into());
    }
    match keys.iter().find(|&&key| key == MANDATORY || !has(key)) {
        Some(&MANDATORY) => Err("mandatory can't list itself".into()),
        Some(&key) => Err(format!("{} is listed but missing", title(key))),
        None => Ok(()),
    }
}

/// Returns whether an ECHConfigList begins with its length, and 4 bytes or more follow (RFC 9849
/// section 4).
fn is_ech(value: &[u8]) -> bool {
    let length = value.split_first_chunk::<2>();
    length.is_some_and(|(length, rest)| {
        rest.len() >= 4 && usize::from(u16::from_be_bytes(*length)) == rest.len()
    })
}

/// Returns whether a value is a list of TLS groups, not empty and without duplicates.
fn is_groups(value: &[u8]) -> bool {
    let (groups, rest) = value.as_chunks::<2>();
    let mut sorted = groups.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    !groups.is_empty() && rest.is_empty() && sorted.len() == groups.len()
}

/// Returns whether a value is a list of non-empty strings, each preceded by its length.
fn is_strings(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some((&length, after)) = rest.split_first() {
        match after.split_at_checked(usize::from(length)) {
            Some((_, after)) if length > 0 => rest = after,
            _ => return false,
        }
    }
    true
}
