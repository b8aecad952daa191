//! A model of the zones, close to the standards: maps from names to RRsets, searched linearly.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use _core::zone::declared::State;
use _core::zone::rrset::Policy;

use super::message::{ANY, CNAME, DNAME, DS, Labels, NS};

/// An RRset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub ttl: u32,
    pub expires: u64,
    pub policy: Policy,
    pub k: u8,
    pub rdatas: Vec<Vec<u8>>,
}

impl Set {
    /// Unpacks a valid packed RRset.
    pub fn unpack(packed: &[u8]) -> Set {
        let (header, mut rest) = packed.split_at(16);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
        let mut rdatas = Vec::new();
        while !rest.is_empty() {
            let (rdata, after) = rest[4..].split_at(number(&rest[2..4]) as usize);
            rdatas.push(rdata.to_vec());
            rest = after;
        }
        Set {
            ttl: number(&header[..4]) as u32,
            expires: number(&header[4..12]),
            policy: Policy::try_from(header[12]).expect("a policy"),
            k: header[13],
            rdatas,
        }
    }

    pub fn live(&self, now: u64) -> bool {
        self.expires == 0 || now < self.expires
    }
}

/// The result of a look-up, with the owner name found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The owner that answers: the name itself or a wildcard.
    Answer(Labels),
    Alias(Labels),
    /// The owner of the DNAME above.
    Redirect(Labels),
    Cut(Labels),
    NoData,
    NoName,
}

/// A zone.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    pub apex: Labels,
    pub state: State,
    pub names: BTreeMap<Labels, BTreeMap<u16, Set>>,
}

impl Zone {
    /// Returns the RRset of a name and type, unless it has expired.
    pub fn get(&self, name: &[Vec<u8>], rtype: u16, now: u64) -> Option<&Set> {
        self.names.get(name)?.get(&rtype).filter(|set| set.live(now))
    }

    pub fn put(&mut self, name: Labels, rtype: u16, set: Set) {
        self.names.entry(name).or_default().insert(rtype, set);
    }

    pub fn remove(&mut self, name: &Labels, rtype: u16) {
        if let Some(sets) = self.names.get_mut(name) {
            sets.remove(&rtype);
            if sets.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// Returns the names with records, and the names above them up to the apex (RFC 4592 section 2.2.2).
    pub fn all_names(&self) -> BTreeSet<&[Vec<u8>]> {
        let above = |name| (self.apex.len()..=Labels::len(name)).map(move |end| &name[..end]);
        self.names.keys().flat_map(above).collect()
    }

    /// Returns whether a name exists. Until it is removed, an expired RRset still counts for the names
    /// above it.
    pub fn exists(&self, name: &[Vec<u8>], now: u64) -> bool {
        let mut below = self.names.range::<[Vec<u8>], _>((Excluded(name), Unbounded));
        let sets = self.names.get(name);
        below.next().is_some_and(|(next, _)| next.starts_with(name))
            || sets.is_some_and(|sets| sets.values().any(|set| set.live(now)))
    }

    /// Looks up a name in this zone (RFC 1034 section 4.3.2, RFC 4592 section 3.3.1, RFC 6672 section
    /// 3.2).
    pub fn look_up(&self, name: &[Vec<u8>], rtype: u16, now: u64) -> Found {
        // DS at the cut itself belongs to the parent (RFC 4035 section 3.1.4.1).
        let lowest = if rtype == DS { name.len().saturating_sub(1) } else { name.len() };
        for end in self.apex.len()..=name.len() {
            let has = |rtype| self.get(&name[..end], rtype, now).is_some();
            if end > self.apex.len() && end <= lowest && has(NS) {
                return Found::Cut(name[..end].into());
            }
            if end < name.len() && has(DNAME) {
                return Found::Redirect(name[..end].into());
            }
        }
        if self.exists(name, now) {
            return self.at(name, rtype, now);
        }
        let Some(mut end) = name.len().checked_sub(1).filter(|end| *end >= self.apex.len()) else {
            return Found::NoData;
        };
        while end > self.apex.len() && !self.exists(&name[..end], now) {
            end -= 1;
        }
        let mut wildcard = name[..end].to_vec();
        wildcard.push(b"*".to_vec());
        if self.exists(&wildcard, now) { self.at(&wildcard, rtype, now) } else { Found::NoName }
    }

    fn at(&self, name: &[Vec<u8>], rtype: u16, now: u64) -> Found {
        let any = || self.names.get(name).is_some_and(|sets| sets.values().any(|s| s.live(now)));
        if self.get(name, rtype, now).is_some() || (rtype == ANY && any()) {
            return Found::Answer(name.into());
        }
        match self.get(name, CNAME, now) {
            Some(_) => Found::Alias(name.into()),
            None => Found::NoData,
        }
    }
}

/// All zones, by apex.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub zones: BTreeMap<Labels, Zone>,
}

impl Model {
    /// Adds a zone.
    pub fn add(&mut self, apex: &Labels, state: State) {
        let zone = Zone { apex: apex.clone(), state, names: BTreeMap::new() };
        self.zones.entry(apex.clone()).or_insert(zone);
    }

    /// Returns the zone that answers: the deepest one, but for DS at an apex the one above, if it exists.
    pub fn zone(&self, name: &[Vec<u8>], rtype: u16) -> Option<&Zone> {
        let deepest = |end: usize| (0..=end).rev().find_map(|end| self.zones.get(&name[..end]));
        let zone = deepest(name.len())?;
        if rtype == DS && zone.apex == name && !name.is_empty() {
            return deepest(name.len() - 1).or(Some(zone));
        }
        Some(zone)
    }
}
