//! Answers from the zones: the algorithm of an authoritative server.
//!
//! Nothing here waits, takes a lock, allocates memory or calls Python.

use arrayvec::ArrayVec;

use crate::counters::{Counter, Counters};
use crate::message::reply::{NameRef, Reply, Section, Targets};
use crate::message::wire::{self, Name, RECORD_HEADER, ede, rcode, rtype};
use crate::request::RequestContext;
use crate::zone::lookup::Lookup;
use crate::zone::policy::Selector;
use crate::zone::rrset::RRset;
use crate::zone::table::Node;
use crate::zone::zones::{State, Zone};

/// Aliases followed for one answer.
const MAX_CHAIN: usize = 16;

/// Answers a question from the zones.
pub struct Authority<'r, 'c> {
    pub context: &'r RequestContext<'c>,
    pub selector: &'r mut Selector,
    pub counters: &'r Counters,
}

impl Authority<'_, '_> {
    /// Answers from the zones by the algorithm of RFC 1034 section 4.3.2, with wildcards as in RFC
    /// 4592.
    #[inline]
    pub fn answer(&mut self, rtype: u16, question: &Name, reply: &mut Reply<'_>) {
        let (zones, guard) = (&self.context.shared.zones, self.context.guard);
        let Some(mut zone) = zones.find_for(question, rtype, guard) else {
            return reply.fail(rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE));
        };
        let mut owner = NameRef::Question;
        let mut target: Name;
        let mut name = question;
        let mut seen = ArrayVec::<u64, MAX_CHAIN>::new();
        for _ in 0..MAX_CHAIN {
            let state = zone.state();
            if self.context.lapsed || matches!(state, State::Stale | State::Restoring) {
                reply.set_ede(ede::STALE);
            }
            match zones.look_up(zone, name, rtype, self.context.clock.boot, guard) {
                Lookup::Answer(node, rrset) => {
                    reply.set_authoritative();
                    reply.set_subject(node.hash());
                    return self.answer_with(node, rrset, (owner, name), reply);
                }
                Lookup::Alias(node, cname) => {
                    reply.set_authoritative();
                    reply.set_subject(node.hash());
                    let next = Name::read(cname.rdata(0));
                    let written = self.put_rrset(node, cname, owner, Section::Answer, reply, None);
                    let (true, Some(next)) = (written, next) else { return };
                    seen.push(zones.hash(name.wire()));
                    target = next;
                    name = &target;
                    let looped = seen.contains(&zones.hash(name.wire()));
                    let inside = zones.find_for(name, rtype, guard);
                    let (false, Some(next)) = (looped, inside) else { return };
                    owner = NameRef::at(reply.rdata_at(), cname.rdata(0));
                    zone = next;
                }
                Lookup::Cut(node, ns) => {
                    reply.set_subject(node.hash());
                    let skip = name.wire().len() - node.name().len();
                    return self.referral(node, ns, owner.suffix(skip, node.name()), reply);
                }
                Lookup::NoData | Lookup::NoName
                    if matches!(state, State::Loading | State::Restoring) =>
                {
                    return reply.replace_with_error(rcode::SERVFAIL, Some(ede::NOT_READY));
                }
                lookup @ (Lookup::NoData | Lookup::NoName) => {
                    reply.set_authoritative();
                    if matches!(lookup, Lookup::NoName) {
                        reply.set_rcode(rcode::NXDOMAIN);
                    } else {
                        self.counters.count(Counter::NoData);
                    }
                    let skip = name.wire().len() - zone.apex().len();
                    return self.negative(zone, owner.suffix(skip, zone.apex()), reply);
                }
            }
        }
    }

    /// Writes the RRset asked for, then the addresses of its targets.
    #[inline]
    fn answer_with(
        &mut self, node: &Node, rrset: RRset<'_>, (owner, name): (NameRef<'_>, &Name),
        reply: &mut Reply<'_>,
    ) {
        if !Targets::exist_for(rrset.rtype()) {
            self.put_rrset(node, rrset, owner, Section::Answer, reply, None);
            return;
        }
        let mut targets = Targets::default();
        if self.put_rrset(node, rrset, owner, Section::Answer, reply, Some(&mut targets)) {
            if targets.owner {
                targets.remove(name.wire());
            }
            let fits = !targets.owner || self.put_addresses(node, owner, reply);
            let _ = fits && self.put_target_addresses(&targets, reply);
        }
    }

    /// Writes the SOA record of a negative answer, with the TTL of the denial (RFC 2308 sections 3
    /// and 5).
    fn negative(&mut self, zone: &Zone, owner: NameRef<'_>, reply: &mut Reply<'_>) {
        let zones = &self.context.shared.zones;
        reply.set_subject(zones.hash(zone.apex()));
        let apex = zones.node(zone, zone.apex(), self.context.guard);
        let soa =
            apex.and_then(|node| Some((node, node.get(rtype::SOA, self.context.clock.boot)?)));
        let Some((node, soa)) = soa else { return };
        if self.put_rrset(node, soa, owner, Section::Authority, reply, None) {
            let rdata = soa.rdata(0);
            let minimum = wire::u32_at(rdata, rdata.len().saturating_sub(4));
            reply.set_ttl(soa.ttl().min(minimum));
        }
    }

    /// Writes a referral: NS records and their glue. Missing glue truncates it (RFC 9471 section 3).
    fn referral(&mut self, node: &Node, ns: RRset<'_>, owner: NameRef<'_>, reply: &mut Reply<'_>) {
        let mut targets = Targets::default();
        if !self.put_rrset(node, ns, owner, Section::Authority, reply, Some(&mut targets)) {
            return;
        }
        let complete = self.put_target_addresses(&targets, reply);
        let below = |name: &[u8]| {
            let end = name.len().checked_sub(node.name().len());
            end.is_some_and(|at| name[at..].eq_ignore_ascii_case(node.name()))
        };
        if !complete && targets.iter().any(|(name, _)| below(name)) {
            reply.set_truncated();
        }
    }

    /// Writes the addresses of targets in our zones; returns false if they do not all fit.
    fn put_target_addresses(&mut self, targets: &Targets<'_>, reply: &mut Reply<'_>) -> bool {
        let (zones, guard) = (&self.context.shared.zones, self.context.guard);
        for (target, at) in targets.iter() {
            let Some(name) = Name::read(target) else { continue };
            let Some(zone) = zones.find(&name, 0, guard) else { continue };
            let Some(node) = zones.node(zone, name.wire(), guard) else { continue };
            if !self.put_addresses(node, NameRef::at(at, target), reply) {
                return false;
            }
        }
        true
    }

    /// Writes the addresses of an owner name as whole RRsets; returns false if they do not all fit.
    fn put_addresses(&mut self, node: &Node, owner: NameRef<'_>, reply: &mut Reply<'_>) -> bool {
        for rrset in node.rrsets() {
            let address = matches!(rrset.rtype(), rtype::A | rtype::AAAA);
            if !address || !rrset.live(self.context.clock.boot) {
                continue;
            }
            let mark = reply.mark();
            if !self.put_rrset(node, rrset, owner, Section::Additional, reply, None) {
                reply.rewind(mark);
                return false;
            }
        }
        true
    }

    /// Writes the records that the policy selects; returns false if they do not all fit.
    #[inline]
    fn put_rrset<'g>(
        &mut self, node: &'g Node, rrset: RRset<'g>, owner: NameRef<'_>, section: Section,
        reply: &mut Reply<'_>, mut targets: Option<&mut Targets<'g>>,
    ) -> bool {
        reply.add_tailored(rrset.policy().depends_on_client());
        for &index in self.selector.select(&rrset, &node.turn, reply.client()) {
            let record = rrset.record(usize::from(index));
            if !reply.put_record(section, owner, rrset.rtype(), record) {
                return false;
            }
            if let Some(targets) = &mut targets {
                targets.add(rrset.rtype(), &record[RECORD_HEADER..], reply.rdata_at());
            }
        }
        true
    }
}
