//! Checks of a reply against its query: header, size, question and OPT record.

use std::collections::BTreeSet;

use _core::message::query::{Edns, TC};
use _core::request::Transport;

use super::expected::{self, Asked, BADCOOKIE, FORMERR, NOTIMP};
use super::message::{self, HEADER, Message, Opt};
use super::packet::{self, Query, Read};
use super::sections;

const QR: u16 = 0x8000;
const RD: u16 = 0x0100;
const OPCODE: u16 = 0x7800;
/// RA, Z, AD, CD, which this server never sets.
const NEVER: u16 = 0x00f0;

/// EDNS options (IANA).
const NSID: u16 = 3;
const ECS: u16 = 8;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const EDE: u16 = 15;

/// Panics if `reply` (`None` if none was sent) is wrong for the DNS message `packet`.
pub fn check(packet: &[u8], reply: Option<&[u8]>, asked: &Asked<'_>) {
    if let Err(why) = check_reply(packet, reply, asked) {
        let (client, transport) = (asked.client, asked.transport);
        panic!("{why}\n{transport:?} {client}\nquery {packet:02x?}\nreply {reply:02x?}");
    }
}

fn check_reply(packet: &[u8], reply: Option<&[u8]>, asked: &Asked<'_>) -> Result<(), String> {
    let limited = asked.options.rate_limit > 0 && asked.transport == Transport::Udp;
    let silent = packet.len() < HEADER || packet[2] & 0x80 != 0;
    let Some(reply) = reply else {
        return if silent || limited { Ok(()) } else { Err("no reply".into()) };
    };
    if silent {
        return Err("a reply to something that is not a query".into());
    }
    if reply.get(..2) != packet.get(..2) {
        return Err("wrong ID".into());
    }
    let message = message::read(reply)?;
    let wanted = QR | (u16::from(packet[2]) << 8 & (OPCODE | RD));
    if message.flags & (QR | OPCODE | RD | NEVER) != wanted {
        return Err(format!("flags {:04x}", message.flags));
    }
    let header_only = |rcode| {
        let valid = reply.len() == HEADER && message.flags == wanted | rcode;
        if valid { Ok(()) } else { Err(format!("expected only a header with rcode {rcode}")) }
    };
    match packet::read(packet) {
        Read::Silent => Err("a reply to a packet that must be dropped".into()),
        Read::Malformed => header_only(FORMERR),
        Read::NotQuery => header_only(NOTIMP),
        Read::Query(query) => {
            let room = envelope(packet, reply, &query, &message, asked)?;
            if limited && is_rate_limited(&message, &query) {
                return Ok(());
            }
            let expected = expected::expected(&query, asked);
            let ede = message.option(EDE).map(|code| code.to_vec());
            let expected_ede = expected.ede.map(|code| code.to_be_bytes().to_vec());
            let cut = message.flags & TC != 0;
            if query.edns.is_some() && ede != expected_ede && !(ede.is_none() && (room < 6 || cut))
            {
                return Err(format!("EDE {ede:?}, expected {expected_ede:?}"));
            }
            sections::check(&message, &expected, asked)
        }
    }
}

/// Returns whether a reply is the short form for answers over the rate limit.
fn is_rate_limited(message: &Message, query: &Query<'_>) -> bool {
    let empty = message.sections.iter().all(Vec::is_empty);
    let cookie = query.edns.as_ref().is_some_and(|edns| edns.cookie.is_some());
    empty && if cookie { message.rcode() == BADCOOKIE } else { message.flags & TC != 0 }
}

/// Checks size, question and OPT record; returns the bytes left below the limit.
fn envelope(
    packet: &[u8], reply: &[u8], query: &Query<'_>, message: &Message, asked: &Asked<'_>,
) -> Result<usize, String> {
    let limit = match (asked.transport, &query.edns) {
        (Transport::Tcp, _) => 65535,
        (Transport::Udp, None) => 512,
        (Transport::Udp, Some(edns)) => usize::from(edns.size).clamp(512, asked.options.udp_size),
    };
    if reply.len() > limit {
        return Err(format!("{} bytes, expected at most {limit}", reply.len()));
    }
    let end = HEADER + query.question_length();
    let same = reply.get(HEADER..end) == packet.get(HEADER..end);
    if !same || message.questions.len() != usize::from(query.question.is_some()) {
        return Err("wrong question".into());
    }
    let room = limit - reply.len();
    match (&query.edns, &message.opt) {
        (None, None) => {}
        (Some(edns), Some(opt)) => check_opt(edns, opt, message, room, asked)?,
        (edns, _) => {
            return Err(format!("OPT in the query: {}, different in the reply", edns.is_some()));
        }
    }
    Ok(room)
}

fn check_opt(
    edns: &Edns<'_>, opt: &Opt, message: &Message, room: usize, asked: &Asked<'_>,
) -> Result<(), String> {
    let flags = if edns.dnssec { 0x8000 } else { 0 };
    if (opt.size, opt.version, opt.flags) != (asked.options.udp_size as u16, 0, flags) {
        return Err("OPT: wrong size, version or flags".into());
    }
    let known = [NSID, ECS, COOKIE, KEEPALIVE, EDE];
    let codes: BTreeSet<u16> = opt.options.iter().map(|option| option.0).collect();
    if codes.len() != opt.options.len() || !codes.iter().all(|code| known.contains(code)) {
        return Err(format!("OPT: unknown or repeated options: {codes:?}"));
    }
    for code in [NSID, ECS, COOKIE, KEEPALIVE] {
        let (value, wanted) = (message.option(code), option(code, edns, asked));
        let fits = match (value, &wanted) {
            (Some(value), Some(wanted)) => matches(value, wanted),
            // Left out if it does not fit beside a long name.
            (None, Some(wanted)) => room < 4 + wanted.len(),
            (value, None) => value.is_none(),
        };
        if !fits {
            return Err(format!("OPT: option {code} is {value:02x?}, expected {wanted:02x?}"));
        }
    }
    Ok(())
}

/// Returns whether a value has the expected bytes; `None` stands for any byte.
fn matches(value: &[u8], wanted: &[Option<u8>]) -> bool {
    let same = |(byte, wanted): (&u8, &Option<u8>)| wanted.is_none_or(|wanted| wanted == *byte);
    value.len() == wanted.len() && value.iter().zip(wanted).all(same)
}

/// Returns the option that a reply must have; `None` stands for any byte.
fn option(code: u16, edns: &Edns<'_>, asked: &Asked<'_>) -> Option<Vec<Option<u8>>> {
    let options = asked.options;
    if edns.version > 0 {
        return None;
    }
    let start = |known: &[u8], length| {
        let mut wanted: Vec<_> = known.iter().copied().map(Some).collect();
        wanted.resize(length, None);
        wanted
    };
    match code {
        NSID if edns.nsid && !options.server_id.is_empty() => {
            Some(start(&options.server_id, options.server_id.len()))
        }
        KEEPALIVE if edns.keepalive && asked.transport == Transport::Tcp => Some(start(&[], 2)),
        COOKIE if options.cookies && expected::cookie_fits(edns) => {
            edns.cookie.map(|cookie| start(&cookie[..8], 24))
        }
        ECS if options.ecs_from.contains(asked.client) && expected::subnet_fits(edns) => {
            let mut wanted = start(edns.subnet?, edns.subnet?.len());
            // The server chooses the scope.
            wanted[3] = None;
            Some(wanted)
        }
        _ => None,
    }
}
