//! The zones in memory, and how a change reaches them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_epoch::{self as epoch, Atomic, Guard, Owned};

use crate::hash::hash;
use crate::message::wire::{MAX_LABELS, Name, rtype};
use crate::zone::rrset;
use crate::zone::table::{Node, Table};

pub const STATE_LIVE: u8 = 0;
pub const STATE_LOADING: u8 = 1;
pub const STATE_STALE: u8 = 2;
/// What is unknown is as in one that loads, what is known as in one that is stale.
pub const STATE_RESTORING: u8 = 3;

const WILDCARD: &[u8] = b"\x01*";

/// A zone that this server answers for.
pub struct Zone {
    apex: Box<[u8]>,
    hash: u64,
    table: Table,
    state: AtomicU8,
    /// Owner names that begin with `*`, empty non-terminals too; 0 spares a miss its search (RFC 4592).
    wildcards: AtomicU32,
    /// Owner names below the apex with NS; 0 spares a query its search.
    cuts: AtomicU32,
}

impl Zone {
    fn new(apex: &[u8], hash: u64) -> Zone {
        Zone {
            apex: apex.into(),
            hash,
            table: Table::default(),
            state: STATE_LOADING.into(),
            wildcards: 0.into(),
            cuts: 0.into(),
        }
    }

    /// Folded wire name of the apex.
    #[inline]
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    #[inline]
    pub fn state(&self) -> u8 {
        self.state.load(Relaxed)
    }

    #[inline]
    pub fn has_wildcards(&self) -> bool {
        self.wildcards.load(Relaxed) > 0
    }

    #[inline]
    pub fn has_cuts(&self) -> bool {
        self.cuts.load(Relaxed) > 0
    }

    /// Put a name that was not there.
    fn insert(&self, node: Node, guard: &Guard) {
        if node.name().starts_with(WILDCARD) {
            self.wildcards.fetch_add(1, Release);
        }
        self.table.put(node, guard);
    }

    /// Remove a name that is there.
    fn remove(&self, hash: u64, name: &[u8], guard: &Guard) {
        self.table.remove(hash, name, guard);
        if name.starts_with(WILDCARD) {
            self.wildcards.fetch_sub(1, Release);
        }
    }
}

/// One change to an RRset: its zone, owner, type, and its packed form or None.
pub type Change<'c> = (&'c [u8], &'c [u8], u16, Option<&'c [u8]>);

/// Zones by apex, replaced whole when one comes or goes.
struct Directory {
    /// Whether a zone has so many labels: other suffixes need not be hashed.
    depths: [bool; MAX_LABELS + 1],
    slots: Box<[Option<Arc<Zone>>]>,
}

impl Directory {
    fn new(zones: &[Arc<Zone>]) -> Directory {
        let capacity = (zones.len() * 2 + 1).next_power_of_two();
        let mut directory = Directory {
            depths: [false; MAX_LABELS + 1],
            slots: vec![None; capacity].into_boxed_slice(),
        };
        for zone in zones {
            let labels = Name::read(&zone.apex).map_or(0, |name| name.labels());
            directory.depths[labels] = true;
            let mut at = zone.hash as usize & (capacity - 1);
            while directory.slots[at].is_some() {
                at = (at + 1) & (capacity - 1);
            }
            directory.slots[at] = Some(zone.clone());
        }
        directory
    }

    #[inline]
    fn get(&self, hash: u64, apex: &[u8]) -> Option<&Arc<Zone>> {
        let mut at = hash as usize & (self.slots.len() - 1);
        while let Some(zone) = &self.slots[at] {
            if zone.hash == hash && zone.apex() == apex {
                return Some(zone);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }
}

/// All zones: read by the workers, written by one caller at a time.
pub struct Zones {
    seed: u64,
    directory: Atomic<Directory>,
    writer: Mutex<HashMap<Box<[u8]>, Arc<Zone>>>,
}

impl Zones {
    /// No zones; `seed` keys the hash of names and should be random.
    pub fn new(seed: u64) -> Zones {
        Zones { seed, directory: Atomic::new(Directory::new(&[])), writer: Mutex::default() }
    }

    /// The key of a folded name.
    #[inline]
    pub fn hash(&self, name: &[u8]) -> u64 {
        hash(self.seed, name)
    }

    /// The deepest zone that a name is in, leaving out its first `skip` labels.
    #[inline]
    pub fn find<'g>(&self, name: &Name, skip: usize, guard: &'g Guard) -> Option<&'g Zone> {
        // SAFETY: never null; an old directory is destroyed only after every guard is gone that
        // could have loaded it, and it keeps its zones alive.
        let directory = unsafe { self.directory.load(Acquire, guard).deref() };
        for (left, suffix) in name.suffixes().enumerate().skip(skip) {
            if directory.depths[name.labels() - left]
                && let Some(zone) = directory.get(self.hash(suffix), suffix)
            {
                return Some(zone);
            }
        }
        None
    }

