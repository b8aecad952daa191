//! The zones in memory, and the changes to them.

use std::collections::HashMap;
use std::sync::atomic::Ordering::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_epoch::{self as epoch, Atomic, Guard, Owned};

use crate::hash::hash;
use crate::message::wire::Name;
use crate::workers::Workers;
use crate::zone::declared::{State, Zone};
use crate::zone::directory::Directory;
use crate::zone::rrset;
use crate::zone::table::Node;
use crate::zone_counters::RCODES;

/// A change to an RRset: zone, owner, type, and the packed RRset or `None` to remove it.
pub type Change<'c> = (&'c [u8], &'c [u8], u16, Option<&'c [u8]>);

/// All zones. The workers read them, one caller at a time writes.
pub struct Zones {
    seed: u64,
    directory: Atomic<Directory>,
    /// Counters of the workers that answer from the zones.
    pub workers: Workers,
    writer: Mutex<HashMap<Box<[u8]>, Arc<Zone>>>,
}

impl Zones {
    /// Creates an empty set of zones; `seed` keys the hash of names and should be random.
    pub fn new(seed: u64) -> Zones {
        Zones {
            seed,
            directory: Atomic::new(Directory::new(&[])),
            workers: Workers::default(),
            writer: Mutex::default(),
        }
    }

    /// Returns the hash of a name in lower case.
    #[inline]
    pub fn hash(&self, name: &[u8]) -> u64 {
        hash(self.seed, name)
    }

    /// Returns the deepest zone that contains a name, not counting its first `skip` labels.
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

