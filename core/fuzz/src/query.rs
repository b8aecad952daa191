//! Fuzzer of the answer path: one packet, asked in many ways.
//!
//! Input: two octets of choices (see `Choices`), then the packet.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use _core::answer::{Batch, Clock, MAX_MESSAGE, Responder, Transport};
use _core::cookie;
use _core::counters::Counters;
use _core::net::{self, Networks, Proxy};
use _core::options::Options;
use _core::query::{self, Packet};
use _core::shared::Shared;
use crossbeam_epoch as epoch;

use super::check::check;
use super::expected::Asked;
use super::message::HEADER;
use super::world::{NOW, World, world};

const CLIENTS: [&str; 4] = ["192.0.2.7", "198.51.100.9", "2001:db8::9", "::ffff:192.0.2.8"];
const SECRETS: [cookie::Secret; 2] = [[1; 16], [2; 16]];
/// Seconds since 1970 in all questions.
const UNIX: u32 = 1_800_000_000;
/// Times that one packet is sent where its rate is limited.
const TIMES: usize = 4;

/// What the first octets of an input choose.
struct Choices {
    transport: Transport,
    peer: IpAddr,
    options: &'static Options,
    /// Make the server's part of a full cookie right, which no fuzzer guesses: None to leave it,
    /// or the secret and the age in s.
    proof: Option<(usize, u32)>,
}

impl Choices {
    fn read(first: u8, second: u8) -> Choices {
        let variants = variants();
        Choices {
            transport: if first & 1 == 0 { Transport::Udp } else { Transport::Tcp },
            peer: CLIENTS[usize::from(first >> 1 & 3)].parse().expect("an address"),
            options: &variants[usize::from(first >> 3) % variants.len()],
            proof: match second & 3 {
                0 => None,
                kind => Some((usize::from(kind == 2), if kind == 3 { 2000 } else { 0 })),
            },
        }
    }
}

/// Ask the packet; panic if a reply is wrong.
pub fn run(data: &[u8]) {
    let [first, second, packet @ ..] = data else { return };
    let choices = Choices::read(*first, *second);
    let World { shared, model } = world();
    let mut packet = packet.to_vec();
    let proxied = choices.transport == Transport::Udp
        && choices.options.proxy_from.contains(choices.peer.to_canonical());
    let (start, client) = match net::proxy_header(&packet) {
        Proxy::Header(length, client) if proxied => (Some(length), client),
        _ => ((!proxied).then_some(0), None),
    };
    let client = client.unwrap_or(choices.peer.to_canonical());
    if let (Some(start), Some((secret, age))) = (start, choices.proof) {
        prove(&mut packet[start..], client, secret, age);
    }
    let mut ask = Ask::new(choices, shared);
    for _ in 0..if ask.choices.options.rate_limit > 0 { TIMES } else { 2 } {
        let reply = ask.once(&packet);
        let Some(start) = start else {
            assert!(reply.is_empty(), "a reply to a packet without a PROXY header");
            continue;
        };
        let Choices { transport, options, .. } = ask.choices;
        let asked = Asked { client, transport, options, model, now: NOW };
        check(&packet[start..], &ask.buffer[..reply.len()], &asked);
    }
}
