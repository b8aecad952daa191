//! Collects records into packed RRsets, by owner and type.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use crate::rdata_text::{Kind, folded, name_to_text, rtype, same_rdata};

use super::{MAX_TTL, Rrset};

/// Maximum RRsets of one owner; about 100 types are assigned.
const MAX_TYPES: u16 = 256;
/// Maximum records of one RRset: the packed count has 16 bits.
const MAX_RECORDS: u16 = u16::MAX;
/// Maximum records of one RRset that are compared in turn; larger ones use a set.
const MAX_COMPARED: u16 = 32;
/// The end of a chain of RRsets.
const NONE: u32 = u32::MAX;

// Layout of a packed RRset: ttl u32, expires u64, policy u8, k u8, count u16; then for each
// record weight u16, length u16, rdata.
const COUNT: usize = 14;
const HEADER: usize = 16;
const RECORD_HEADER: usize = 4;

struct Owner {
    name: Vec<u8>,
    hash: u32,
    /// The first RRset of the chain.
    first: u32,
    types: u16,
    has_cname: bool,
    /// True if it has records that conflict with a CNAME.
    has_other: bool,
}

struct Set {
    owner: u32,
    /// The next RRset of the same owner.
    next: u32,
    rtype: u16,
    packed: Vec<u8>,
}

/// The RRsets of a zone that is being read.
#[derive(Default)]
pub struct Rrsets {
    owners: Vec<Owner>,
    sets: Vec<Set>,
    /// Hash table with open addressing: index of the owner + 1, or 0 if free. The length is a power of
    /// two.
    slots: Vec<u32>,
    hasher: RandomState,
    lower: Vec<u8>,
    /// The records of large RRsets, with names in lower case.
    seen: HashMap<u32, HashSet<Vec<u8>>>,
}

impl Rrsets {
    /// Adds a record; a duplicate only lowers the TTL. Fails if the record conflicts with others.
    pub fn add(&mut self, owner: &[u8], kind: Kind, ttl: u32, rdata: &[u8]) -> Result<(), String> {
        let owner = self.owner(owner);
        let index = match self.find(owner, kind.code) {
            Some(index) => index,
            None => return self.create(owner, kind, ttl, rdata),
        };
        let packed = &self.sets[index].packed;
        let count = u16::from_be_bytes([packed[COUNT], packed[COUNT + 1]]);
        if !self.is_known(index, count, rdata) {
            if kind.is_singleton() {
                let owner = name_to_text(&self.owners[owner].name);
                return Err(format!(
                    "second {kind} record at {owner}, expected one: the first is used"
                ));
            }
            if count == MAX_RECORDS {
                return Err(format!("{kind}: expected at most {MAX_RECORDS} records at one owner"));
            }
            let packed = &mut self.sets[index].packed;
            push_record(packed, kind.code, rdata);
            packed[COUNT..HEADER].copy_from_slice(&(count + 1).to_be_bytes());
        }
        let packed = &mut self.sets[index].packed;
        if let Some(lowest) = packed.first_chunk_mut::<4>() {
            *lowest = u32::from_be_bytes(*lowest).min(ttl).to_be_bytes();
        }
        Ok(())
    }

    /// Notes a record at `owner` that is stored elsewhere.
    pub fn occupy(&mut self, owner: &[u8], kind: Kind) -> Result<(), String> {
        let owner = self.owner(owner);
        self.check_cname(owner, kind)?;
        self.owners[owner].has_other |= !kind.is_allowed_with_cname();
        Ok(())
    }

    /// Returns the RRsets, in order of first appearance.
    pub fn finish(mut self) -> Vec<Rrset> {
        let mut out = Vec::with_capacity(self.sets.len());
        for set in self.sets {
            let owner = &mut self.owners[set.owner as usize];
            owner.types -= 1;
            let name = match owner.types {
                0 => std::mem::take(&mut owner.name),
                _ => owner.name.clone(),
            };
            out.push((name, set.rtype, set.packed));
        }
        out
    }

