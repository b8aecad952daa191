//! Fuzzer of changes: after any sequence of changes the zones equal the model.
//!
//! Input: three bytes per step (see `Step`). Names and zones are few, so that steps interact.

use std::sync::OnceLock;

use _core::message::wire::Name;
use _core::zone::declared::State;
use _core::zone::lookup::Lookup;
use _core::zone::rrset::{self, Policy, RRset};
use _core::zone::table::Node;
use _core::zone::zones::Zones;
use crossbeam_epoch as epoch;

use super::message::{A, ANY, CNAME, DNAME, DS, Labels, NS, SOA, SRV, TXT, labels, wire};
use super::model::{Found, Model, Set};

/// Boot time (ns) of all look-ups, and times at which RRsets expire.
const NOW: u64 = 1000;
const TIMES: [u64; 4] = [0, NOW, NOW + 1, 0];

const TYPES: [u16; 8] = [A, NS, CNAME, DS, TXT, SRV, SOA, DNAME];
/// Types looked up; for the longest names only the first two.
const QUERIED: [u16; 5] = [A, DS, NS, CNAME, ANY];
const LABELS: [&[u8]; 4] = [b"a", b"b", b"*", b"C"];
const APEXES: [&[u8]; 4] = [b"\x02ex\x00", b"\x01b\x02EX\x00", b"\x00", b"\x01*\x01a\x02ex\x00"];
/// Most changes that are applied at once.
const MAX_BATCH: usize = 16;

/// The meaning of three bytes.
enum Step {
    Add(usize),
    Drop(usize),
    /// Apply the changes so far.
    Apply,
    Change(Change),
}

