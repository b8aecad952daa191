//! Whether a reply is what the query deserves: its header, size, question and OPT record.

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
/// RA, Z, AD, CD: not ours to set.
const NEVER: u16 = 0x00f0;

/// EDNS options (IANA).
const NSID: u16 = 3;
const ECS: u16 = 8;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const EDE: u16 = 15;

/// Panic if `reply` (empty: none was sent) is not right for the DNS message `packet`.
pub fn check(packet: &[u8], reply: &[u8], asked: &Asked<'_>) {
    if let Err(why) = judge(packet, reply, asked) {
        let (client, transport) = (asked.client, asked.transport);
        panic!("{why}\n{transport:?} {client}\nquery {packet:02x?}\nreply {reply:02x?}");
    }
}

fn judge(packet: &[u8], reply: &[u8], asked: &Asked<'_>) -> Result<(), String> {
    let limited = asked.options.rate_limit > 0 && asked.transport == Transport::Udp;
    let silent = packet.len() < HEADER || packet[2] & 0x80 != 0;
    if reply.is_empty() {
        return if silent || limited { Ok(()) } else { Err("no reply".into()) };
    }
    if silent {
        return Err("a reply to what is no query".into());
    }
    if reply.get(..2) != packet.get(..2) {
        return Err("another id".into());
    }
    let message = message::read(reply)?;
    let wanted = QR | (u16::from(packet[2]) << 8 & (OPCODE | RD));
    if message.flags & (QR | OPCODE | RD | NEVER) != wanted {
        return Err(format!("flags {:04x}", message.flags));
    }
    let alone = |rcode| {
        let right = reply.len() == HEADER && message.flags == wanted | rcode;
        if right { Ok(()) } else { Err(format!("not a header alone with rcode {rcode}")) }
    };
    match packet::read(packet) {
        Read::Silent => Err("the core should have kept silent".into()),
        Read::Malformed => alone(FORMERR),
        Read::NotQuery => alone(NOTIMP),
        Read::Query(query) => {
            let room = envelope(packet, reply, &query, &message, asked)?;
            if limited && is_restrained(&message, &query) {
                return Ok(());
            }
            let expected = expected::expected(&query, asked);
            let ede = message.option(EDE).map(|code| code.to_vec());
            let wanted = expected.ede.map(|code| code.to_be_bytes().to_vec());
            let cut = message.flags & TC != 0;
            if query.edns.is_some() && ede != wanted && !(ede.is_none() && (room < 6 || cut)) {
                return Err(format!("EDE {ede:?}, expected {wanted:?}"));
            }
            sections::check(&message, &expected, asked)
        }
    }
}

/// An answer over the rate limit: none of the records, but how to get them.
fn is_restrained(message: &Message, query: &Query<'_>) -> bool {
    let empty = message.sections.iter().all(Vec::is_empty);
    let cookie = query.edns.as_ref().is_some_and(|edns| edns.cookie.is_some());
    empty && if cookie { message.rcode() == BADCOOKIE } else { message.flags & TC != 0 }
}

/// Size, question and OPT record; octets that were left.
fn envelope(
    packet: &[u8], reply: &[u8], query: &Query<'_>, message: &Message, asked: &Asked<'_>,
) -> Result<usize, String> {
    let limit = match (asked.transport, &query.edns) {
        (Transport::Tcp, _) => 65535,
        (Transport::Udp, None) => 512,
        (Transport::Udp, Some(edns)) => usize::from(edns.size).clamp(512, asked.options.udp_size),
    };
    if reply.len() > limit {
        return Err(format!("{} octets, {limit} allowed", reply.len()));
    }
    let end = HEADER + query.question_octets();
    let same = reply.get(HEADER..end) == packet.get(HEADER..end);
    if !same || message.questions.len() != usize::from(query.question.is_some()) {
        return Err("another question".into());
    }
    let room = limit - reply.len();
    match (&query.edns, &message.opt) {
        (None, None) => {}
        (Some(edns), Some(opt)) => check_opt(edns, opt, message, room, asked)?,
        (edns, _) => return Err(format!("OPT in the query: {}; but not so here", edns.is_some())),
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
        return Err(format!("OPT: options {codes:?}, or one of them twice"));
    }
    for code in [NSID, ECS, COOKIE, KEEPALIVE] {
        let (value, wanted) = (message.option(code), option(code, edns, asked));
        let fits = match (value, &wanted) {
            (Some(value), Some(wanted)) => matches(value, wanted),
            // What does not fit beside a long name is left out.
            (None, Some(wanted)) => room < 4 + wanted.len(),
            (value, None) => value.is_none(),
        };
        if !fits {
            return Err(format!("OPT: option {code} is {value:02x?}, expected {wanted:02x?}"));
        }
    }
    Ok(())
}

fn matches(value: &[u8], wanted: &[Option<u8>]) -> bool {
    let same = |(octet, wanted): (&u8, &Option<u8>)| wanted.is_none_or(|wanted| wanted == *octet);
    value.len() == wanted.len() && value.iter().zip(wanted).all(same)
}

/// The option that a reply should have; None is any octet.
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
            // The scope is the server's to say.
            wanted[3] = None;
            Some(wanted)
        }
        _ => None,
    }
}
