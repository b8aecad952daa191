//! Questions with wildcard labels, as in SkyDNS: `*` and `any` stand for every label at their place.
//!
//! Such a question is answered as if its name had the records of every name that matches. An alias
//! among other names counts as the records that it leads to, because a name with a CNAME has nothing
//! else (RFC 1034 section 3.6.2).

use crossbeam_epoch::Guard;

use crate::message::wire::{Name, RECORD_HEADER, rtype, u16_at};
use crate::zone::declared::{State, Zone};
use crate::zone::lookup::Lookup;
use crate::zone::name_index::{NameIndex, Visit, has_wildcard};
use crate::zone::rrset::{self, RRset, RRsets};
use crate::zone::table::Node;
use crate::zone::zones::Zones;

/// Most names that are visited for a question: those that match and those above, as in
/// `NameIndex::visit`; also most aliases that are followed.
const MAX_NAMES: usize = 2000;
/// Most bytes of the records that match: as many as a message holds.
const MAX_BYTES: usize = 65_000;
/// Most aliases that are followed to a record.
const MAX_CHAIN: usize = 8;

/// The result of a question with wildcard labels.
pub enum Matches<'g> {
    /// No name matches.
    NoName,
    /// Names match, but none has the type.
    NoData,
    /// Every name that matches has this CNAME.
    Alias(&'g Node, RRset<'g>),
    /// The records were merged; the node is one of theirs.
    Merged(&'g Node),
    /// Records may be missing.
    Unknown,
    /// There are too many names or records.
    TooMany,
}

/// Buffers for merging RRsets, reused so that no answer allocates.
#[derive(Default)]
pub struct Merger {
    /// The rdata of all records.
    data: Vec<u8>,
    /// Start and end in `data`, and weight.
    records: Vec<(usize, usize, u16)>,
    packed: Vec<u8>,
    compiled: Vec<u8>,
}

impl Merger {
    /// Returns the RRset that was merged last.
    pub fn merged(&self) -> Option<RRset<'_>> {
        RRsets::new(&self.compiled).next()
    }

    fn clear(&mut self) {
        self.data.clear();
        self.records.clear();
        self.compiled.clear();
    }

    /// Adds the records of a name; returns false if they are too many.
    fn add(&mut self, owner: &[u8], rrset: RRset<'_>) -> bool {
        let service = matches!(rrset.rtype(), rtype::SVCB | rtype::HTTPS);
        for (index, rdata) in rdatas(rrset).enumerate() {
            let start = self.data.len();
            match rdata {
                // "." is the owner name (RFC 9460 section 2.5).
                [high, low, 0, rest @ ..] if service => {
                    self.data.extend([high, low]);
                    self.data.extend(owner);
                    self.data.extend(rest);
                }
                _ => self.data.extend(rdata),
            }
            self.records.push((start, self.data.len(), rrset.weight(index)));
        }
        self.data.len() + self.records.len() * RECORD_HEADER <= MAX_BYTES
    }

    /// Merges the records into one RRset with the policy of `first`; returns false if it is invalid.
    fn merge(&mut self, first: RRset<'_>, ttl: u32) -> bool {
        let Merger { data, records, packed, compiled } = self;
        if first.rtype() == rtype::SRV {
            share_weights(data, records);
        }
        let rdata = |record: &(usize, usize, u16)| &data[record.0..record.1];
        records.sort_unstable_by(|a, b| rdata(a).cmp(rdata(b)));
        records.dedup_by(|a, b| rdata(a) == rdata(b));
        packed.clear();
        packed.extend(ttl.to_be_bytes());
        packed.extend([0; 8]);
        packed.extend([first.policy() as u8, first.k() as u8]);
        packed.extend((records.len() as u16).to_be_bytes());
        for record in records.iter() {
            packed.extend(record.2.to_be_bytes());
            packed.extend((rdata(record).len() as u16).to_be_bytes());
            packed.extend(rdata(record));
        }
        rrset::compile(first.rtype(), packed, compiled).is_ok()
    }
}

