//! Answers queries without sockets, so that callgrind can count instructions:
//!
//! `cargo run --release --no-default-features --example answer -- --queries 20000 [--features]`
//!
//! The zone and the queries are those of the benchmarks: 10,000 hosts; 80 % A, 10 % SRV, 10 % unknown
//! names; with EDNS. `--features` turns on the policy `sticky`, cookies (each client has proven its
//! address) and rate limiting, which no client exceeds. `--addresses N` gives each host N addresses
//! instead of one.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use _core::answer::Responder;
use _core::cookie::{self, Secret};
use _core::message::wire::rtype;
use _core::net::udp::ANSWER_SIZE;
use _core::options::Options;
use _core::request::{Outcome, RequestContext, Transport, clock};
use _core::shared::Shared;
use _core::zone::declared::State;
use _core::zone::policy::Random;
use _core::zone::rrset::{Policy, pack};
use crossbeam_epoch as epoch;

const APEX: &[u8] = b"\x05bench\x04test\x00";
const HOSTS: usize = 10_000;
const SERVICES: usize = 1000;
const TTL: u32 = 300;
/// Number of different queries. They are made first and then repeated, because making them is not
/// part of the measurement.
const QUERIES: usize = 1 << 14;
/// Packets per batch, as in a worker.
const BATCH: usize = 64;
const SEED: u64 = 2026;
const SECRET: Secret = [7; 16];
const USAGE: &str = "usage: answer --queries N [--features] [--addresses 1..16]";

/// The arguments of the command line.
struct Arguments {
    queries: usize,
    features: bool,
    addresses: usize,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
        let mut out = Arguments { queries: 0, features: false, addresses: 1 };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--queries" => out.queries = words.next()?.parse().ok()?,
                "--addresses" => out.addresses = words.next()?.parse().ok()?,
                "--features" => out.features = true,
                _ => return None,
            }
        }
        (out.queries > 0 && (1..=16).contains(&out.addresses)).then_some(out)
    }
}

/// A packet and its sender.
struct Query {
    packet: Vec<u8>,
    client: IpAddr,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let shared = Shared::new(SEED);
    fill(&shared, &arguments);
    if arguments.features {
        let secrets = vec![SECRET];
        shared.configure(Options {
            cookies: true,
            secrets,
            rate_limit: 1_000_000,
            ..Options::default()
        });
    }
    let queries = questions(arguments.features);
    let (answered, bytes) = answer(&shared, &queries, arguments.queries);
    println!("{answered} answered, {:.1} bytes each", bytes as f64 / answered.max(1) as f64);
    ExitCode::SUCCESS
}

fn name(labels: &[&str]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(label.len() as u8);
        name.extend(label.as_bytes());
    }
    name.extend(APEX);
    name
}

fn host(number: usize) -> Vec<u8> {
    name(&[&format!("h{number:04}")])
}

fn service(number: usize) -> Vec<u8> {
    name(&["_http", "_tcp", &format!("s{number:04}")])
}

/// Fills the zone.
fn fill(shared: &Shared, arguments: &Arguments) {
    let policy = |mut packed: Vec<u8>| {
        if arguments.features {
            packed[12] = Policy::Sticky as u8;
        }
        packed
    };
    let soa = [&name(&["ns"])[..], &name(&["hostmaster"]), &[0; 16], &TTL.to_be_bytes()].concat();
    let mut rrsets = vec![
        (APEX.to_vec(), rtype::SOA, pack(TTL, &[(1, &soa)])),
        (APEX.to_vec(), rtype::NS, pack(TTL, &[(1, &name(&["ns"]))])),
        (name(&["ns"]), rtype::A, pack(TTL, &[(1, &[127, 0, 0, 1])])),
    ];
    for number in 0..HOSTS {
        let address = |which| [10, which as u8, (number >> 8) as u8, number as u8];
        let addresses: Vec<[u8; 4]> = (0..arguments.addresses).map(address).collect();
        let records: Vec<_> = addresses.iter().map(|address| (1, &address[..])).collect();
        rrsets.push((host(number), rtype::A, policy(pack(TTL, &records))));
    }
    for number in 0..SERVICES {
        let rdata = [&[0, 0, 0, 10, 0x1f, 0x90][..], &host(number)].concat();
        rrsets.push((service(number), rtype::SRV, policy(pack(TTL, &[(10, &rdata)]))));
    }
    shared.zones.add(APEX);
    shared.zones.set_state(APEX, State::Live);
    let changes: Vec<_> = rrsets
        .iter()
        .map(|(owner, rtype, set)| (APEX, &owner[..], *rtype, Some(&set[..])))
        .collect();
    assert_eq!(shared.zones.apply(&changes), []);
}

/// Creates the queries, each from a different client.
fn questions(cookies: bool) -> Vec<Query> {
    let mut random = Random::new(SEED);
    let now = clock().unix;
    let mut query = |index: usize| {
        let number = random.below(HOSTS);
        let (name, rtype) = match random.below(10) {
            0 => (service(number % SERVICES), rtype::SRV),
            1 => (name(&[&format!("x{number:04}")]), rtype::A),
            _ => (host(number), rtype::A),
        };
        let client = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + index as u32 * 77));
        let option = |cookie: &[u8]| [&[0, 10, 0, cookie.len() as u8], cookie].concat();
        let cookie = cookie::make(&SECRET, b"clientck", client, now);
        let option = if cookies { option(&cookie) } else { Vec::new() };
        let packet = [
            &(index as u16).to_be_bytes()[..],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 1],
            &name,
            &rtype.to_be_bytes(),
            &[0, 1],
            &[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, option.len() as u8],
            &option,
        ];
        Query { packet: packet.concat(), client }
    };
    (0..QUERIES).map(&mut query).collect()
}

/// Answers `count` queries as a worker does; returns the number and the bytes of the answers.
fn answer(shared: &Shared, queries: &[Query], count: usize) -> (usize, usize) {
    let mut responder = Responder::new(shared.zones.workers.new_counters(), SEED);
    let mut buffer = [0; ANSWER_SIZE];
    let (mut answered, mut bytes, mut left) = (0, 0, count);
    for batch in queries.chunks(BATCH).cycle() {
        let queries = &batch[..batch.len().min(left)];
        let guard = &epoch::pin();
        let context = RequestContext::new(shared, clock(), guard);
        for Query { packet, client } in queries {
            let outcome = responder.respond(context, packet, *client, Transport::Udp, &mut buffer);
            if let Outcome::Send(length) = outcome {
                answered += 1;
                bytes += length;
            }
        }
        responder.counters.replied(Transport::Udp, context.clock.boot, queries.len() as u64);
        left -= queries.len();
        if left == 0 {
            break;
        }
    }
    (answered, bytes)
}
