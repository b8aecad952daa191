//! Parsing of queries.

use crate::message::wire::{HEADER, Name, rtype, skip_name, u16_at};

/// Header bits (RFC 1035 section 4.1.1).
pub const QR: u16 = 0x8000;
pub const OPCODE: u16 = 0x7800;
pub const AA: u16 = 0x0400;
pub const TC: u16 = 0x0200;
pub const RD: u16 = 0x0100;

/// EDNS options (IANA).
pub mod option {
    pub const NSID: u16 = 3;
    pub const ECS: u16 = 8;
    pub const COOKIE: u16 = 10;
    pub const KEEPALIVE: u16 = 11;
    pub const EDE: u16 = 15;
}

/// The result of parsing a packet.
pub enum Packet<'p> {
    /// The packet is too short, or is a reply. Nothing is sent, so that two servers never answer each
    /// other.
    Silent,
    /// The packet is not a valid query.
    Malformed,
    /// The opcode is not QUERY.
    NotQuery,
    Query(Query<'p>),
}

/// A query (RFC 1035 section 4).
pub struct Query<'p> {
    /// The question; `None` if the query only asks for a cookie (RFC 7873 section 5.4).
    pub question: Option<Question>,
    pub edns: Option<Edns<'p>>,
}

/// Type and class of the question; `read` returns its name separately.
#[derive(Clone, Copy)]
pub struct Question {
    pub rtype: u16,
    pub class: u16,
}

/// The OPT record of a query (RFC 6891 section 6.1).
#[derive(Default)]
pub struct Edns<'p> {
    /// UDP payload size that the sender accepts.
    pub size: u16,
    pub version: u8,
    /// The DNSSEC OK bit, copied to the answer (RFC 3225 section 3).
    pub dnssec: bool,
    pub nsid: bool,
    pub keepalive: bool,
    pub cookie: Option<&'p [u8]>,
    pub subnet: Option<&'p [u8]>,
}

/// Parses a whole packet: data after the message, or counts that do not fit, make it malformed.
///
/// The name of the question is written to `name`, which must be empty and stays so without a
/// question.
#[inline]
pub fn read<'p>(packet: &'p [u8], name: &mut Name) -> Packet<'p> {
    if packet.len() < HEADER || u16_at(packet, 2) & QR != 0 {
        return Packet::Silent;
    }
    if u16_at(packet, 2) & OPCODE != 0 {
        return Packet::NotQuery;
    }
    read_query(packet, name).map_or(Packet::Malformed, Packet::Query)
}

#[inline]
fn read_query<'p>(packet: &'p [u8], name: &mut Name) -> Option<Query<'p>> {
    let (question, mut at) = match u16_at(packet, 4) {
        0 => (None, HEADER),
        1 => {
            if !name.fill(&packet[HEADER..]) {
                return None;
            }
            let at = HEADER + name.wire().len();
            let question = Question { rtype: u16_at(packet, at), class: u16_at(packet, at + 2) };
            (Some(question), at + 4)
        }
        _ => return None,
    };
    // Each record takes at least 11 bytes, so the packet bounds this loop whatever the counts are.
    for _ in 0..u32::from(u16_at(packet, 6)) + u32::from(u16_at(packet, 8)) {
        let fixed = skip_name(packet, at)?;
        // OPT belongs to the additional section (RFC 6891 section 6.1.1).
        if u16_at(packet, fixed) == rtype::OPT {
            return None;
        }
        at = fixed + 10 + usize::from(u16_at(packet, fixed + 8));
        if at > packet.len() {
            return None;
        }
    }
    let mut edns = None;
    for _ in 0..u16_at(packet, 10) {
        let fixed = skip_name(packet, at)?;
        let data = packet.get(fixed..fixed + 10)?;
        let end = fixed + 10 + usize::from(u16_at(data, 8));
        let rdata = packet.get(fixed + 10..end)?;
        if u16_at(data, 0) == rtype::OPT {
            // At most one, and at the root (RFC 6891 section 6.1.1).
            if edns.is_some() || fixed != at + 1 {
                return None;
            }
            edns = Some(read_edns(data, rdata)?);
        }
        at = end;
    }
    let cookie = edns.as_ref().is_some_and(|edns| edns.cookie.is_some());
    (at == packet.len() && (question.is_some() || cookie)).then_some(Query { question, edns })
}

