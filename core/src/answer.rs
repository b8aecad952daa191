//! From a query to its answer: the way of a packet, without the sockets.
//!
//! Nothing here waits, locks, allocates or calls Python.

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::cookie::{self, Verdict};
use crate::counters::{Counter, Counters};
use crate::hash::mix;
use crate::message::proxy::{Proxy, proxy_header};
use crate::message::query::{self, AA, Edns, Packet, QR, Query, Question, RD, TC};
use crate::message::reply::{Owner, Reply, Section, Tail, Targets, put_text};
use crate::message::wire::{
    self, CLASS_CH, CLASS_IN, HEADER, MAX_MESSAGE, Name, Out, RECORD_HEADER, ede, rcode, rtype,
};
use crate::networks::prefix;
use crate::options::Options;
use crate::rate;
use crate::request::{Client, RequestContext, Transport};
use crate::zone::lookup::Lookup;
use crate::zone::policy::Chooser;
use crate::zone::rrset::{POLICY_STICKY, RRset};
use crate::zone::table::Node;
use crate::zone::zones::{STATE_LOADING, STATE_RESTORING, STATE_STALE, Zone};

/// Largest answer to a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_SIZE: usize = 512;
/// CNAMEs followed for one answer.
const MAX_CHAIN: usize = 16;

/// One worker's means to answer.
pub struct Responder {
    pub counters: Arc<Counters>,
    chooser: Chooser,
}

impl Responder {
    /// For the thread that will own it; `seed` should be random.
    pub fn new(counters: Arc<Counters>, seed: u64) -> Responder {
        Responder { counters, chooser: Chooser::new(seed) }
    }

    /// Answer one packet into `buffer`; returns the octets to send, 0 for none.
    ///
    /// A UDP packet may begin with a PROXY header; over TCP its connection did, and `peer` is the
    /// client already.
    pub fn respond(
        &mut self, batch: RequestContext<'_>, packet: &[u8], peer: IpAddr, transport: Transport,
        buffer: &mut [u8],
    ) -> usize {
        let peer = peer.to_canonical();
        let proxies = &batch.options.proxy_from;
        let (packet, address) = if transport == Transport::Udp && proxies.contains(peer) {
            match proxy_header(packet) {
                Proxy::Header(length, client) => (&packet[length..], client.unwrap_or(peer)),
                Proxy::Partial | Proxy::Wrong => {
                    self.counters.count(Counter::ProxyBad);
                    return 0;
                }
            }
        } else {
            (packet, peer)
        };
        self.counters.count(match transport {
            Transport::Udp => Counter::Udp,
            Transport::Tcp => Counter::Tcp,
        });
        let client = Client { address, transport };
        let mut name = Name::default();
        match query::read(packet, &mut name) {
            Packet::Silent => {
                self.counters.count(Counter::Silent);
                0
            }
            Packet::Malformed => self.header_only(batch, packet, rcode::FORMERR, client, buffer),
            Packet::NotQuery => self.header_only(batch, packet, rcode::NOTIMP, client, buffer),
            Packet::Query(query) => self.answer(batch, packet, &query, &name, client, buffer),
        }
    }

    /// A header with a response code and nothing else (RFC 8906 sections 3.1.4 and 8.1.4).
    fn header_only(
        &mut self, batch: RequestContext<'_>, packet: &[u8], rcode: u16, client: Client,
        buffer: &mut [u8],
    ) -> usize {
        if self.limit(batch, client, u64::from(rcode)) != rate::Verdict::Send {
            self.counters.count(Counter::RateDropped);
            return 0;
        }
        self.count_rcode(rcode);
        let flags = QR | (wire::u16_at(packet, 2) & (query::OPCODE | RD)) | rcode;
        let mut out = Out::new(buffer, HEADER);
        out.put(&packet[..2]);
        out.put_u16(flags);
        out.put(&[0; 8]);
        out.written()
    }