/// Iterates over the rdata of an RRset.
// Instead of `RRset::rdata`, which all other answers want inlined.
fn rdatas<'n>(rrset: RRset<'n>) -> impl Iterator<Item = &'n [u8]> {
    let mut rest = rrset.records();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, RECORD_HEADER - 2));
        let rdata = rest.get(RECORD_HEADER..RECORD_HEADER + length)?;
        rest = &rest[RECORD_HEADER + length..];
        Some(rdata)
    })
}

/// Returns the target of a CNAME record.
fn target<'n>(cname: RRset<'n>) -> &'n [u8] {
    rdatas(cname).next().unwrap_or_default()
}

/// Makes the weights of the SRV records of each priority shares of 100, as in SkyDNS.
fn share_weights(data: &mut [u8], records: &mut [(usize, usize, u16)]) {
    let priority = |data: &[u8], record: &(usize, usize, u16)| u16_at(data, record.0);
    records.sort_unstable_by_key(|record| priority(data, record));
    let mut rest = records;
    while let Some(first) = rest.first() {
        let wanted = priority(data, first);
        let count = rest.iter().take_while(|record| priority(data, record) == wanted).count();
        let (group, after) = rest.split_at_mut(count);
        rest = after;
        let sum: u32 = group.iter().map(|record| u32::from(record.2)).sum();
        for record in group.iter_mut().filter(|_| sum > 0) {
            // In this order, so that it is rounded as in CoreDNS.
            let weight = (100.0 / f64::from(sum) * f64::from(record.2)) as u16;
            data[record.0 + 2..record.0 + 4].copy_from_slice(&weight.max(1).to_be_bytes());
        }
    }
}

impl Zones {
    /// Merges the records of the names that match a question with wildcard labels.
    pub fn match_wildcard<'g>(
        &'g self, (zone, index): (&'g Zone, &'g NameIndex), question: &Name, rtype: u16, now: u64,
        guard: &'g Guard, merger: &mut Merger,
    ) -> Matches<'g> {
        merger.clear();
        let mut found = Found {
            zones: self,
            rtype,
            now,
            guard,
            merger,
            followed: 0,
            first: None,
            ttl: u32::MAX,
            alias: None,
            mixed: false,
            exists: false,
            failure: None,
        };
        let visit = |name: &[u8], matches: bool| found.visit(zone, name, matches);
        if !index.visit(question, zone.apex(), MAX_NAMES, guard, visit) {
            return Matches::TooMany;
        }
        found.end()
    }

    /// Returns the names that match a question, at most `most`; `None` if it has no wildcard labels, or
    /// its zone has no index.
    pub fn matching(
        &self, question: &Name, most: usize, now: u64, guard: &Guard,
    ) -> Option<Vec<Vec<u8>>> {
        let zone = self.find(question, 0, guard)?;
        let index = zone.index(guard).filter(|_| has_wildcard(question, zone.apex().len()))?;
        let mut found = Vec::new();
        index.visit(question, zone.apex(), MAX_NAMES, guard, |name, matches| {
            if found.len() >= most {
                return Visit::Stop;
            }
            let Some(node) = self.visible(zone, name, now, guard) else { return Visit::Skip };
            if matches {
                found.push(name.to_vec());
            }
            below(node, now)
        });
        Some(found)
    }

    /// Returns a name that exists, unless it is a zone cut: another server answers for it then.
    fn visible<'g>(
        &self, zone: &'g Zone, name: &[u8], now: u64, guard: &'g Guard,
    ) -> Option<&'g Node> {
        let node = self.node(zone, name, guard).filter(|node| node.exists(now))?;
        node.get(rtype::NS, now).is_none().then_some(node)
    }
}

/// Returns whether the names below a visible name may match.
fn below(node: &Node, now: u64) -> Visit {
    if node.get(rtype::DNAME, now).is_some() { Visit::Skip } else { Visit::Descend }
}

/// The records found so far.
struct Found<'g, 'm> {
    zones: &'g Zones,
    /// The type asked for; of ANY, the first type found (RFC 8482 section 4.1).
    rtype: u16,
    now: u64,
    guard: &'g Guard,
    merger: &'m mut Merger,
    /// Aliases followed.
    followed: usize,
    first: Option<(&'g Node, RRset<'g>)>,
    ttl: u32,
    /// The first name with a CNAME.
    alias: Option<(&'g Node, RRset<'g>)>,
    /// True if the matching names are more than an alias.
    mixed: bool,
    /// True if a name matches.
    exists: bool,
    failure: Option<Matches<'g>>,
}