fn read_edns<'p>(fixed: &[u8], rdata: &'p [u8]) -> Option<Edns<'p>> {
    let mut edns = Edns {
        size: u16_at(fixed, 2),
        version: fixed[5],
        dnssec: fixed[6] & 0x80 != 0,
        ..Edns::default()
    };
    if edns.version != 0 {
        // Options of a later version may have a different form.
        return Some(edns);
    }
    let mut rest = rdata;
    while !rest.is_empty() {
        let value = rest.get(4..4 + usize::from(u16_at(rest, 2)))?;
        match u16_at(rest, 0) {
            option::NSID => edns.nsid = true,
            option::KEEPALIVE => edns.keepalive = true,
            // The first one counts, others are ignored (RFC 7873 section 5.2).
            option::COOKIE => edns.cookie = edns.cookie.or(Some(value)),
            option::ECS => edns.subnet = edns.subnet.or(Some(value)),
            _ => {}
        }
        rest = &rest[4 + value.len()..];
    }
    Some(edns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(counts: [u8; 4], body: &[u8]) -> Vec<u8> {
        let mut packet = vec![1, 2, 1, 0];
        counts.iter().for_each(|count| packet.extend([0, *count]));
        packet.extend(body);
        packet
    }

    const QUESTION: &[u8] = b"\x01a\x00\x00\x01\x00\x01";
    const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";

    #[test]
    fn only_valid_queries_are_parsed() {
        let opt = |options: &[u8]| {
            let mut opt = [QUESTION, &OPT[..10], &[options.len() as u8], options].concat();
            opt.truncate(opt.len());
            opt
        };
        let cases: [(&str, [u8; 4], Vec<u8>, bool); 14] = [
            ("question", [1, 0, 0, 0], QUESTION.into(), true),
            ("with OPT", [1, 0, 0, 1], [QUESTION, OPT].concat(), true),
            ("with options", [1, 0, 0, 1], opt(b"\x00\x03\x00\x00\xff\xff\x00\x01x"), true),
            ("cut option", [1, 0, 0, 1], opt(b"\x00\x03\x00\x09"), false),
            ("two OPT", [1, 0, 0, 2], [QUESTION, OPT, OPT].concat(), false),
            ("OPT not at the root", [1, 0, 0, 1], [QUESTION, b"\x01a", OPT].concat(), false),
            ("OPT in authority", [1, 0, 1, 0], [QUESTION, OPT].concat(), false),
            ("no question", [0, 0, 0, 0], vec![], false),
            ("no question, no cookie", [0, 0, 0, 1], OPT.into(), false),
            ("two questions", [2, 0, 0, 0], [QUESTION, QUESTION].concat(), false),
            ("cut question", [1, 0, 0, 0], QUESTION[..6].into(), false),
            ("trailing data", [1, 0, 0, 0], [QUESTION, b"x"].concat(), false),
            ("count too high", [1, 0, 0, 9], [QUESTION, OPT].concat(), false),
            ("pointer in question", [1, 0, 0, 0], b"\xc0\x0c\x00\x01\x00\x01".to_vec(), false),
        ];
        for (case, counts, body, valid) in cases {
            let packet = packet(counts, &body);
            assert_eq!(
                matches!(read(&packet, &mut Name::default()), Packet::Query(_)),
                valid,
                "{case}"
            );
        }
    }

    #[test]
    fn replies_and_short_packets_are_not_answered() {
        let mut reply = packet([1, 0, 0, 0], QUESTION);
        reply[2] |= 0x80;
        for packet in [&reply[..], b"", &[0; 11]] {
            assert!(matches!(read(packet, &mut Name::default()), Packet::Silent));
        }
    }
}