    /// Adds an RRset with one record.
    fn create(&mut self, owner: usize, kind: Kind, ttl: u32, rdata: &[u8]) -> Result<(), String> {
        self.check_cname(owner, kind)?;
        let index = self.sets.len() as u32;
        let node = &mut self.owners[owner];
        if node.types == MAX_TYPES {
            return Err(format!("{kind}: expected at most {MAX_TYPES} types at one owner"));
        }
        node.types += 1;
        node.has_cname |= kind.code == rtype::CNAME;
        node.has_other |= kind.code != rtype::CNAME && !kind.is_allowed_with_cname();
        let next = std::mem::replace(&mut node.first, index);
        let mut packed = Vec::with_capacity(HEADER + RECORD_HEADER + rdata.len());
        packed.extend_from_slice(&ttl.min(MAX_TTL).to_be_bytes());
        packed.extend_from_slice(&[0; 10]); // never expires, policy "all"
        packed.extend_from_slice(&1u16.to_be_bytes());
        push_record(&mut packed, kind.code, rdata);
        self.sets.push(Set { owner: owner as u32, next, rtype: kind.code, packed });
        Ok(())
    }

    /// Checks that a CNAME has no other records next to it (RFC 1034 section 3.6.2): the first record
    /// wins.
    fn check_cname(&self, owner: usize, kind: Kind) -> Result<(), String> {
        let node = &self.owners[owner];
        if kind.code == rtype::CNAME && node.has_other {
            let name = name_to_text(&node.name);
            return Err(format!("CNAME at {name} next to other records: it is ignored"));
        }
        if kind.code != rtype::CNAME && node.has_cname && !kind.is_allowed_with_cname() {
            let name = name_to_text(&node.name);
            return Err(format!("{kind} at {name} next to a CNAME: it is ignored"));
        }
        Ok(())
    }

    /// Returns whether the RRset has the record. If not, the caller adds it.
    fn is_known(&mut self, index: usize, count: u16, rdata: &[u8]) -> bool {
        let Set { rtype, packed, .. } = &self.sets[index];
        if count < MAX_COMPARED {
            return records(packed).any(|other| same_rdata(*rtype, other, rdata));
        }
        let seen = self
            .seen
            .entry(index as u32)
            .or_insert_with(|| records(packed).map(|other| folded(*rtype, other)).collect());
        if count == MAX_RECORDS {
            return seen.contains(&folded(*rtype, rdata));
        }
        !seen.insert(folded(*rtype, rdata))
    }

    /// Returns the index of the RRset of an owner and type.
    fn find(&self, owner: usize, rtype: u16) -> Option<usize> {
        let mut next = self.owners[owner].first;
        while let Some(set) = self.sets.get(next as usize) {
            if set.rtype == rtype {
                return Some(next as usize);
            }
            next = set.next;
        }
        None
    }

    /// Returns the index of the owner with a name, which is added if it is new.
    fn owner(&mut self, name: &[u8]) -> usize {
        if self.owners.len() * 2 >= self.slots.len() {
            self.grow();
        }
        self.lower.clear();
        self.lower.extend(name.iter().map(u8::to_ascii_lowercase));
        let hash = self.hasher.hash_one(&self.lower) as u32;
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while let Some(index) = self.slots[slot].checked_sub(1) {
            let owner = &self.owners[index as usize];
            // Length bytes are below 64 and therefore no letters.
            if owner.hash == hash && owner.name.eq_ignore_ascii_case(name) {
                return index as usize;
            }
            slot = (slot + 1) & mask;
        }
        self.owners.push(Owner {
            name: name.to_vec(),
            hash,
            first: NONE,
            types: 0,
            has_cname: false,
            has_other: false,
        });
        self.slots[slot] = self.owners.len() as u32;
        self.owners.len() - 1
    }

    fn grow(&mut self) {
        let length = (self.slots.len() * 2).max(1024);
        self.slots = vec![0; length];
        for (index, owner) in self.owners.iter().enumerate() {
            let mut slot = owner.hash as usize & (length - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (length - 1);
            }
            self.slots[slot] = index as u32 + 1;
        }
    }
}

/// Appends a record to a packed RRset.
fn push_record(packed: &mut Vec<u8>, code: u16, rdata: &[u8]) {
    // An SRV record has priority, then weight (RFC 2782). All other types have weight 1.
    let weight = match rdata {
        [_, _, high, low, ..] if code == rtype::SRV => [*high, *low],
        _ => [0, 1],
    };
    packed.extend_from_slice(&weight);
    packed.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    packed.extend_from_slice(rdata);
}

/// Iterates over the rdata of a packed RRset.
fn records(packed: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = &packed[HEADER..];
    std::iter::from_fn(move || {
        let (header, after) = rest.split_first_chunk::<RECORD_HEADER>()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let (rdata, after) = after.split_at_checked(length)?;
        rest = after;
        Some(rdata)
    })
}