impl<'g> Found<'g, '_> {
    fn visit(&mut self, zone: &'g Zone, name: &[u8], matches: bool) -> Visit {
        let Some(node) = self.zones.visible(zone, name, self.now, self.guard) else {
            return Visit::Skip;
        };
        if matches {
            self.take(node);
        }
        if self.failure.is_some() { Visit::Stop } else { below(node, self.now) }
    }

    /// Counts an alias; returns false if there are too many.
    fn count_alias(&mut self) -> bool {
        self.followed += 1;
        if self.followed > MAX_NAMES {
            self.failure = Some(Matches::TooMany);
        }
        self.failure.is_none()
    }

    /// Takes the records of a name that matches.
    fn take(&mut self, node: &'g Node) {
        self.exists = true;
        let (mut alias, mut answer, mut others) = (None, None, false);
        for rrset in node.rrsets().filter(|rrset| rrset.live(self.now)) {
            match rrset.rtype() {
                rtype::CNAME => alias = Some(rrset),
                // It redirects the names below it; a merged name has none.
                rtype::DNAME => others = true,
                rtype => {
                    others = true;
                    if self.rtype == rtype::ANY {
                        self.rtype = rtype;
                    }
                    if self.rtype == rtype {
                        answer = Some(rrset);
                    }
                }
            }
        }
        self.mixed |= others;
        if let Some(rrset) = answer {
            self.add(node, rrset);
        } else if let Some(cname) = alias.filter(|_| !others) {
            self.take_alias(node, cname);
        }
    }

    fn take_alias(&mut self, node: &'g Node, cname: RRset<'g>) {
        match self.alias {
            None => self.alias = Some((node, cname)),
            Some((_, first)) if target(first).eq_ignore_ascii_case(target(cname)) => {}
            Some(_) => {
                self.mixed = true;
                self.follow(cname);
            }
        }
    }

    /// Takes the records that an alias leads to.
    fn follow(&mut self, cname: RRset<'g>) {
        let mut next = target(cname);
        for _ in 0..MAX_CHAIN {
            if matches!(self.rtype, rtype::CNAME | rtype::ANY) || !self.count_alias() {
                return;
            }
            let Some(name) = Name::read(next) else { return };
            let Some(zone) = self.zones.find_for(&name, self.rtype, self.guard) else { return };
            let (zones, now, guard) = (self.zones, self.now, self.guard);
            match zones.look_up(zone, &name, self.rtype, now, guard) {
                Lookup::Answer(node, rrset) => return self.add(node, rrset),
                Lookup::Alias(_, cname) => next = target(cname),
                Lookup::NoData | Lookup::NoName
                    if matches!(zone.state(), State::Loading | State::Restoring) =>
                {
                    self.failure = Some(Matches::Unknown);
                    return;
                }
                // Another server answers for it.
                _ => return,
            }
        }
    }

    fn add(&mut self, node: &'g Node, rrset: RRset<'g>) {
        self.first.get_or_insert((node, rrset));
        self.ttl = self.ttl.min(rrset.ttl());
        if !self.merger.add(node.name(), rrset) {
            self.failure = Some(Matches::TooMany);
        }
    }

    fn end(mut self) -> Matches<'g> {
        if let Some((node, cname)) = self.alias.filter(|_| self.failure.is_none()) {
            match (self.mixed, self.rtype) {
                (true, _) => self.follow(cname),
                (false, rtype::CNAME | rtype::ANY) => self.add(node, cname),
                (false, _) => return Matches::Alias(node, cname),
            }
        }
        if let Some(failure) = self.failure {
            return failure;
        }
        match self.first {
            Some((node, rrset)) if self.merger.merge(rrset, self.ttl) => Matches::Merged(node),
            // The core takes only records that can be merged.
            Some(_) => Matches::Unknown,
            None if self.exists => Matches::NoData,
            None => Matches::NoName,
        }
    }
}
