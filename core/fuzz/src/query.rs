//! Fuzzer of the answer path: one packet, asked in many ways.
//!
//! Input: two octets of choices (see `Choices`), then the packet.

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
use _core::zone::rrset::POLICY_STICKY;
use crossbeam_epoch as epoch;

use super::check::check;
use super::expected::{Asked, expected};
use super::message::{self, Record};
use super::packet::{self, Read};
use super::world::{NOW, world};

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
    let mut packet = packet.to_vec();
    let (start, client) = choices.unwrap(&packet);
    if let (Some(start), Some((secret, age))) = (start, choices.proof) {
        prove(&mut packet[start..], client, secret, age);
    }
    let (transport, options) = (choices.transport, choices.options);
    let asked = Asked { client, transport, options, model: &world().model, now: NOW };
    let mut servers = Servers::new();
    let mut replies = Vec::new();
    for turn in 0..if options.rate_limit > 0 { TIMES } else { 2 } {
        let reply = servers.ask(turn, &choices, &packet);
        match start {
            Some(start) => check(&packet[start..], &reply, &asked),
            None => assert!(reply.is_empty(), "a reply to a packet without a PROXY header"),
        }
        replies.push(reply);
    }
    if let Some(start) = start
        && options.rate_limit == 0
    {
        check_choice(&packet[start..], &replies, &asked);
    }
}

impl Choices {
    /// Where in a packet the message begins, if it does, and who sent it.
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

/// Make the server's part of a cookie in the message right.
fn prove(message: &mut [u8], client: IpAddr, secret: usize, age: u32) {
    let Read::Query(query) = packet::read(message) else { return };
    let cookie = query.edns.as_ref().and_then(|edns| edns.cookie);
    let Some(cookie) = cookie.filter(|cookie| cookie.len() == cookie::FULL) else { return };
    let proven = cookie::make(&SECRETS[secret], cookie, client, UNIX - age);
    let at = cookie.as_ptr().addr() - message.as_ptr().addr();
    message[at..at + proven.len()].copy_from_slice(&proven);
}

/// A client gets the same records from all servers, where its policy says so.
fn check_choice(message: &[u8], replies: &[Vec<u8>], asked: &Asked<'_>) {
    let Read::Query(query) = packet::read(message) else { return };
    let found = expected(&query, asked).found;
    let set = found.and_then(|(_, owner, zone, rtype)| zone.get(&owner, rtype, asked.now));
    if set.is_none_or(|set| set.policy < POLICY_STICKY) {
        return;
    }
    let answers: Vec<_> = replies.iter().map(|reply| answer(reply)).collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:02x?}");
}

fn answer(reply: &[u8]) -> Vec<Record> {
    let [answer, ..] = message::read(reply).expect("checked before").sections;
    answer
}

/// Two servers with the same zones and limits.
struct Servers {
    responders: [Responder; 2],
    buffer: Vec<u8>,
    boot: u64,
}

impl Servers {
    fn new() -> Servers {
        /// Each input is asked minutes after the last, when all limits are as at the start.
        static BOOT: AtomicU64 = AtomicU64::new(NOW);
        Servers {
            responders: [1, 2].map(|seed| Responder::new(Arc::new(Counters::default()), seed)),
            // Not 0: what is not written shows.
            buffer: vec![0xaa; MAX_MESSAGE],
            boot: BOOT.fetch_add(100_000_000_000, Relaxed),
        }
    }

    /// One of the servers' reply to a packet; empty if it sends none.
    fn ask(&mut self, turn: usize, choices: &Choices, packet: &[u8]) -> Vec<u8> {
        let guard = &epoch::pin();
        let clock = Clock { boot: self.boot, unix: UNIX };
        let options = choices.options;
        let batch =
            RequestContext { options, ..RequestContext::new(&world().shared, clock, guard) };
        let size = match choices.transport {
            Transport::Udp => ANSWER_SIZE,
            Transport::Tcp => MAX_MESSAGE,
        };
        let buffer = &mut self.buffer[..size];
        let length = self.responders[turn % 2].respond(
            batch,
            packet,
            choices.peer,
            choices.transport,
            buffer,
        );
        buffer[..length].to_vec()
    }
}

/// Options of servers.
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
            // As long as they may be.
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
