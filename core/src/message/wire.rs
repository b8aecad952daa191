//! The parts of a DNS message: names, numbers, and the buffer that an answer is written to.
//!
//! Nothing here allocates memory, or panics on data from a client.

/// Longest name in bytes, its terminating zero included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// Maximum labels of a name, the root not counted: 127 of one byte each, and the terminator.
pub const MAX_LABELS: usize = 127;
/// Bytes of a message header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;

/// Bytes of a record before its rdata: owner as a pointer, type, class, TTL, length.
pub const RECORD_HEADER: usize = 12;
/// Largest message over TCP (RFC 1035 section 4.2.2).
pub const MAX_MESSAGE: usize = 65535;

/// RR types (IANA DNS parameters).
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const TKEY: u16 = 249;
    pub const TSIG: u16 = 250;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// Classes (RFC 1035 section 3.2.4).
pub const CLASS_IN: u16 = 1;
pub const CLASS_CH: u16 = 3;

/// Response codes (RFC 1035 section 4.1.1, RFC 2136, RFC 6891, RFC 7873). Codes above 15 need an OPT record.
pub mod rcode {
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const YXDOMAIN: u16 = 6;
    pub const BADVERS: u16 = 16;
    pub const BADCOOKIE: u16 = 23;
}

/// Extended DNS errors (RFC 8914 section 4).
pub mod ede {
    pub const STALE: u16 = 3;
    pub const NOT_READY: u16 = 14;
    pub const PROHIBITED: u16 = 18;
    pub const NOT_AUTHORITATIVE: u16 = 20;
    pub const NOT_SUPPORTED: u16 = 21;
}

/// Returns the 16-bit number at `at`, or 0 beyond the end: callers check the length, and a bug in
/// one must not panic.
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(two) => u16::from_be_bytes([two[0], two[1]]),
        None => 0,
    }
}

/// Returns the 32-bit number at `at`, or 0 beyond the end.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(four) => u32::from_be_bytes([four[0], four[1], four[2], four[3]]),
        None => 0,
    }
}

/// Returns the 64-bit number at `at`, or 0 beyond the end.
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    (u64::from(u32_at(bytes, at)) << 32) | u64::from(u32_at(bytes, at + 4))
}

/// Returns the length of the uncompressed name at the start of `bytes`, or `None` if there is none.
pub fn name_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length > 63 {
            return None;
        }
        at += length + 1;
        if at > MAX_NAME {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}

/// Returns the position after the name at `at` in a message, without following its pointers.
///
/// A pointer must point backwards in the message (RFC 9267 section 2), so that following pointers
/// always ends. Its target is not checked, because no answer needs a compressed name.
pub fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        let length = usize::from(*message.get(at)?);
        match length >> 6 {
            0 => {
                at += length + 1;
                if at - start > MAX_NAME {
                    return None;
                }
                if length == 0 {
                    return Some(at);
                }
            }
            3 => {
                let target = usize::from(u16_at(message, at) & 0x3fff);
                let end = at + 2;
                return (end <= message.len() && target >= HEADER && target < start).then_some(end);
            }
            _ => return None,
        }
    }
}

/// A name in wire form and lower case, as names are looked up (RFC 4343).
///
/// It is large, so it is filled in place rather than moved.
#[derive(Clone)]
pub struct Name {
    /// The name, then zeros.
    bytes: [u8; NAME_BUFFER],
    length: u8,
    labels: u8,
}

/// Bytes for a name, in words of 8 bytes.
const NAME_BUFFER: usize = 256;

impl Default for Name {
    fn default() -> Name {
        Name { bytes: [0; NAME_BUFFER], length: 0, labels: 0 }
    }
}

impl Name {
    /// Reads the name at the start of `bytes`; returns `None` if it is compressed, too long or cut off.
    pub fn read(bytes: &[u8]) -> Option<Name> {
        let mut name = Name::default();
        name.fill(bytes).then_some(name)
    }

    /// Fills an empty name from the start of `bytes`; returns false if there is no valid name.
    #[inline]
    pub fn fill(&mut self, bytes: &[u8]) -> bool {
        let (mut at, mut labels) = (0, 0);
        loop {
            let Some(&length) = bytes.get(at) else { return false };
            at += usize::from(length) + 1;
            if length > 63 || at > MAX_NAME || at > bytes.len() {
                return false;
            }
            if length == 0 {
                break;
            }
            labels += 1;
        }
        self.bytes[..at].copy_from_slice(&bytes[..at]);
        // At most 255 bytes, and therefore at most 127 labels.
        (self.length, self.labels) = (at as u8, labels);
        for word in self.bytes[..at.next_multiple_of(8)].chunks_exact_mut(8) {
            let folded = fold_case(u64::from_ne_bytes(word.try_into().unwrap_or_default()));
            word.copy_from_slice(&folded.to_ne_bytes());
        }
        true
    }

    /// Returns the wire form in lower case.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Returns the number of labels, the root not counted.
    #[inline]
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// Iterates over the name itself, the name without its first label, and so on to the root.
    #[inline]
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(self.wire());
        std::iter::from_fn(move || {
            let suffix = rest?;
            let length = usize::from(*suffix.first()?);
            rest = if length == 0 { None } else { suffix.get(length + 1..) };
            Some(suffix)
        })
    }
}

/// Converts eight bytes to lower case at once (SIMD within a register).
///
/// The length of a label is below 64 and `A` is 65, so lengths do not change.
#[inline]
fn fold_case(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * EACH);
    let at_least_a = low + (0x80 - u64::from(b'A')) * EACH;
    let above_z = low + (0x7f - u64::from(b'Z')) * EACH;
    let upper = (at_least_a ^ above_z) & !word & (0x80 * EACH);
    word | (upper >> 2)
}

