//! The zones as the standards see them: maps from names to RRsets, searched from the start.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::message::{ANY, CNAME, DS, Labels, NS};

/// An RRset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub ttl: u32,
    pub expires: u64,
    pub policy: u8,
    pub k: u8,
    pub rdatas: Vec<Vec<u8>>,
}

impl Set {
    /// Unpack it; the form is known to be right.
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
            policy: header[12],
            k: header[13],
            rdatas,
        }
    }

    pub fn live(&self, now: u64) -> bool {
        self.expires == 0 || now < self.expires
    }
}

/// What a name has, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The owner that answers: the name itself or a wildcard.
    Answer(Labels),
    Alias(Labels),
    Cut(Labels),
    NoData,
    NoName,
}

/// A zone.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    pub apex: Labels,
    pub state: u8,
    pub names: BTreeMap<Labels, BTreeMap<u16, Set>>,
}

impl Zone {
    /// The RRset of a name and type that may be answered.
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

    /// Names with records and those above them up to the apex (RFC 4592 section 2.2.2).
    pub fn all_names(&self) -> BTreeSet<&[Vec<u8>]> {
        let above = |name| (self.apex.len()..=Labels::len(name)).map(move |end| &name[..end]);
        self.names.keys().flat_map(above).collect()
    }

    /// Whether a name exists: an RRset that has expired counts for the names above it only, until
    /// it is removed.
    pub fn exists(&self, name: &[Vec<u8>], now: u64) -> bool {
        let mut below = self.names.range::<[Vec<u8>], _>((Excluded(name), Unbounded));
        let sets = self.names.get(name);
        below.next().is_some_and(|(next, _)| next.starts_with(name))
            || sets.is_some_and(|sets| sets.values().any(|set| set.live(now)))
    }

    /// RFC 1034 section 4.3.2 and RFC 4592 section 3.3.1, for a name in this zone.
    pub fn look_up(&self, name: &[Vec<u8>], rtype: u16, now: u64) -> Found {
        // DS is the parent's, at the cut itself (RFC 4035 section 3.1.4.1).
        let lowest = if rtype == DS { name.len().saturating_sub(1) } else { name.len() };
        for end in self.apex.len() + 1..=lowest {
            if self.get(&name[..end], NS, now).is_some() {
                return Found::Cut(name[..end].into());
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
    /// Make a zone known.
    pub fn add(&mut self, apex: &Labels, state: u8) {
        let zone = Zone { apex: apex.clone(), state, names: BTreeMap::new() };
        self.zones.entry(apex.clone()).or_insert(zone);
    }

    /// The zone to ask: the deepest, but for DS the one above its apex, if that is here.
    pub fn zone(&self, name: &[Vec<u8>], rtype: u16) -> Option<&Zone> {
        let deepest = |end: usize| (0..=end).rev().find_map(|end| self.zones.get(&name[..end]));
        let zone = deepest(name.len())?;
        if rtype == DS && zone.apex == name && !name.is_empty() {
            return deepest(name.len() - 1).or(Some(zone));
        }
        Some(zone)
    }
}