    /// Returns the zone with an apex.
    pub fn zone<'g>(&self, apex: &[u8], guard: &'g Guard) -> Option<&'g Zone> {
        let name = Name::read(apex)?;
        self.find(&name, 0, guard).filter(|zone| zone.apex() == name.wire())
    }

    /// Returns the node of a name in lower case.
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
        // SAFETY: the swap removed the only path to it.
        unsafe { guard.defer_destroy(old) };
        guard.flush();
    }

    /// Adds a zone, loading and empty, unless it exists. Returns false if `apex` is not a name.
    pub fn add(&self, apex: &[u8]) -> bool {
        let Some(name) = Name::read(apex) else { return false };
        let mut zones = self.lock();
        if !zones.contains_key(name.wire()) {
            let row = self.workers.add_zone();
            let zone = Arc::new(Zone::new(name.wire(), self.hash(name.wire()), row));
            zones.insert(name.wire().into(), zone);
            self.publish(&zones);
        }
        true
    }

    /// Removes a zone.
    pub fn drop_zone(&self, apex: &[u8]) {
        let mut zones = self.lock();
        if let Some(zone) = zones.remove(apex.to_ascii_lowercase().as_slice()) {
            self.workers.remove_zone(&zone.row);
            self.publish(&zones);
        }
    }

    /// Sets the state of a zone; returns false if there is no such zone.
    pub fn set_state(&self, apex: &[u8], state: State) -> bool {
        let zones = self.lock();
        let zone = zones.get(apex.to_ascii_lowercase().as_slice());
        zone.inspect(|zone| zone.state.store(state as u8, Relaxed)).is_some()
    }

    /// Sets whether a zone answers questions with wildcard labels; returns false if there is no such
    /// zone.
    pub fn set_wildcard_queries(&self, apex: &[u8], wanted: bool) -> bool {
        let zones = self.lock();
        let zone = zones.get(apex.to_ascii_lowercase().as_slice());
        zone.inspect(|zone| zone.set_index(wanted, &epoch::pin())).is_some()
    }

    /// Returns apex, state, number of owner names, and memory in bytes of each zone.
    pub fn summary(&self) -> Vec<(Vec<u8>, State, usize, usize)> {
        let row = |zone: &Arc<Zone>| {
            (zone.apex.to_vec(), zone.state(), zone.table.names(), zone.table.memory())
        };
        self.lock().values().map(row).collect()
    }

    /// Returns the apex of each zone that was queried, and its queries in the order of `RCODES`.
    pub fn queries(&self) -> Vec<(Vec<u8>, [u64; RCODES.len()])> {
        let zones = self.lock();
        let rows = self.workers.zone_queries();
        let queried = |zone: &Arc<Zone>| {
            let row = rows.get(zone.row())?;
            row.iter().any(|count| *count > 0).then(|| (zone.apex.to_vec(), *row))
        };
        zones.values().filter_map(queried).collect()
    }

    /// Puts and removes RRsets; returns the index of each rejected change, with the reason.
    ///
    /// Consecutive changes to one owner name become visible to readers at the same time.
    pub fn apply(&self, changes: &[Change<'_>]) -> Vec<(usize, String)> {
        let zones = self.lock();
        let (mut rejected, mut scratch) = (Vec::new(), Scratch::default());
        let mut first = 0;
        while first < changes.len() {
            let (apex, owner, ..) = changes[first];
            let same = |change: &&Change<'_>| change.0 == apex && change.1 == owner;
            let count = changes[first..].iter().take_while(same).count();
            match locate(&zones, apex, owner) {
                Ok((zone, name)) => {
                    let group = &changes[first..first + count];
                    self.apply_to(zone, &name, group, first, &mut scratch, &mut rejected);
                }
                Err(reason) => {
                    rejected.extend((first..first + count).map(|index| (index, reason.clone())));
                }
            }
            first += count;
        }
        epoch::pin().flush();
        rejected
    }

    /// Applies consecutive changes to one owner name; `first` is the index of the first one.
    fn apply_to(
        &self, zone: &Zone, name: &Name, changes: &[Change<'_>], first: usize,
        scratch: &mut Scratch, rejected: &mut Vec<(usize, String)>,
    ) {
        let Scratch { compiled, spans, data } = scratch;
        compiled.clear();
        spans.clear();
        for (index, (_, _, rtype, packed)) in changes.iter().enumerate() {
            let start = compiled.len();
            if let Some(packed) = packed
                && let Err(reason) = rrset::compile(*rtype, packed, compiled)
            {
                rejected.push((first + index, reason));
                continue;
            }
            spans.retain(|(other, _)| other != rtype);
            spans.push((*rtype, start..compiled.len()));
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
        spans.iter().for_each(|(_, span)| data.extend(&compiled[span.clone()]));
        let has_rrsets = data.len() > empty;
        self.replace(zone, name, old, Node::new(hash, data), has_rrsets, guard);
    }

    /// Replaces the node of a name, or adds or removes it.
    fn replace(
        &self, zone: &Zone, name: &Name, old: Option<&Node>, new: Node, has_rrsets: bool,
        guard: &Guard,
    ) {
        // Counted before a name is added and after it is removed, so that no search is skipped wrongly.
        let before = old.map_or([false; 2], |node| zone.occlusion(node));
        let after = zone.occlusion(&new);
        let counters = [&zone.occluders, &zone.dnames];
        for (counter, (was, is)) in counters.iter().zip(before.into_iter().zip(after)) {
            if is && !was {
                counter.fetch_add(1, Release);
            }
        }
        let stays = has_rrsets || old.is_some_and(|node| node.children.load(Relaxed) > 0);
        match old {
            None if has_rrsets => {
                self.link_parents(zone, name, guard);
                zone.insert(new, guard);
            }
            None => {}
            Some(_) if stays => zone.table.put(new, guard),
            Some(_) => self.unlink_parents(zone, name, guard),
        }
        for (counter, (was, is)) in counters.iter().zip(before.into_iter().zip(after)) {
            if was && !is {
                counter.fetch_sub(1, Release);
            }
        }
    }

    /// Counts a new name in its parent; adds missing parents up to the apex as empty non-terminals (RFC
    /// 4592 section 2.2.2).
    fn link_parents(&self, zone: &Zone, name: &Name, guard: &Guard) {
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

    /// Removes a name, and the empty non-terminals above that have no other name below them.
    fn unlink_parents(&self, zone: &Zone, name: &Name, guard: &Guard) {
        let mut suffixes = name.suffixes().peekable();
        while let Some(removed) = suffixes.next() {
            zone.remove(self.hash(removed), removed, guard);
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
        // SAFETY: `&mut self` says that nothing reads the directory any longer.
        unsafe { drop(std::mem::replace(&mut self.directory, Atomic::null()).into_owned()) };
    }
}

/// Buffers of `apply`, reused for each owner name.
#[derive(Default)]
struct Scratch {
    /// New RRsets, compiled.
    compiled: Vec<u8>,
    /// Types that change, each with the range of its RRset in `compiled`, empty to remove it.
    spans: Vec<(u16, std::ops::Range<usize>)>,
    /// Data of the new node.
    data: Vec<u8>,
}

/// Returns the zone and the parsed owner name of a change.
fn locate<'z>(
    zones: &'z HashMap<Box<[u8]>, Arc<Zone>>, apex: &[u8], owner: &[u8],
) -> Result<(&'z Zone, Name), String> {
    let zone = zones.get(apex).or_else(|| zones.get(apex.to_ascii_lowercase().as_slice()));
    let zone = zone.ok_or("unknown zone: call set_zone first")?;
    let name = Name::read(owner).filter(|name| name.wire().len() == owner.len());
    let name = name.ok_or("the owner is not a valid wire name")?;
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
    fn empty_non_terminals_exist_while_names_are_below() {
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
    fn wildcards_and_occluders_are_counted() {
        let zones = zones();
        let (wildcard, cut) = (&b"\x01*\x02ex\x00"[..], &b"\x01c\x02ex\x00"[..]);
        change(&zones, wildcard, 1, Some(&[10, 0, 0, 1]));
        change(&zones, wildcard, 16, Some(b"\x01a"));
        change(&zones, cut, 2, Some(b"\x01a\x00"));
        change(&zones, APEX, 2, Some(b"\x01a\x00"));
        let flags = || {
            let guard = &epoch::pin();
            let zone = zones.find(&Name::read(APEX).unwrap(), 0, guard).unwrap();
            (zone.has_wildcards(), zone.has_occluders(), zone.has_dnames())
        };
        assert_eq!(flags(), (true, true, false));
        change(&zones, wildcard, 1, None);
        change(&zones, cut, 39, Some(b"\x01a\x00"));
        assert_eq!(flags(), (true, true, true));
        change(&zones, cut, 2, None);
        assert_eq!(flags(), (true, true, true));
        change(&zones, cut, 39, None);
        assert_eq!(flags(), (true, false, false));
        change(&zones, wildcard, 16, None);
        assert_eq!(flags(), (false, false, false));
        change(&zones, APEX, 39, Some(b"\x01a\x00"));
        assert_eq!(flags(), (false, true, true));
        change(&zones, APEX, 39, None);
        assert_eq!(flags(), (false, false, false));
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
    fn rejected_change_does_not_affect_others() {
        let zones = zones();
        let good = rrset::pack(30, &[(1, &[10, 0, 0, 1])]);
        let bad = rrset::pack(30, &[(1, &[10, 0])]);
        let owner = &b"\x01a\x02ex\x00"[..];
        let rejected = zones.apply(&[
            (APEX, owner, 1, Some(&good)),
            (APEX, owner, 28, Some(&bad)),
            (APEX, b"\x03com\x00", 1, Some(&good)),
            (b"\x03com\x00", owner, 1, Some(&good)),
            (APEX, b"\x01b\x02ex\x00", 1, Some(&good)),
        ]);
        assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(names(&zones), 3);
    }
}