/// Writes a message to a buffer, never past a limit.
pub struct MessageWriter<'b> {
    /// Space for the longest message.
    buffer: &'b mut [u8],
    length: usize,
    /// Length of the buffer, without the bytes reserved.
    limit: usize,
}

impl<'b> MessageWriter<'b> {
    /// Creates a writer of at most `limit` bytes.
    pub fn new(buffer: &'b mut [u8], limit: usize) -> MessageWriter<'b> {
        let limit = limit.min(buffer.len());
        MessageWriter { buffer: &mut buffer[..limit], length: 0, limit }
    }

    /// Returns the number of bytes written.
    #[inline]
    pub fn written(&self) -> usize {
        self.length
    }

    /// Keeps `count` bytes free for the end of the message.
    pub fn reserve(&mut self, count: usize) {
        self.limit = self.buffer.len().saturating_sub(count);
    }

    /// Makes the reserved bytes available.
    pub fn release(&mut self) {
        self.limit = self.buffer.len();
    }

    /// Removes everything after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Returns the bytes written.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Appends bytes; returns false, with nothing written, if they do not fit.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        let end = self.length + bytes.len();
        if end > self.limit {
            return false;
        }
        self.buffer[self.length..end].copy_from_slice(bytes);
        self.length = end;
        true
    }

    /// Appends a 16-bit number.
    #[inline]
    pub fn put_u16(&mut self, value: u16) -> bool {
        self.put(&value.to_be_bytes())
    }

    /// Overwrites a 16-bit number that was written before.
    #[inline]
    pub fn set_u16(&mut self, at: usize, value: u16) {
        if let Some(two) = self.buffer.get_mut(at..at + 2) {
            two.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Appends a name; its longest suffix that the question has too becomes a pointer (RFC 1035
    /// section 4.1.4).
    ///
    /// Only byte-identical suffixes are shared, so the case of the record is kept. The name of the
    /// question has `length` bytes.
    pub fn put_name(&mut self, name: &[u8], length: usize) -> bool {
        let question = &self.buffer[HEADER..(HEADER + length).min(self.length)];
        let mut at = 0;
        while at < name.len() && name[at] != 0 {
            let rest = &name[at..];
            if rest.len() <= question.len() {
                let from = question.len() - rest.len();
                if &question[from..] == rest && starts_label(question, from) {
                    let pointer = 0xc000 | (HEADER + from) as u16;
                    return self.put(&name[..at]) && self.put_u16(pointer);
                }
            }
            at += usize::from(name[at]) + 1;
        }
        self.put(name)
    }
}

/// Returns whether a label of a valid, uncompressed name begins at `at`.
fn starts_label(name: &[u8], at: usize) -> bool {
    let mut start = 0;
    while start < at {
        start += usize::from(name[start]) + 1;
    }
    start == at
}

/// Returns the name with the labels in a text, without escapes.
#[cfg(test)]
pub fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut name: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat()).collect();
    name.push(0);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_names_are_rejected() {
        for bytes in [&b""[..], b"\x03ab", b"\x40", b"\xc0\x0c", b"\x01a", &[1; 300]] {
            assert!(Name::read(bytes).is_none(), "{bytes:?}");
            assert!(name_len(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn suffixes_are_in_lower_case() {
        let name = Name::read(b"\x03WwW\x02eX\x00rest").unwrap();
        assert_eq!(name.wire(), b"\x03www\x02ex\x00");
        let suffixes: Vec<_> = name.suffixes().collect();
        assert_eq!(name.labels(), 2);
        assert_eq!(suffixes, [&b"\x03www\x02ex\x00"[..], b"\x02ex\x00", b"\x00"]);
    }

    #[test]
    fn case_is_folded_as_ascii() {
        for byte in 0..=255u8 {
            let word = u64::from_ne_bytes([byte, b'Z', 0xff, byte, 0, b'@', b'[', byte]);
            let wanted = word.to_ne_bytes().map(|byte| byte.to_ascii_lowercase());
            assert_eq!(fold_case(word).to_ne_bytes(), wanted);
        }
    }

    #[test]
    fn pointers_must_point_backwards() {
        let mut message = vec![0; 12];
        message.extend(b"\x01a\x00\xc0\x0c\xc0\x0f\xc0\x00");
        assert_eq!(skip_name(&message, 15), Some(17));
        assert_eq!(skip_name(&message, 17), Some(19));
        assert_eq!(skip_name(&message, 19), None);
        assert_eq!(skip_name(&[0; 12], 12), None);
        message[15..17].copy_from_slice(b"\xc0\x0f");
        assert_eq!(skip_name(&message, 15), None, "points to itself");
    }

    #[test]
    fn name_shares_the_suffix_of_the_question() {
        let mut buffer = [0; 100];
        let mut out = MessageWriter::new(&mut buffer, 100);
        out.put(&[0; HEADER]);
        out.put(b"\x03www\x02ex\x00");
        let start = out.written();
        assert!(out.put_name(b"\x04mail\x02ex\x00", 8));
        assert_eq!(&out.bytes()[start..], b"\x04mail\xc0\x10");
        let start = out.written();
        assert!(out.put_name(b"\x04mail\x02EX\x00", 8), "another case is not shared");
        assert_eq!(&out.bytes()[start..], b"\x04mail\x02EX\x00");
    }
}