    fn answer(
        &mut self, batch: RequestContext<'_>, packet: &[u8], query: &Query<'_>, name: &Name,
        client: Client, buffer: &mut [u8],
    ) -> usize {
        let RequestContext { options, clock, .. } = batch;
        let edns = query.edns.as_ref();
        let cookie = self.check_cookie(batch, edns, client.address);
        let tail = Tail::new(options, edns, cookie, client.address, client.transport, clock.unix);
        let limit = size_limit(options, edns, client.transport);
        let question = query.question.map_or(0, |_| name.wire().len() + 4);
        let mut reply = Reply {
            out: Out::new(buffer, limit),
            flags: QR | (wire::u16_at(packet, 2) & RD),
            rcode: rcode::NOERROR,
            ede: None,
            counts: [0; 3],
            asked: question.saturating_sub(4),
            rdata_at: 0,
            client: tail.client(client.address),
            tailored: false,
            subject: 0,
        };
        reply.out.put(&packet[..HEADER + question]);
        // Records end where the OPT record begins. If both a long name and a long NSID are asked for, the
        // latter is what does not fit.
        reply.out.set_limit(limit - tail.reserved());
        if cookie == Some(Verdict::Malformed) || tail.malformed {
            reply.rcode = rcode::FORMERR;
        } else if edns.is_some_and(|edns| edns.version > 0) {
            reply.rcode = rcode::BADVERS;
        } else if !options.allow.contains(client.address) {
            self.counters.count(Counter::Denied);
            reply.fail(rcode::REFUSED, Some(ede::PROHIBITED));
        } else if let Some(question) = query.question {
            self.count_type(question.rtype);
            self.ask(batch, question, name, &mut reply);
        }
        if !matches!(cookie, Some(Verdict::Proven { .. })) {
            let like = reply.subject ^ (u64::from(reply.rcode) << 32);
            let verdict = self.limit(batch, client, like);
            if !self.restrain(verdict, cookie.is_some(), &mut reply) {
                return 0;
            }
        }
        self.count_rcode(reply.rcode);
        if reply.flags & TC != 0 {
            self.counters.count(Counter::Truncated);
        }
        reply.out.set_limit(limit);
        reply.finish(&tail)
    }

    /// Cut down an answer over the rate limit; false if none is sent at all.
    fn restrain(&mut self, verdict: rate::Verdict, cookie: bool, reply: &mut Reply<'_>) -> bool {
        if verdict == rate::Verdict::Send {
            return true;
        }
        reply.empty();
        if cookie {
            // Small, and it tells a client how to be let through (RFC 7873 section 5.2.3).
            reply.fail(rcode::BADCOOKIE, None);
            reply.flags &= !AA;
            return true;
        }
        let slips = verdict == rate::Verdict::Slip;
        self.counters.count(if slips { Counter::RateSlipped } else { Counter::RateDropped });
        reply.flags |= TC;
        slips
    }

    fn check_cookie(
        &self, batch: RequestContext<'_>, edns: Option<&Edns<'_>>, client: IpAddr,
    ) -> Option<Verdict> {
        let cookie = edns?.cookie.filter(|_| batch.options.cookies)?;
        let verdict = cookie::check(&batch.options.secrets, cookie, client, batch.clock.unix);
        match verdict {
            Verdict::Proven { .. } => self.counters.count(Counter::CookieGood),
            _ if cookie.len() > 8 => self.counters.count(Counter::CookieBad),
            _ => {}
        }
        Some(verdict)
    }

    #[inline]
    fn limit(&mut self, batch: RequestContext<'_>, client: Client, like: u64) -> rate::Verdict {
        let options = batch.options;
        let free = options.rate_limit == 0
            || client.transport == Transport::Tcp
            || (!options.rate_exempt.is_empty() && options.rate_exempt.contains(client.address));
        if free {
            return rate::Verdict::Send;
        }
        let shared = batch.shared;
        let key = mix(prefix(client.address) ^ shared.seed, like ^ 0x4528_21e6_38d0_1377);
        let (now, chance) = (batch.clock.boot / 1_000_000, self.chooser.random.draw());
        shared.rate.check(key, now, options.rate_limit, options.rate_slip, chance)
    }

