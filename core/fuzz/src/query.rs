//! Fuzzer of the answer path: one packet, sent in many ways.
//!
//! Input: two bytes of choices (see `Choices`), then the packet.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use _core::answer::Responder;
use _core::cookie;
use _core::counters::Counters;
use _core::message::proxy::{Proxy, proxy_header};
use _core::message::wire::MAX_MESSAGE;
use _core::net::udp::ANSWER_SIZE;
use _core::networks::Networks;
use _core::options::Options;
use _core::request::{Clock, RequestContext, Transport};
use crossbeam_epoch as epoch;

use super::check::check;
use super::expected::{Asked, expected};
use super::message::{self, Record};
use super::packet::{self, Read};
use super::world::{NOW, world};

const CLIENTS: [&str; 4] = ["192.0.2.7", "198.51.100.9", "2001:db8::9", "::ffff:192.0.2.8"];
const SECRETS: [cookie::Secret; 2] = [[1; 16], [2; 16]];
/// Seconds since 1970 for all queries.
const UNIX: u32 = 1_800_000_000;
/// Times that a packet is sent if the rate is limited.
const REPETITIONS: usize = 4;

/// The choices in the first bytes of an input.
struct Choices {
    transport: Transport,
    peer: IpAddr,
    options: &'static Options,
    /// Secret and age in s of a valid server cookie, which no fuzzer guesses. `None` leaves the cookie
    /// as it is.
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

/// Sends the packet; panics if a reply is wrong.
pub fn run(data: &[u8]) {
    let [first, second, packet @ ..] = data else { return };
    let choices = Choices::read(*first, *second);
    let mut packet = packet.to_vec();
    let (start, client) = choices.unwrap(&packet);
    if let (Some(start), Some((secret, age))) = (start, choices.proof) {
        prove(&mut packet[start..], client, secret, age);
    }
    let (transport, options) = (choices.transport, choices.options);
    let asked = Asked { client, transport, options, model: &world().model, now: NOW };
    let mut servers = Servers::new();
    let mut replies = Vec::new();
    for turn in 0..if options.rate_limit > 0 { REPETITIONS } else { 2 } {
        let reply = servers.send(turn, &choices, &packet);
        match start {
            Some(start) => check(&packet[start..], reply.as_deref(), &asked),
            None => assert_eq!(reply, None, "a reply to a packet without a PROXY header"),
        }
        replies.push(reply);
    }
    if let Some(start) = start
        && options.rate_limit == 0
    {
        check_selection(&packet[start..], &replies, &asked);
    }
}

impl Choices {
    /// Returns the offset of the message in a packet, if there is one, and its client.
    fn unwrap(&self, packet: &[u8]) -> (Option<usize>, IpAddr) {
        let peer = self.peer.to_canonical();
        if self.transport == Transport::Tcp || !self.options.proxy_from.contains(peer) {
            return (Some(0), peer);
        }
        match proxy_header(packet) {
            Proxy::Header(length, client) => (Some(length), client.unwrap_or(peer)),
            _ => (None, peer),
        }
    }
}

/// Replaces the server cookie in a message by a valid one.
fn prove(message: &mut [u8], client: IpAddr, secret: usize, age: u32) {
    let Read::Query(query) = packet::read(message) else { return };
    let cookie = query.edns.as_ref().and_then(|edns| edns.cookie);
    let Some(cookie) = cookie.filter(|cookie| cookie.len() == cookie::FULL) else { return };
    let proven = cookie::make(&SECRETS[secret], cookie, client, UNIX - age);
    let at = cookie.as_ptr().addr() - message.as_ptr().addr();
    message[at..at + proven.len()].copy_from_slice(&proven);
}

/// Checks that a client gets the same records from all servers if the policy depends on the client.
fn check_selection(message: &[u8], replies: &[Option<Vec<u8>>], asked: &Asked<'_>) {
    let Read::Query(query) = packet::read(message) else { return };
    let found = expected(&query, asked).found;
    let set = found.and_then(|(_, owner, zone, rtype)| zone.get(&owner, rtype, asked.now));
    if !set.is_some_and(|set| set.policy.depends_on_client()) {
        return;
    }
    let answers: Vec<_> = replies.iter().flatten().map(|reply| answer(reply)).collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:02x?}");
}

fn answer(reply: &[u8]) -> Vec<Record> {
    let [answer, ..] = message::read(reply).expect("checked before").sections;
    answer
}

/// Two servers with the same zones and options.
struct Servers {
    responders: [Responder; 2],
    buffer: Vec<u8>,
    boot: u64,
}

impl Servers {
    fn new() -> Servers {
        /// Inputs are minutes apart, so that the rate limits of the last one have no effect.
        static BOOT: AtomicU64 = AtomicU64::new(NOW);
        Servers {
            responders: [1, 2].map(|seed| Responder::new(Arc::new(Counters::default()), seed)),
            // Not 0, so that bytes that were not written are noticed.
            buffer: vec![0xaa; MAX_MESSAGE],
            boot: BOOT.fetch_add(100_000_000_000, Relaxed),
        }
    }

    /// Returns the reply of one of the servers to a packet.
    fn send(&mut self, turn: usize, choices: &Choices, packet: &[u8]) -> Option<Vec<u8>> {
        let guard = &epoch::pin();
        let clock = Clock { boot: self.boot, unix: UNIX };
        let options = choices.options;
        let context =
            RequestContext { options, ..RequestContext::new(&world().shared, clock, guard) };
        let size = match choices.transport {
            Transport::Udp => ANSWER_SIZE,
            Transport::Tcp => MAX_MESSAGE,
        };
        let buffer = &mut self.buffer[..size];
        let outcome = self.responders[turn % 2].respond(
            context,
            packet,
            choices.peer,
            choices.transport,
            buffer,
        );
        outcome.answer(buffer).map(<[u8]>::to_vec)
    }
}

/// Returns the options of the servers.
fn variants() -> &'static [Options] {
    static VARIANTS: OnceLock<Vec<Options>> = OnceLock::new();
    VARIANTS.get_or_init(|| {
        let networks = |texts: &[&str]| Networks::parse(texts).expect("networks");
        let trusted = networks(&["192.0.2.0/24", "2001:db8::/32"]);
        let cookies = Options { cookies: true, secrets: SECRETS.to_vec(), ..Options::default() };
        let named = Options {
            version: b"musterd".to_vec(),
            server_id: b"here".to_vec(),
            ecs_from: trusted.clone(),
            ..cookies.clone()
        };
        vec![
            Options::default(),
            Options { rate_limit: 2, proxy_from: networks(&["192.0.2.7"]), ..named.clone() },
            Options { udp_size: 4096, ..named.clone() },
            Options { udp_size: 512, allow: networks(&["192.0.2.0/25", "2001:db8::/32"]), ..named },
            // Texts of the maximum length.
            Options {
                version: vec![b'v'; 255],
                server_id: vec![b'i'; 255],
                ecs_from: trusted,
                ..cookies
            },
            Options { rate_limit: 1, rate_slip: 0, ..Options::default() },
        ]
    })
}
