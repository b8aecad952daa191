//! What a DNS message is made of: names, numbers, and the buffer an answer is written to.
//!
//! Nothing here allocates or panics on what a client sends.

/// Longest name in octets, its terminating zero included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// Most labels of a name, the root not counted: 127 of one octet each, and the terminator.
pub const MAX_LABELS: usize = 127;
/// Octets of a message header (RFC 1035 section 4.1.1).
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

/// Classes.
pub const CLASS_IN: u16 = 1;
pub const CLASS_CH: u16 = 3;

/// Response codes (RFC 1035 section 4.1.1, RFC 6891, RFC 7873); those above 15 need an OPT.
pub mod rcode {
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const BADVERS: u16 = 16;
    pub const BADCOOKIE: u16 = 23;
}

/// Extended DNS errors (RFC 8914 section 4).
pub mod ede {
    pub const STALE: u16 = 3;
    pub const NOT_READY: u16 = 14;
    pub const PROHIBITED: u16 = 18;
    pub const NOT_AUTHORITATIVE: u16 = 20;
}

/// The 16 bits at `at`, or 0 beyond the end: callers have checked, and a bug must not panic.
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(two) => u16::from_be_bytes([two[0], two[1]]),
        None => 0,
    }
}

/// The 32 bits at `at`, or 0 beyond the end.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(four) => u32::from_be_bytes([four[0], four[1], four[2], four[3]]),
        None => 0,
    }
}

/// The 64 bits at `at`, or 0 beyond the end.
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    (u64::from(u32_at(bytes, at)) << 32) | u64::from(u32_at(bytes, at + 4))
}

/// Length of the uncompressed name at the start of `bytes`, or None if it is not one.
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

/// Position after the name at `at` in a message, without following its pointers.
///
/// A pointer must point back into the message (RFC 9267 section 2): whoever would follow it then
/// always ends. What it points to is not looked at, as no answer needs a compressed name.
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

/// A name as it is looked up: in wire form, folded to lower case.
///
/// It is large, so it is filled where it stands rather than moved.
#[derive(Clone)]
pub struct Name {
    /// Zero behind the name.
    bytes: [u8; NAME_BUFFER],
    length: u8,
    labels: u8,
}

/// Room for a name in words of 8 octets.
const NAME_BUFFER: usize = 256;

impl Default for Name {
    fn default() -> Name {
        Name { bytes: [0; NAME_BUFFER], length: 0, labels: 0 }
    }
}

impl Name {
    /// The name at the start of `bytes`; None if it is compressed, too long or cut off.
    pub fn read(bytes: &[u8]) -> Option<Name> {
        let mut name = Name::default();
        name.fill(bytes).then_some(name)
    }

    /// Take the name at the start of `bytes`, in place of an empty one; false if it is none.
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
        // At most 255 octets, and so at most 127 labels.
        (self.length, self.labels) = (at as u8, labels);
        for word in self.bytes[..at.next_multiple_of(8)].chunks_exact_mut(8) {
            let folded = fold_case(u64::from_ne_bytes(word.try_into().unwrap_or_default()));
            word.copy_from_slice(&folded.to_ne_bytes());
        }
        true
    }

    /// The folded wire form.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// How many labels, the root not counted.
    #[inline]
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// The name itself, the name without its first label, and so on to the root.
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

/// Eight octets in lower case at once (SIMD within a register). A label's length is below 64 and
/// `A` is 65, so lengths stay as they are.
#[inline]
fn fold_case(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * EACH);
    let at_least_a = low + (0x80 - u64::from(b'A')) * EACH;
    let above_z = low + (0x7f - u64::from(b'Z')) * EACH;
    let upper = (at_least_a ^ above_z) & !word & (0x80 * EACH);
    word | (upper >> 2)
}

/// A buffer that an answer grows in, never past its limit.
pub struct Out<'b> {
    buffer: &'b mut [u8],
    length: usize,
    limit: usize,
}

impl<'b> Out<'b> {
    /// An empty answer of at most `limit` octets.
    pub fn new(buffer: &'b mut [u8], limit: usize) -> Out<'b> {
        let limit = limit.min(buffer.len());
        Out { buffer, length: 0, limit }
    }

    /// Octets written so far.
    #[inline]
    pub fn written(&self) -> usize {
        self.length
    }

    /// Change the limit, for the part that was reserved.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(self.buffer.len());
    }

    /// Forget what was written after `length`.
    pub fn cut(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Append; false, with nothing written, where it does not fit.
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

    /// Append 16 bits.
    #[inline]
    pub fn put_u16(&mut self, value: u16) -> bool {
        self.put(&value.to_be_bytes())
    }

    /// Overwrite 16 bits that were written before.
    #[inline]
    pub fn set_u16(&mut self, at: usize, value: u16) {
        if let Some(two) = self.buffer.get_mut(at..at + 2) {
            two.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Append a name, its longest suffix that the question has too as a pointer (RFC 1035 4.1.4).
    ///
    /// Only suffixes alike to the letter are shared, so the case of the record is kept.
    pub fn put_name(&mut self, name: &[u8], question: usize) -> bool {
        let asked = &self.buffer[HEADER..(HEADER + question).min(self.length)];
        let mut at = 0;
        while at < name.len() && name[at] != 0 {
            let rest = &name[at..];
            if rest.len() <= asked.len() {
                let from = asked.len() - rest.len();
                if &asked[from..] == rest && starts_label(asked, from) {
                    let pointer = 0xc000 | (HEADER + from) as u16;
                    return self.put(&name[..at]) && self.put_u16(pointer);
                }
            }
            at += usize::from(name[at]) + 1;
        }
        self.put(name)
    }
}

/// Whether a label of the (valid, uncompressed) name begins at `at`.
fn starts_label(name: &[u8], at: usize) -> bool {
    let mut start = 0;
    while start < at {
        start += usize::from(name[start]) + 1;
    }
    start == at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none() {
        for bytes in [&b""[..], b"\x03ab", b"\x40", b"\xc0\x0c", b"\x01a", &[1; 300]] {
            assert!(Name::read(bytes).is_none(), "{bytes:?}");
            assert!(name_len(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn suffixes_in_lower_case() {
        let name = Name::read(b"\x03WwW\x02eX\x00rest").unwrap();
        assert_eq!(name.wire(), b"\x03www\x02ex\x00");
        let suffixes: Vec<_> = name.suffixes().collect();
        assert_eq!(name.labels(), 2);
        assert_eq!(suffixes, [&b"\x03www\x02ex\x00"[..], b"\x02ex\x00", b"\x00"]);
    }

    #[test]
    fn every_octet_is_folded_as_ascii() {
        for octet in 0..=255u8 {
            let word = u64::from_ne_bytes([octet, b'Z', 0xff, octet, 0, b'@', b'[', octet]);
            let wanted = word.to_ne_bytes().map(|octet| octet.to_ascii_lowercase());
            assert_eq!(fold_case(word).to_ne_bytes(), wanted);
        }
    }

    #[test]
    fn pointers_must_point_back() {
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
    fn a_name_shares_what_the_question_has() {
        let mut buffer = [0; 100];
        let mut out = Out::new(&mut buffer, 100);
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
