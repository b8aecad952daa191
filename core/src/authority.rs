//! Answers from the zones: the algorithm of an authoritative server.
//!
//! Nothing here waits, takes a lock, allocates memory or calls Python.

use arrayvec::ArrayVec;

use crate::counters::{Counter, Counters};
use crate::message::reply::{NameRef, Reply, Section};
use crate::message::targets::Targets;
use crate::message::wire::{self, MAX_NAME, Name, RECORD_HEADER, ede, rcode, rtype};
use crate::request::RequestContext;
use crate::zone::declared::{State, Zone};
use crate::zone::lookup::Lookup;
use crate::zone::name_index::{NameIndex, has_wildcard};
use crate::zone::policy::Selector;
use crate::zone::rrset::RRset;
use crate::zone::table::Node;
use crate::zone::wildcard_query::Matches;

/// Aliases followed for one answer.
const MAX_CHAIN: usize = 16;

/// The target of an alias, in the case in which it was written.
type Spelling = ArrayVec<u8, MAX_NAME>;

/// A CNAME or DNAME record with its owner name.
type Alias<'c> = (&'c Node, RRset<'c>);

/// Answers a question from the zones.
pub struct Authority<'r, 'c> {
    pub context: &'r RequestContext<'c>,
    pub selector: &'r mut Selector,
    pub counters: &'r Counters,
}