    /// The node of a folded name in a zone.
    #[inline]
    pub fn node<'g>(&self, zone: &'g Zone, name: &[u8], guard: &'g Guard) -> Option<&'g Node> {
        zone.table.get(self.hash(name), name, guard)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Arc<Zone>>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, zones: &HashMap<Box<[u8]>, Arc<Zone>>) {
        let guard = epoch::pin();
        let all: Vec<_> = zones.values().cloned().collect();
        let old = self.directory.swap(Owned::new(Directory::new(&all)), AcqRel, &guard);
        // SAFETY: the swap took the only path to it.
        unsafe { guard.defer_destroy(old) };
        guard.flush();
    }

    /// Make a zone known, loading and empty. False if `apex` is not a name.
    pub fn add(&self, apex: &[u8]) -> bool {
        let Some(name) = Name::read(apex) else { return false };
        let mut zones = self.lock();
        if !zones.contains_key(name.wire()) {
            let zone = Arc::new(Zone::new(name.wire(), self.hash(name.wire())));
            zones.insert(name.wire().into(), zone);
            self.publish(&zones);
        }
        true
    }

    /// Forget a zone.
    pub fn drop_zone(&self, apex: &[u8]) {
        let mut zones = self.lock();
        if zones.remove(apex.to_ascii_lowercase().as_slice()).is_some() {
            self.publish(&zones);
        }
    }

    /// Set the state of a zone; false if it is not known.
    pub fn set_state(&self, apex: &[u8], state: u8) -> bool {
        let zones = self.lock();
        let zone = zones.get(apex.to_ascii_lowercase().as_slice());
        zone.inspect(|zone| zone.state.store(state, Relaxed)).is_some()
    }

    /// (apex, state, owner names, octets) of each zone.
    pub fn summary(&self) -> Vec<(Vec<u8>, u8, usize, usize)> {
        let row = |zone: &Arc<Zone>| {
            (zone.apex.to_vec(), zone.state(), zone.table.names(), zone.table.octets())
        };
        self.lock().values().map(row).collect()
    }