/// Zone, owner, type, and a packed RRset or `None` to remove it.
type Change = (&'static [u8], Vec<u8>, u16, Option<Vec<u8>>);

impl Step {
    fn read([what, name, how]: [u8; 3]) -> Step {
        let apex = usize::from(how & 3);
        match what & 15 {
            13 if name & 3 == 0 => Step::Drop(apex),
            13 => Step::Add(apex),
            14 => Step::Apply,
            _ => Step::Change(change(what, name, how)),
        }
    }
}

fn change(what: u8, name: u8, how: u8) -> Change {
    let mut owner = Vec::new();
    for index in 0..name >> 6 {
        let label = LABELS[usize::from(name >> (2 * index) & 3)];
        owner.push(label.len() as u8);
        owner.extend(label);
    }
    owner.extend(if what & 15 == 15 { b"\x02no\x00" } else { b"\x02Ex\x00" });
    let rtype = TYPES[usize::from(what >> 4 & 7)];
    let packed = (what & 15 < 8).then(|| packed(rtype, what & 15, how));
    (APEXES[usize::from(how & 3)], owner, rtype, packed)
}

/// Returns a packed RRset, invalid in one of eight cases.
fn packed(rtype: u16, kind: u8, how: u8) -> Vec<u8> {
    let rdata = |index: u8| match rtype {
        A => vec![10, 0, 0, index],
        NS | CNAME | DNAME => vec![1, b'a' + index, 0],
        SRV => vec![0, 0, 0, index, 0, 80, 1, b't', 0],
        SOA => [&[0; 21][..], &[index]].concat(),
        // A character string: its length first.
        _ => vec![index; 1 + usize::from(index)],
    };
    let rdatas: Vec<Vec<u8>> = (0..=how >> 2 & 3).map(rdata).collect();
    let records: Vec<_> = rdatas
        .iter()
        .enumerate()
        .map(|(index, rdata)| (u16::from(how >> 5) * index as u16, &rdata[..]))
        .collect();
    let mut packed = rrset::pack(u32::from(how), &records);
    packed[4..12].copy_from_slice(&TIMES[usize::from(how >> 4 & 3)].to_be_bytes());
    packed[12..14].copy_from_slice(&[how >> 5 & 3, how >> 6]);
    if kind == 7 {
        packed.pop();
    }
    packed
}

/// Applies the changes; panics if the zones differ from the model.
pub fn run(data: &[u8]) {
    let mut both = Both { zones: Zones::new(7), model: Model::default(), batch: Vec::new() };
    both.add(0);
    for step in data.chunks_exact(3) {
        match Step::read([step[0], step[1], step[2]]) {
            Step::Add(apex) => both.add(apex),
            Step::Drop(apex) => both.drop(apex),
            Step::Apply => both.apply(),
            Step::Change(change) => both.batch.push(change),
        }
        if both.batch.len() == MAX_BATCH {
            both.apply();
        }
    }
    both.apply();
    both.compare();
    names().iter().for_each(|(name, wire)| both.look_up_types(name, wire));
    both.empty();
    both.compare();
}

/// The zones of the core and of the model, and changes to both.
struct Both {
    zones: Zones,
    model: Model,
    batch: Vec<Change>,
}

impl Both {
    fn add(&mut self, apex: usize) {
        self.apply();
        self.zones.add(APEXES[apex]);
        self.model.add(&labels(APEXES[apex]), State::Loading);
    }

    fn drop(&mut self, apex: usize) {
        self.apply();
        self.zones.drop_zone(APEXES[apex]);
        self.model.zones.remove(&labels(APEXES[apex]));
    }

    fn apply(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let changes: Vec<_> = batch
            .iter()
            .map(|(apex, owner, rtype, packed)| (*apex, &owner[..], *rtype, packed.as_deref()))
            .collect();
        let rejected: Vec<usize> =
            self.zones.apply(&changes).into_iter().map(|(index, _)| index).collect();
        let expected: Vec<usize> = batch
            .iter()
            .enumerate()
            .filter_map(|(index, change)| (!self.change(change)).then_some(index))
            .collect();
        assert_eq!(rejected, expected, "rejected changes: {batch:02x?}");
    }

    /// Changes the model; returns false if the change must be rejected.
    fn change(&mut self, (apex, owner, rtype, packed): &Change) -> bool {
        let (apex, owner) = (labels(apex), labels(owner));
        let zone = self.model.zones.get_mut(&apex).filter(|_| owner.starts_with(&apex));
        let Some(zone) = zone else { return false };
        match packed {
            None => zone.remove(&owner, *rtype),
            Some(packed) if is_incomplete(packed) => return false,
            Some(packed) => {
                let set = Set::unpack(packed);
                if matches!(*rtype, CNAME | DNAME | SOA) && set.rdatas.len() > 1 {
                    return false;
                }
                zone.put(owner, *rtype, set);
            }
        }
        true
    }

    /// Removes all records.
    fn empty(&mut self) {
        let all = self.model.zones.values().flat_map(|zone| {
            let apex = APEXES.into_iter().find(|apex| labels(apex) == zone.apex);
            zone.names.iter().flat_map(move |(name, sets)| {
                sets.keys().map(move |rtype| (apex.unwrap_or_default(), wire(name), *rtype, None))
            })
        });
        self.batch = all.collect();
        self.apply();
    }

    /// Checks that the zones have the same number of names, and cuts and DNAME where the model has them.
    fn compare(&self) {
        for (apex, _, names, _) in self.zones.summary() {
            let zone = &self.model.zones[&labels(&apex)];
            assert_eq!(names, zone.all_names().len(), "names of {apex:02x?}");
            let has = |rtype| {
                zone.names.iter().any(|(name, sets)| {
                    (rtype != NS || *name != zone.apex) && sets.contains_key(&rtype)
                })
            };
            let guard = &epoch::pin();
            let found = Name::read(&apex).and_then(|name| self.zones.find(&name, 0, guard));
            let found = found.expect("a zone of the summary");
            let expected = (has(NS) || has(DNAME), has(DNAME));
            assert_eq!((found.has_occluders(), found.has_dnames()), expected, "{apex:02x?}");
        }
    }

    /// Checks that look-ups of a name have the same result.
    fn look_up_types(&self, name: &Labels, wire: &[u8]) {
        let question = Name::read(wire).expect("a name");
        let types = if name.len() > 3 { &QUERIED[..2] } else { &QUERIED };
        types.iter().for_each(|rtype| self.look_up(name, &question, *rtype));
    }

    fn look_up(&self, name: &Labels, question: &Name, rtype: u16) {
        let guard = &epoch::pin();
        let zone = self.model.zone(name, rtype);
        let found = self.zones.find_for(question, rtype, guard);
        assert_eq!(
            found.map(|zone| labels(zone.apex())),
            zone.map(|zone| zone.apex.clone()),
            "zone of {:02x?}",
            question.wire()
        );
        let (Some(zone), Some(found)) = (zone, found) else { return };
        let expected = zone.look_up(name, rtype, NOW);
        let (found, given) = match self.zones.look_up(found, question, rtype, NOW, guard) {
            Lookup::Answer(node, rrset) => (Found::Answer(owner(node)), Some(rrset)),
            Lookup::Alias(node, rrset) => (Found::Alias(owner(node)), Some(rrset)),
            Lookup::Redirect(node, rrset) => (Found::Redirect(owner(node)), Some(rrset)),
            Lookup::Cut(node, rrset) => (Found::Cut(owner(node)), Some(rrset)),
            Lookup::NoData => (Found::NoData, None),
            Lookup::NoName => (Found::NoName, None),
        };
        assert_eq!(found, expected, "type {rtype} of {:02x?}", question.wire());
        if let (
            Some(rrset),
            Found::Answer(name) | Found::Alias(name) | Found::Redirect(name) | Found::Cut(name),
        ) = (given, expected)
        {
            let expected = zone.get(&name, rrset.rtype(), NOW).map(|set| kept(rrset.rtype(), set));
            assert_eq!(Some(set(&rrset)), expected);
        }
    }
}

/// Returns whether the end of a packed RRset is missing.
fn is_incomplete(packed: &[u8]) -> bool {
    let mut at = 16;
    while at < packed.len() {
        at += 4 + usize::from(packed[at + 3]);
    }
    at != packed.len()
}

fn owner(node: &Node) -> Labels {
    labels(node.name())
}

/// Returns the RRset of the core in the form of the model.
fn set(rrset: &RRset<'_>) -> Set {
    Set {
        ttl: rrset.ttl(),
        // Expiry was compared before.
        expires: 0,
        policy: rrset.policy(),
        k: rrset.k() as u8,
        rdatas: (0..rrset.count()).map(|index| rrset.rdata(index).to_vec()).collect(),
    }
}

/// Returns the RRset as the core keeps it.
fn kept(rtype: u16, set: &Set) -> Set {
    let policy = if rrset::has_policy(rtype) { set.policy } else { Policy::All };
    Set { expires: 0, policy, k: set.k.max(1), ..set.clone() }
}

/// Returns all names of up to three labels below `ex`, and the names above it, with their wire forms.
fn names() -> &'static [(Labels, Vec<u8>)] {
    static NAMES: OnceLock<Vec<(Labels, Vec<u8>)>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = vec![vec![], vec![b"no".to_vec()]];
        let mut last = vec![vec![b"ex".to_vec()]];
        for _ in 0..4 {
            names.extend(last.iter().cloned());
            let below = |name: &Labels| {
                LABELS.map(|label| [&name[..], &[label.to_ascii_lowercase()]].concat())
            };
            last = last.iter().flat_map(below).collect();
        }
        names.into_iter().map(|name| (name.clone(), wire(&name))).collect()
    })
}
