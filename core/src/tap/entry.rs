//! One reported query, and its form in a ring.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::message::query::QR;
use crate::message::wire::{HEADER, name_len, rtype, u16_at, u32_at, u64_at};
use crate::networks::bits;
use crate::request::Transport;

/// Bytes before the messages.
const HEAD: usize = 66;

/// A query and its response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'m> {
    /// Time of the query, in ns since 1970.
    pub received: u64,
    /// Nanoseconds from reading the query to sending the response, with all others of its batch.
    pub elapsed: u64,
    pub client: SocketAddr,
    /// The address of the listener.
    pub local: SocketAddr,
    pub transport: Transport,
    /// The query, or its header and question.
    pub query: &'m [u8],
    /// The response, or its header; empty if none was sent.
    pub answer: &'m [u8],
    /// Sizes of the whole messages.
    pub query_size: usize,
    pub answer_size: usize,
    /// The response code, with its bits in the OPT record.
    pub rcode: Option<u16>,
}

impl<'m> Entry<'m> {
    /// Returns the name, type and class of the question, if there is a valid one.
    pub fn question(&self) -> Option<(&'m [u8], u16, u16)> {
        let end = question_end(self.query)?;
        let name = &self.query[HEADER..end - 4];
        Some((name, u16_at(self.query, end - 4), u16_at(self.query, end - 2)))
    }

    /// Shortens the messages to what the query log needs.
    pub fn shorten(&mut self) {
        self.query = &self.query[..question_end(self.query).unwrap_or(HEADER)];
        self.answer = &self.answer[..self.answer.len().min(HEADER)];
    }

    /// Appends the entry to `out`, which `read` reads.
    pub fn write(&self, out: &mut Vec<u8>) {
        let length = HEAD + self.query.len() + self.answer.len();
        out.extend((length as u32).to_be_bytes());
        out.extend(self.received.to_be_bytes());
        out.extend(self.elapsed.to_be_bytes());
        for address in [self.client, self.local] {
            out.extend(bits(address.ip()).to_be_bytes());
            out.extend(address.port().to_be_bytes());
        }
        out.extend((self.query.len() as u16).to_be_bytes());
        out.extend((self.query_size as u16).to_be_bytes());
        out.extend((self.answer_size as u16).to_be_bytes());
        out.extend(self.rcode.unwrap_or(u16::MAX).to_be_bytes());
        out.extend([(self.transport == Transport::Tcp) as u8, 0]);
        out.extend(self.query);
        out.extend(self.answer);
    }

    /// Splits the first entry from `bytes`; returns `None` at the end.
    pub fn read(bytes: &mut &'m [u8]) -> Option<Entry<'m>> {
        let entry = bytes.get(..u32_at(bytes, 0) as usize)?;
        let messages = entry.get(HEAD..)?;
        let (query, answer) = messages.split_at_checked(u16_at(entry, 56).into())?;
        *bytes = &bytes[entry.len()..];
        let rcode = u16_at(entry, 62);
        Some(Entry {
            received: u64_at(entry, 4),
            elapsed: u64_at(entry, 12),
            client: address(&entry[20..]),
            local: address(&entry[38..]),
            transport: if entry[64] == 1 { Transport::Tcp } else { Transport::Udp },
            query,
            answer,
            query_size: u16_at(entry, 58).into(),
            answer_size: u16_at(entry, 60).into(),
            rcode: (rcode != u16::MAX).then_some(rcode),
        })
    }
}

/// Returns whether a packet is a query, rather than a response or too short to be either.
pub fn is_query(packet: &[u8]) -> bool {
    packet.len() >= HEADER && u16_at(packet, 2) & QR == 0
}

/// Returns the response code of a response of this server.
///
/// The higher bits are in the OPT record (RFC 6891 section 6.1.3). They are set only in responses
/// without other records.
pub fn rcode(answer: &[u8]) -> Option<u16> {
    let low = u16_at(answer.get(..HEADER)?, 2) & 15;
    let counts = [6, 8, 10].map(|at| u16_at(answer, at));
    let opt = if u16_at(answer, 4) == 0 { Some(HEADER) } else { question_end(answer) };
    let high = opt
        .and_then(|at| answer.get(at..at + 11))
        .filter(|opt| counts == [0, 0, 1] && opt[0] == 0 && u16_at(opt, 1) == rtype::OPT);
    Some(low | high.map_or(0, |opt| u16::from(opt[5]) << 4))
}

/// Returns the position after the question of a message that has one.
fn question_end(message: &[u8]) -> Option<usize> {
    if u16_at(message, 4) != 1 {
        return None;
    }
    let end = HEADER + name_len(message.get(HEADER..)?)? + 4;
    (end <= message.len()).then_some(end)
}

fn address(bytes: &[u8]) -> SocketAddr {
    let high = u128::from(u64_at(bytes, 0));
    let address = Ipv6Addr::from_bits(high << 64 | u128::from(u64_at(bytes, 8)));
    SocketAddr::new(IpAddr::V6(address).to_canonical(), u16_at(bytes, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01A\x00\x00\x1c\x00\x01";

    fn entry<'m>(query: &'m [u8], answer: &'m [u8]) -> Entry<'m> {
        Entry {
            received: 1_800_000_000_123_456_789,
            elapsed: 42,
            client: "192.0.2.1:5353".parse().unwrap(),
            local: "[::1]:53".parse().unwrap(),
            transport: Transport::Tcp,
            query,
            answer,
            query_size: query.len(),
            answer_size: answer.len(),
            rcode: rcode(answer),
        }
    }

    #[test]
    fn entries_are_read_as_written() {
        let entries = [entry(QUERY, b"response, long enough"), entry(&QUERY[..12], b"")];
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write(&mut bytes));
        let mut rest = &bytes[..];
        assert_eq!(Entry::read(&mut rest), Some(entries[0]));
        assert_eq!(Entry::read(&mut rest), Some(entries[1]));
        assert_eq!((Entry::read(&mut rest), rest), (None, &b""[..]));
    }

    #[test]
    fn malformed_questions_are_none() {
        assert_eq!(entry(QUERY, b"").question(), Some((&b"\x01A\x00"[..], 28, 1)));
        for length in 12..QUERY.len() {
            let mut short = entry(&QUERY[..length], b"");
            assert_eq!(short.question(), None, "{length}");
            short.shorten();
            assert_eq!(short.query.len(), 12);
        }
        let pointer = [&QUERY[..12], b"\xc0\x0c\x00\x01\x00\x01"].concat();
        assert_eq!(entry(&pointer, b"").question(), None);
    }

    #[test]
    fn response_codes_have_the_bits_of_opt() {
        let mut answer = QUERY.to_vec();
        (answer[2], answer[3], answer[11]) = (0x84, 7, 1);
        answer.extend(b"\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00");
        assert_eq!(rcode(&answer), Some(23));
        answer[7] = 1;
        assert_eq!(rcode(&answer), Some(7), "not the record after the question");
        assert_eq!(rcode(b""), None);
        assert_eq!(rcode(&answer[..12]), Some(7));
    }
}
