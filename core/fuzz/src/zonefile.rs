//! Fuzzer of zone files, and of answers from their records.
//!
//! Input, separated by zero bytes: the text, the text of the file `a`, the text of the file `b`, and an
//! index of `APEXES`.

use std::sync::Arc;

use _core::answer::Responder;
use _core::counters::Counters;
use _core::message::wire::MAX_MESSAGE;
use _core::net::udp::ANSWER_SIZE;
use _core::options::Options;
use _core::rdata_text::{check_name, is_under};
use _core::request::{Clock, RequestContext, Transport};
use _core::shared::Shared;
use _core::zone::declared::State;
use _core::zone::rrset::Policy;
use _core::zonefile::{MAX_PROBLEMS, Parsed};
use crossbeam_epoch as epoch;

use super::check::check;
use super::expected::Asked;
use super::message::{ANY, DS, labels};
use super::model::{Model, Set};
use super::world::{load, missing, read};

const APEXES: [&[u8]; 3] = [b"\x00", b"\x01a\x01b\x00", b"\x07example\x03org\x00"];
/// Most includes, in all: the limit of the core is meant for files on disk.
const MAX_INCLUDES: usize = 50;
/// Most RRsets that are queried.
const MAX_QUERIED: usize = 16;

/// Parses a zone file and queries its records; panics on a wrong result.
pub fn run(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let [text, a, b] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let choice = parts.next().and_then(|part| part.first()).map_or(2, |byte| *byte);
    let apex = APEXES[usize::from(choice) % APEXES.len()];
    let mut included = 0;
    let parsed = read(text, apex, &mut |name| {
        included += 1;
        match name {
            _ if included > MAX_INCLUDES => Err(missing()),
            "a" => Ok(a.to_vec()),
            "b" => Ok(b.to_vec()),
            _ => Err(missing()),
        }
    });
    check_parsed(&parsed, apex);
    query(&parsed, apex);
}

fn check_parsed(parsed: &Parsed, apex: &[u8]) {
    assert!(parsed.problems.len() <= MAX_PROBLEMS + 1);
    for (owner, rtype, packed) in &parsed.rrsets {
        assert_eq!(check_name(owner), Ok(()));
        assert!(is_under(owner, apex), "{owner:02x?} is outside");
        let set = Set::unpack(packed);
        assert_eq!(set.rdatas.len(), usize::from(u16::from_be_bytes([packed[14], packed[15]])));
        assert_eq!(set.ttl >> 31, 0, "RFC 2181 section 8");
        assert_eq!((set.expires, set.policy), (0, Policy::All), "type {rtype}");
    }
    for (_, _, origin, owner, ttl, kind, _) in &parsed.foreign {
        assert_eq!(check_name(origin), Ok(()));
        assert!(check_name(owner).is_ok() && is_under(owner, apex) && *ttl >> 31 == 0, "{kind}");
    }
    for (file, line, why) in &parsed.problems {
        assert!(
            parsed.files.contains(file) && *line > 0 && !why.is_empty(),
            "{file}:{line}: {why}"
        );
    }
}

/// Loads the zone, and queries some of its RRsets and names below them.
fn query(parsed: &Parsed, apex: &[u8]) {
    thread_local!(static SHARED: Shared = Shared::new(7));
    SHARED.with(|shared| {
        let mut model = Model::default();
        load(&shared.zones, &mut model, &labels(apex), State::Live, &parsed.rrsets);
        query_rrsets(parsed, &mut Client::new(shared, &model));
        shared.zones.drop_zone(apex);
    });
}

fn query_rrsets(parsed: &Parsed, client: &mut Client<'_>) {
    let step = parsed.rrsets.len().div_ceil(MAX_QUERIED).max(1);
    let types = parsed.rrsets.iter().map(|rrset| rrset.1);
    let next = types.clone().chain(types).skip(1);
    for ((owner, rtype, _), next) in parsed.rrsets.iter().zip(next).step_by(step) {
        let below = [b"\x01x", &owner[..]].concat();
        let (own, other) = ((owner, *rtype), (owner, next));
        for (name, rtype) in [own, other, (owner, ANY), (owner, DS), (&below, *rtype)] {
            client.query(name, rtype);
        }
    }
}

struct Client<'w> {
    shared: &'w Shared,
    model: &'w Model,
    options: Options,
    responder: Responder,
    buffer: Vec<u8>,
}

impl<'w> Client<'w> {
    fn new(shared: &'w Shared, model: &'w Model) -> Client<'w> {
        Client {
            shared,
            model,
            options: Options::default(),
            responder: Responder::new(Arc::new(Counters::default()), 1),
            buffer: vec![0xaa; MAX_MESSAGE],
        }
    }

    /// Queries over UDP without and with EDNS, and over TCP.
    fn query(&mut self, name: &[u8], rtype: u16) {
        if name.len() > 255 {
            return;
        }
        let question = [name, &rtype.to_be_bytes(), &[0, 1]].concat();
        let plain = [b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", &question[..]].concat();
        let mut edns = [&plain[..], b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"].concat();
        edns[11] = 1;
        self.send(&plain, Transport::Udp, ANSWER_SIZE);
        self.send(&edns, Transport::Udp, ANSWER_SIZE);
        self.send(&edns, Transport::Tcp, MAX_MESSAGE);
    }

    fn send(&mut self, packet: &[u8], transport: Transport, size: usize) {
        let (guard, client) = (&epoch::pin(), [192, 0, 2, 1].into());
        let options = &self.options;
        let context =
            RequestContext { options, ..RequestContext::new(self.shared, Clock::default(), guard) };
        let buffer = &mut self.buffer[..size];
        let outcome = self.responder.respond(context, packet, client, transport, buffer);
        let (options, model) = (&self.options, self.model);
        let asked = Asked { client, transport, options, model, now: 0 };
        check(packet, outcome.answer(buffer), &asked);
    }
}