    /// Put and remove RRsets; (index, reason) of those refused.
    ///
    /// Neighbours of one zone and owner change together, in one step for every reader.
    pub fn apply(&self, changes: &[Change<'_>]) -> Vec<(usize, String)> {
        let zones = self.lock();
        let (mut refused, mut scratch) = (Vec::new(), Scratch::default());
        let mut first = 0;
        while first < changes.len() {
            let (apex, owner, ..) = changes[first];
            let same = |change: &&Change<'_>| change.0 == apex && change.1 == owner;
            let count = changes[first..].iter().take_while(same).count();
            match locate(&zones, apex, owner) {
                Ok((zone, name)) => {
                    let group = &changes[first..first + count];
                    self.apply_to(zone, &name, group, first, &mut scratch, &mut refused);
                }
                Err(reason) => {
                    refused.extend((first..first + count).map(|index| (index, reason.clone())));
                }
            }
            first += count;
        }
        epoch::pin().flush();
        refused
    }

    fn apply_to(
        &self, zone: &Zone, name: &Name, changes: &[Change<'_>], first: usize,
        scratch: &mut Scratch, refused: &mut Vec<(usize, String)>,
    ) {
        let Scratch { fresh, spans, data } = scratch;
        fresh.clear();
        spans.clear();
        for (index, (_, _, rtype, packed)) in changes.iter().enumerate() {
            let start = fresh.len();
            if let Some(packed) = packed
                && let Err(reason) = rrset::compile(*rtype, packed, fresh)
            {
                refused.push((first + index, reason));
                continue;
            }
            spans.retain(|(other, _)| other != rtype);
            spans.push((*rtype, start..fresh.len()));
        }
        let guard = &epoch::pin();
        let hash = self.hash(name.wire());
        let old = zone.table.get(hash, name.wire(), guard);
        Node::begin(data, name.wire());
        let empty = data.len();
        for rrset in old.iter().flat_map(|node| node.rrsets()) {
            if !spans.iter().any(|(rtype, _)| *rtype == rrset.rtype()) {
                data.extend(rrset.bytes());
            }
        }
        spans.iter().for_each(|(_, span)| data.extend(&fresh[span.clone()]));
        let has_rrsets = data.len() > empty;
        self.replace(zone, name, old, Node::new(hash, data), has_rrsets, guard);
    }

    fn replace(
        &self, zone: &Zone, name: &Name, old: Option<&Node>, new: Node, has_rrsets: bool,
        guard: &Guard,
    ) {
        // Counted before a name comes and after it has gone, so that no search is spared wrongly.
        let (was, is) = (old.is_some_and(|node| is_cut(zone, node)), is_cut(zone, &new));
        if is && !was {
            zone.cuts.fetch_add(1, Release);
        }
        let stays = has_rrsets || old.is_some_and(|node| node.children.load(Relaxed) > 0);
        match old {
            None if has_rrsets => {
                self.raise(zone, name, guard);
                zone.insert(new, guard);
            }
            None => {}
            Some(_) if stays => zone.table.put(new, guard),
            Some(_) => self.fell(zone, name, guard),
        }
        if was && !is {
            zone.cuts.fetch_sub(1, Release);
        }
    }

    /// Count a new name in its parent, making empty non-terminals up to the apex.
    fn raise(&self, zone: &Zone, name: &Name, guard: &Guard) {
        for parent in name.suffixes().skip(1) {
            if parent.len() < zone.apex.len() {
                return;
            }
            if let Some(node) = self.node(zone, parent, guard) {
                node.children.fetch_add(1, Relaxed);
                return;
            }
            let mut data = Vec::new();
            Node::begin(&mut data, parent);
            let node = Node::new(self.hash(parent), &data);
            node.children.store(1, Relaxed);
            zone.insert(node, guard);
        }
    }

    /// Remove a name, and the empty non-terminals above that it alone kept.
    fn fell(&self, zone: &Zone, name: &Name, guard: &Guard) {
        let mut suffixes = name.suffixes().peekable();
        while let Some(lost) = suffixes.next() {
            zone.remove(self.hash(lost), lost, guard);
            let inside = |parent: &&&[u8]| parent.len() >= zone.apex.len();
            let Some(parent) = suffixes.peek().filter(inside) else { return };
            let Some(node) = self.node(zone, parent, guard) else { return };
            let left = node.children.fetch_sub(1, Relaxed) - 1;
            if left > 0 || node.rrsets().next().is_some() {
                return;
            }
        }
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        // SAFETY: `&mut self` says that nobody reads the directory any more.
        unsafe { drop(std::mem::replace(&mut self.directory, Atomic::null()).into_owned()) };
    }
}

/// Buffers of `apply`, kept from one owner name to the next.
#[derive(Default)]
struct Scratch {
    /// New RRsets, compiled.
    fresh: Vec<u8>,
    /// Type, and where in `fresh`: nowhere if it is to go.
    spans: Vec<(u16, std::ops::Range<usize>)>,
    /// The data of the new node.
    data: Vec<u8>,
}

/// Whether a node is a zone cut.
fn is_cut(zone: &Zone, node: &Node) -> bool {
    node.name() != zone.apex() && node.rrsets().any(|rrset| rrset.rtype() == rtype::NS)
}

fn locate<'z>(
    zones: &'z HashMap<Box<[u8]>, Arc<Zone>>, apex: &[u8], owner: &[u8],
) -> Result<(&'z Zone, Name), String> {
    let zone = zones.get(apex).or_else(|| zones.get(apex.to_ascii_lowercase().as_slice()));
    let zone = zone.ok_or("the zone is not known: set_zone comes first")?;
    let name = Name::read(owner).filter(|name| name.wire().len() == owner.len());
    let name = name.ok_or("the owner is not a name in wire form")?;
    let inside = name.suffixes().any(|suffix| suffix == zone.apex());
    if inside { Ok((zone, name)) } else { Err("the owner is outside the zone".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APEX: &[u8] = b"\x02ex\x00";

    fn zones() -> Zones {
        let zones = Zones::new(7);
        zones.add(b"\x02EX\x00");
        zones
    }

    fn change(zones: &Zones, owner: &[u8], rtype: u16, rdata: Option<&[u8]>) -> usize {
        let packed = rdata.map(|rdata| rrset::pack(30, &[(1, rdata)]));
        zones.apply(&[(APEX, owner, rtype, packed.as_deref())]).len()
    }

    fn names(zones: &Zones) -> usize {
        zones.summary()[0].2
    }

    #[test]
    fn empty_non_terminals_come_and_go_with_what_they_hold() {
        let zones = zones();
        let (deep, beside) = (&b"\x01a\x01b\x01c\x02ex\x00"[..], &b"\x01d\x01c\x02ex\x00"[..]);
        assert_eq!(change(&zones, deep, 1, Some(&[10, 0, 0, 1])), 0);
        assert_eq!(names(&zones), 4, "a.b.c, b.c, c, the apex");
        change(&zones, beside, 1, Some(&[10, 0, 0, 1]));
        change(&zones, deep, 1, None);
        assert_eq!(names(&zones), 3, "d.c, c, the apex");
        change(&zones, beside, 1, None);
        assert_eq!(names(&zones), 0);
    }

    #[test]
    fn marks_follow_the_names() {
        let zones = zones();
        let (wildcard, cut) = (&b"\x01*\x02ex\x00"[..], &b"\x01c\x02ex\x00"[..]);
        change(&zones, wildcard, 1, Some(&[10, 0, 0, 1]));
        change(&zones, wildcard, 16, Some(b"\x01a"));
        change(&zones, cut, 2, Some(b"\x01a\x00"));
        change(&zones, APEX, 2, Some(b"\x01a\x00"));
        let marks = || {
            let guard = &epoch::pin();
            let zone = zones.find(&Name::read(APEX).unwrap(), 0, guard).unwrap();
            (zone.has_wildcards(), zone.has_cuts())
        };
        assert_eq!(marks(), (true, true));
        change(&zones, wildcard, 1, None);
        change(&zones, cut, 2, None);
        assert_eq!(marks(), (true, false));
        change(&zones, wildcard, 16, None);
        assert_eq!(marks(), (false, false));
    }

    #[test]
    fn the_deepest_zone_is_found() {
        let zones = zones();
        zones.add(b"\x03sub\x02ex\x00");
        let guard = &epoch::pin();
        let apex = |name: &[u8]| zones.find(&Name::read(name).unwrap(), 0, guard).map(Zone::apex);
        assert_eq!(apex(b"\x01A\x03SUB\x02ex\x00"), Some(&b"\x03sub\x02ex\x00"[..]));
        assert_eq!(apex(b"\x05other\x02ex\x00"), Some(APEX));
        assert_eq!(apex(b"\x03com\x00"), None);
        zones.drop_zone(b"\x03sub\x02ex\x00");
        assert_eq!(apex(b"\x01a\x03sub\x02ex\x00"), Some(APEX));
    }

    #[test]
    fn one_refused_change_leaves_its_neighbours() {
        let zones = zones();
        let good = rrset::pack(30, &[(1, &[10, 0, 0, 1])]);
        let bad = rrset::pack(30, &[(1, &[10, 0])]);
        let owner = &b"\x01a\x02ex\x00"[..];
        let refused = zones.apply(&[
            (APEX, owner, 1, Some(&good)),
            (APEX, owner, 28, Some(&bad)),
            (APEX, b"\x03com\x00", 1, Some(&good)),
            (b"\x03com\x00", owner, 1, Some(&good)),
            (APEX, b"\x01b\x02ex\x00", 1, Some(&good)),
        ]);
        assert_eq!(refused.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(names(&zones), 3);
    }
}