impl<'c> Authority<'_, 'c> {
    /// Answers from the zones by the algorithm of RFC 1034 section 4.3.2, with wildcards as in RFC
    /// 4592 and DNAME as in RFC 6672.
    #[inline]
    pub fn answer(&mut self, rtype: u16, question: &Name, reply: &mut Reply<'_>) {
        let zones = &self.context.shared.zones;
        let Some(zone) = zones.find_for(question, rtype, self.context.guard) else {
            return reply.fail(rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE));
        };
        let index = zone.index(self.context.guard);
        let done =
            index.is_some_and(|index| self.answer_wildcard(zone, index, rtype, question, reply));
        if !done
            && let Some(alias) = self.answer_from(zone, rtype, (NameRef::Question, question), reply)
        {
            self.follow(alias, rtype, question, reply);
        }
        self.counters.zones.count(zone.row(), reply.rcode());
    }

    /// Answers from one zone, unless the name is an alias: then returns the CNAME or DNAME record, with
    /// its owner.
    #[inline]
    fn answer_from(
        &mut self, zone: &'c Zone, rtype: u16, (owner, name): (NameRef<'_>, &Name),
        reply: &mut Reply<'_>,
    ) -> Option<Alias<'c>> {
        let zones = &self.context.shared.zones;
        let state = zone.state();
        if self.context.lapsed || matches!(state, State::Stale | State::Restoring) {
            reply.set_ede(ede::STALE);
        }
        let skip = |suffix: &[u8]| name.wire().len() - suffix.len();
        match zones.look_up(zone, name, rtype, self.context.clock.boot, self.context.guard) {
            Lookup::Answer(node, rrset) => {
                reply.set_authoritative();
                reply.set_subject(node.hash());
                self.answer_with(node, rrset, (owner, name), reply);
            }
            Lookup::Alias(node, alias) | Lookup::Redirect(node, alias) => {
                reply.set_authoritative();
                reply.set_subject(node.hash());
                return Some((node, alias));
            }
            Lookup::Cut(node, ns) => {
                reply.set_subject(node.hash());
                self.referral(node, ns, owner.suffix(skip(node.name()), node.name()), reply);
            }
            Lookup::NoData | Lookup::NoName
                if matches!(state, State::Loading | State::Restoring) =>
            {
                reply.replace_with_error(rcode::SERVFAIL, Some(ede::NOT_READY));
            }
            lookup @ (Lookup::NoData | Lookup::NoName) => {
                reply.set_authoritative();
                if matches!(lookup, Lookup::NoName) {
                    reply.set_rcode(rcode::NXDOMAIN);
                } else {
                    self.counters.count(Counter::NoData);
                }
                self.negative(zone, owner.suffix(skip(zone.apex()), zone.apex()), reply);
            }
        }
        None
    }

    /// Answers a question with wildcard labels from the names that match. Returns false, with nothing
    /// done, if it has none, or if no name matches.
    // It calls no function that a question without wildcards calls once, because these are inlined.
    #[cold]
    #[inline(never)]
    fn answer_wildcard(
        &mut self, zone: &'c Zone, index: &'c NameIndex, rtype: u16, question: &Name,
        reply: &mut Reply<'_>,
    ) -> bool {
        if !has_wildcard(question, zone.apex().len()) {
            return false;
        }
        let RequestContext { shared, clock, guard, .. } = *self.context;
        let mut merger = std::mem::take(&mut self.selector.merger);
        let place = (zone, index);
        let found =
            shared.zones.match_wildcard(place, question, rtype, clock.boot, guard, &mut merger);
        let matched = !matches!(found, Matches::NoName);
        match found {
            Matches::NoName => {}
            Matches::NoData => {
                // The apex has no record of this type, either.
                if let Some(apex) = Name::read(zone.apex()) {
                    self.answer_from(zone, 0, (NameRef::Name(zone.apex()), &apex), reply);
                }
            }
            Matches::Alias(node, cname) => {
                self.begin_wildcard(zone, reply);
                self.follow((node, cname), rtype, question, reply);
            }
            Matches::Merged(node) => {
                self.begin_wildcard(zone, reply);
                if let Some(rrset) = merger.merged() {
                    self.answer_merged(node, rrset, reply);
                }
            }
            Matches::Unknown => {
                reply.replace_with_error(rcode::SERVFAIL, Some(ede::NOT_READY));
            }
            Matches::TooMany => {
                reply.replace_with_error(rcode::SERVFAIL, Some(ede::NOT_SUPPORTED));
            }
        }
        self.selector.merger = merger;
        matched
    }

    /// Writes merged records, then the addresses of their targets.
    fn answer_merged(&mut self, node: &Node, rrset: RRset<'_>, reply: &mut Reply<'_>) {
        let mut targets = Targets::default();
        let wanted = Targets::exist_for(rrset.rtype()).then_some(&mut targets);
        if self.put_rrset(node, rrset, NameRef::Question, Section::Answer, reply, wanted) {
            self.put_target_addresses(&targets, reply);
        }
    }

    /// Begins an authoritative answer. All questions that can be made up from wildcard labels have the
    /// same subject.
    fn begin_wildcard(&self, zone: &Zone, reply: &mut Reply<'_>) {
        if self.context.lapsed || matches!(zone.state(), State::Stale | State::Restoring) {
            reply.set_ede(ede::STALE);
        }
        reply.set_authoritative();
        reply.set_subject(self.context.shared.zones.hash(zone.apex()));
    }

    /// Writes an alias of the question, and answers for its target.
    #[inline(never)]
    fn follow(&mut self, mut alias: Alias<'c>, rtype: u16, question: &Name, reply: &mut Reply<'_>) {
        let (zones, guard) = (&self.context.shared.zones, self.context.guard);
        let mut owner = NameRef::Question;
        let mut target: Name;
        let mut name = question;
        let mut spelling = Spelling::new();
        let mut names = ArrayVec::<u64, MAX_CHAIN>::new();
        let mut dnames = ArrayVec::<u64, MAX_CHAIN>::new();
        loop {
            let (node, rrset) = alias;
            let redirects = rrset.rtype() == rtype::DNAME;
            let next = if redirects {
                let skip = name.wire().len() - node.name().len();
                let known = dnames.contains(&node.hash());
                dnames.push(node.hash());
                self.redirect(node, rrset, (owner, &spelling, skip), known, reply)
            } else {
                self.alias(node, rrset, owner, reply)
            };
            names.push(zones.hash(name.wire()));
            let Some(next) = next else { return };
            let Some(read) = Name::read(&next) else { return };
            target = read;
            name = &target;
            // The client follows the rest of a long chain.
            let last = names.is_full()
                || names.contains(&zones.hash(name.wire()))
                || (redirects && is_final(node, rrset, rtype));
            let (false, Some(zone)) = (last, zones.find_for(name, rtype, guard)) else { return };
            spelling = next;
            owner = NameRef::at(reply.rdata_at(), &spelling);
            let Some(next) = self.answer_from(zone, rtype, (owner, name), reply) else { return };
            alias = next;
        }
    }

    /// Writes a CNAME record; returns its target, unless it does not fit.
    fn alias(
        &mut self, node: &Node, cname: RRset<'_>, owner: NameRef<'_>, reply: &mut Reply<'_>,
    ) -> Option<Spelling> {
        let written = self.put_rrset(node, cname, owner, Section::Answer, reply, None);
        let target = cname.rdata(0).try_into().ok()?;
        written.then_some(target)
    }

    /// Writes a DNAME record, unless the reply has it already (`known`), and the CNAME record that
    /// follows from it for a name below (RFC 6672 sections 2.2 and 3.1). Returns the target of the
    /// CNAME record.
    ///
    /// The name is given as a reference, its spelling unless it is the question, and the number of its
    /// bytes before the owner of the DNAME record.
    fn redirect(
        &mut self, node: &Node, dname: RRset<'_>,
        (name, spelling, skip): (NameRef<'_>, &[u8], usize), known: bool, reply: &mut Reply<'_>,
    ) -> Option<Spelling> {
        let owner = name.suffix(skip, node.name());
        if !known && !self.put_rrset(node, dname, owner, Section::Answer, reply, None) {
            return None;
        }
        let spelling =
            if matches!(name, NameRef::Question) { reply.question_name() } else { spelling };
        let mut target = Spelling::new();
        let fits = target.try_extend_from_slice(spelling.get(..skip)?).is_ok()
            && target.try_extend_from_slice(dname.rdata(0)).is_ok();
        if !fits {
            reply.set_rcode(rcode::YXDOMAIN);
            return None;
        }
        reply.put_cname(name, dname.ttl(), &target).then_some(target)
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
            let Some(node) = zones.host(&name, self.context.clock.boot, guard) else { continue };
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
    // `always`, because most answers need one call only, and inlining it saves 4 % of the instructions.
    #[inline(always)]
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

/// Returns whether an answer ends with the CNAME record of a DNAME record: if it is what was asked for,
/// or if the DNAME record leads below itself, where the name would grow for ever.
fn is_final(node: &Node, dname: RRset<'_>, rtype: u16) -> bool {
    let inside = |target: Name| target.suffixes().any(|suffix| suffix == node.name());
    matches!(rtype, rtype::CNAME | rtype::ANY) || Name::read(dname.rdata(0)).is_some_and(inside)
}