    /// Choose by class and type who answers.
    fn ask(
        &mut self, batch: RequestContext<'_>, question: Question, name: &Name,
        reply: &mut Reply<'_>,
    ) {
        match (question.class, question.rtype) {
            // Transfers are not offered; the others are never asked for.
            (_, rtype::AXFR | rtype::IXFR) => reply.fail(rcode::REFUSED, None),
            (_, rtype::OPT | rtype::TSIG | rtype::TKEY) => reply.fail(rcode::FORMERR, None),
            (CLASS_IN, rtype) => self.look_up(batch, rtype, name, reply),
            (CLASS_CH, rtype::TXT | rtype::ANY) => chaos(batch.options, name, reply),
            _ => reply.fail(rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE)),
        }
    }

    /// The algorithm of RFC 1034 section 4.3.2, with wildcards as in RFC 4592.
    fn look_up(
        &mut self, batch: RequestContext<'_>, rtype: u16, asked: &Name, reply: &mut Reply<'_>,
    ) {
        let (zones, guard) = (&batch.shared.zones, batch.guard);
        let Some(mut zone) = zones.find_for(asked, rtype, guard) else {
            return reply.fail(rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE));
        };
        let mut owner = Owner::Question;
        let mut target: Name;
        let mut name = asked;
        let mut seen = ArrayVec::<u64, MAX_CHAIN>::new();
        for _ in 0..MAX_CHAIN {
            let state = zone.state();
            if batch.lapsed || matches!(state, STATE_STALE | STATE_RESTORING) {
                reply.ede = Some(ede::STALE);
            }
            match zones.look_up(zone, name, rtype, batch.clock.boot, guard) {
                Lookup::Answer(node, rrset) => {
                    reply.flags |= AA;
                    reply.subject = node.hash();
                    return self.found(batch, node, rrset, (owner, name), reply);
                }
                Lookup::Alias(node, cname) => {
                    reply.flags |= AA;
                    reply.subject = node.hash();
                    let next = Name::read(cname.rdata(0));
                    let (true, Some(next)) =
                        (self.write(node, cname, owner, Section::Answer, reply, None), next)
                    else {
                        return;
                    };
                    seen.push(zones.hash(name.wire()));
                    target = next;
                    name = &target;
                    let looped = seen.contains(&zones.hash(name.wire()));
                    let inside = zones.find_for(name, rtype, guard);
                    let (false, Some(next)) = (looped, inside) else { return };
                    owner = Owner::at(reply.rdata_at, cname.rdata(0));
                    zone = next;
                }
                Lookup::Cut(node, ns) => {
                    reply.subject = node.hash();
                    let skip = name.wire().len() - node.name().len();
                    return self.refer(batch, node, ns, owner.end(skip, node.name()), reply);
                }
                Lookup::NoData | Lookup::NoName
                    if matches!(state, STATE_LOADING | STATE_RESTORING) =>
                {
                    reply.empty();
                    reply.flags &= !AA;
                    return reply.fail(rcode::SERVFAIL, Some(ede::NOT_READY));
                }
                lookup @ (Lookup::NoData | Lookup::NoName) => {
                    reply.flags |= AA;
                    if matches!(lookup, Lookup::NoName) {
                        reply.rcode = rcode::NXDOMAIN;
                    } else {
                        self.counters.count(Counter::NoData);
                    }
                    let skip = name.wire().len() - zone.apex().len();
                    return self.deny(batch, zone, owner.end(skip, zone.apex()), reply);
                }
            }
        }
    }

    /// Write what was asked for, then the addresses of what it names.
    #[inline]
    fn found(
        &mut self, batch: RequestContext<'_>, node: &Node, rrset: RRset<'_>,
        (owner, name): (Owner<'_>, &Name), reply: &mut Reply<'_>,
    ) {
        if !Targets::has(rrset.rtype()) {
            self.write(node, rrset, owner, Section::Answer, reply, None);
            return;
        }
        let mut targets = Targets::default();
        if self.write(node, rrset, owner, Section::Answer, reply, Some(&mut targets)) {
            if targets.owner {
                targets.forget(name.wire());
            }
            let fits = !targets.owner || self.add_node(batch, node, owner, reply);
            let _ = fits && self.add_addresses(batch, &targets, reply);
        }
    }

    /// SOA in the authority section, its TTL that of the denial (RFC 2308 sections 3 and 5).
    fn deny(
        &mut self, batch: RequestContext<'_>, zone: &Zone, owner: Owner<'_>, reply: &mut Reply<'_>,
    ) {
        let zones = &batch.shared.zones;
        reply.subject = zones.hash(zone.apex());
        let apex = zones.node(zone, zone.apex(), batch.guard);
        let soa = apex.and_then(|node| Some((node, node.get(rtype::SOA, batch.clock.boot)?)));
        let Some((node, soa)) = soa else { return };
        if self.write(node, soa, owner, Section::Authority, reply, None) {
            let rdata = soa.rdata(0);
            let minimum = wire::u32_at(rdata, rdata.len().saturating_sub(4));
            let ttl = soa.ttl().min(minimum);
            reply.out.set_u16(reply.rdata_at - 6, (ttl >> 16) as u16);
            reply.out.set_u16(reply.rdata_at - 4, ttl as u16);
        }
    }

    /// A referral: NS in the authority section and glue; without it, truncated (RFC 9471).
    fn refer(
        &mut self, batch: RequestContext<'_>, node: &Node, ns: RRset<'_>, owner: Owner<'_>,
        reply: &mut Reply<'_>,
    ) {
        let mut targets = Targets::default();
        if !self.write(node, ns, owner, Section::Authority, reply, Some(&mut targets)) {
            return;
        }
        let complete = self.add_addresses(batch, &targets, reply);
        let below = |name: &[u8]| {
            let end = name.len().checked_sub(node.name().len());
            end.is_some_and(|at| name[at..].eq_ignore_ascii_case(node.name()))
        };
        if !complete && targets.iter().any(|(name, _)| below(name)) {
            reply.flags |= TC;
        }
    }

    /// Addresses of targets in our zones; false if some did not fit.
    fn add_addresses(
        &mut self, batch: RequestContext<'_>, targets: &Targets<'_>, reply: &mut Reply<'_>,
    ) -> bool {
        let (zones, guard) = (&batch.shared.zones, batch.guard);
        for (target, at) in targets.iter() {
            let Some(name) = Name::read(target) else { continue };
            let Some(zone) = zones.find(&name, 0, guard) else { continue };
            let Some(node) = zones.node(zone, name.wire(), guard) else { continue };
            if !self.add_node(batch, node, Owner::at(at, target), reply) {
                return false;
            }
        }
        true
    }

    /// The addresses of an owner name; false if they do not fit.
    fn add_node(
        &mut self, batch: RequestContext<'_>, node: &Node, owner: Owner<'_>, reply: &mut Reply<'_>,
    ) -> bool {
        for rrset in node.rrsets() {
            let address = matches!(rrset.rtype(), rtype::A | rtype::AAAA);
            if !address || !rrset.live(batch.clock.boot) {
                continue;
            }
            let (length, counts) = (reply.out.written(), reply.counts);
            if !self.write(node, rrset, owner, Section::Additional, reply, None) {
                reply.out.cut(length);
                reply.counts = counts;
                return false;
            }
        }
        true
    }

    /// Write the records that the policy chooses; false if not all fit: then TC is set, except
    /// for the additional section.
    #[inline]
    fn write<'g>(
        &mut self, node: &'g Node, rrset: RRset<'g>, owner: Owner<'_>, section: Section,
        reply: &mut Reply<'_>, mut targets: Option<&mut Targets<'g>>,
    ) -> bool {
        reply.tailored |= rrset.policy() >= POLICY_STICKY;
        for &index in self.chooser.choose(&rrset, &node.turn, reply.client) {
            let start = reply.out.written();
            let record = rrset.record(usize::from(index));
            if !reply.put_record(owner, rrset.rtype(), record) {
                reply.out.cut(start);
                if section != Section::Additional {
                    reply.flags |= TC;
                }
                return false;
            }
            reply.counts[section as usize] += 1;
            if let Some(targets) = &mut targets {
                targets.add(rrset.rtype(), &record[RECORD_HEADER..], reply.rdata_at);
            }
        }
        true
    }

    fn count_type(&self, rtype: u16) {
        self.counters.count(match rtype {
            rtype::A => Counter::TypeA,
            rtype::AAAA => Counter::TypeAaaa,
            rtype::SRV => Counter::TypeSrv,
            rtype::PTR => Counter::TypePtr,
            rtype::TXT => Counter::TypeTxt,
            _ => Counter::TypeOther,
        });
    }

    fn count_rcode(&self, rcode: u16) {
        self.counters.count(match rcode {
            rcode::NOERROR => Counter::NoError,
            rcode::FORMERR => Counter::FormErr,
            rcode::NXDOMAIN => Counter::NxDomain,
            rcode::NOTIMP => Counter::NotImp,
            rcode::REFUSED => Counter::Refused,
            rcode::BADVERS => Counter::BadVers,
            rcode::BADCOOKIE => Counter::BadCookie,
            _ => Counter::ServFail,
        });
    }
}

/// The largest answer: over UDP what the client takes, up to what we send (RFC 6891 section 6.2.5).
fn size_limit(options: &Options, edns: Option<&Edns<'_>>, transport: Transport) -> usize {
    match (transport, edns) {
        (Transport::Tcp, _) => MAX_MESSAGE,
        (Transport::Udp, None) => PLAIN_SIZE,
        (Transport::Udp, Some(edns)) => usize::from(edns.size).clamp(PLAIN_SIZE, options.udp_size),
    }
}

/// Who this is, if it may be told: version.bind, id.server (RFC 4892) and their other names.
fn chaos(options: &Options, name: &Name, reply: &mut Reply<'_>) {
    let text = match name.wire() {
        b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => &options.version,
        b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => &options.server_id,
        _ => return reply.fail(rcode::REFUSED, None),
    };
    if text.is_empty() {
        return reply.fail(rcode::REFUSED, None);
    }
    reply.flags |= AA;
    put_text(reply, text);
}
