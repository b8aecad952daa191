//! Fuzzer of zone files, and of the answers from what they hold.
//!
//! Input: the text; after a zero octet that of the file `a`, after another that of `b`, after a third
//! the apex, as a number from the end of `APEXES`.

use std::sync::Arc;

use _core::answer::Responder;
use _core::counters::Counters;
use _core::message::wire::MAX_MESSAGE;
use _core::net::udp::ANSWER_SIZE;
use _core::options::Options;
use _core::rdata_text::{check_name, is_under};
use _core::request::{Clock, RequestContext, Transport};
use _core::shared::Shared;
use _core::zone::rrset::POLICY_ALL;
use _core::zone::zones::STATE_LIVE;
use _core::zonefile::{MAX_PROBLEMS, Parsed};
use crossbeam_epoch as epoch;

use super::check::check;
use super::expected::Asked;
use super::message::{ANY, DS, labels};
use super::model::{Model, Set};
use super::world::{load, missing, read};

const APEXES: [&[u8]; 3] = [b"\x00", b"\x01a\x01b\x00", b"\x07example\x03org\x00"];
/// Times that a file is included, in all: the bound of the core is for files on disk.
const MAX_INCLUDES: usize = 50;
/// RRsets that are asked for.
const MAX_ASKED: usize = 16;

/// Read a zone file and ask for what it holds; panic if something is wrong.
pub fn run(data: &[u8]) {
    let mut parts = data.split(|octet| *octet == 0);
    let [text, a, b] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let choice = parts.next().and_then(|part| part.first()).map_or(2, |octet| *octet);
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
    ask(&parsed, apex);
}

fn check_parsed(parsed: &Parsed, apex: &[u8]) {
    assert!(parsed.problems.len() <= MAX_PROBLEMS + 1);
    for (owner, rtype, packed) in &parsed.rrsets {
        assert_eq!(check_name(owner), Ok(()));
        assert!(is_under(owner, apex), "{owner:02x?} is outside");
        let set = Set::unpack(packed);
        assert_eq!(set.rdatas.len(), usize::from(u16::from_be_bytes([packed[14], packed[15]])));
        assert_eq!(set.ttl >> 31, 0, "RFC 2181 section 8");
        assert_eq!((set.expires, set.policy), (0, POLICY_ALL), "type {rtype}");
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

/// Load the zone, and ask for some RRsets and for names below them.
fn ask(parsed: &Parsed, apex: &[u8]) {
    thread_local!(static SHARED: Shared = Shared::new(7));
    SHARED.with(|shared| {
        let mut model = Model::default();
        load(&shared.zones, &mut model, &labels(apex), STATE_LIVE, &parsed.rrsets);
        ask_for(parsed, &mut Client::new(shared, &model));
        shared.zones.drop_zone(apex);
    });
}

fn ask_for(parsed: &Parsed, client: &mut Client<'_>) {
    let step = parsed.rrsets.len().div_ceil(MAX_ASKED).max(1);
    let types = parsed.rrsets.iter().map(|rrset| rrset.1);
    let next = types.clone().chain(types).skip(1);
    for ((owner, rtype, _), next) in parsed.rrsets.iter().zip(next).step_by(step) {
        let below = [b"\x01x", &owner[..]].concat();
        let (own, other) = ((owner, *rtype), (owner, next));
        for (name, rtype) in [own, other, (owner, ANY), (owner, DS), (&below, *rtype)] {
            client.ask(name, rtype);
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

    /// Ask over UDP without and with EDNS, and over TCP.
    fn ask(&mut self, name: &[u8], rtype: u16) {
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
        let batch =
            RequestContext { options, ..RequestContext::new(self.shared, Clock::default(), guard) };
        let buffer = &mut self.buffer[..size];
        let length = self.responder.respond(batch, packet, client, transport, buffer);
        let (options, model) = (&self.options, self.model);
        let asked = Asked { client, transport, options, model, now: 0 };
        check(packet, &buffer[..length], &asked);
    }
}
