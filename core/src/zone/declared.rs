//! A zone that this server answers for.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::*};

use crossbeam_epoch::{Atomic, Guard, Owned, Shared};

use crate::message::wire::rtype;
use crate::workers::ZoneRow;
use crate::zone::name_index::NameIndex;
use crate::zone::table::{Node, Table};

/// The state of a zone, which depends on its sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum State {
    /// All records are known: negative answers are final.
    Live = 0,
    /// Records may be missing: negative answers are SERVFAIL.
    #[default]
    Loading = 1,
    /// Records may be outdated: answers carry the extended error "Stale Answer".
    Stale = 2,
    /// Negative answers as in `Loading`, positive answers as in `Stale`.
    Restoring = 3,
}

impl TryFrom<u8> for State {
    type Error = String;

    fn try_from(number: u8) -> Result<State, String> {
        State::from_number(number)
            .ok_or_else(|| format!("{number} is not a state of a zone: expected 0 to 3"))
    }
}

impl State {
    #[inline]
    const fn from_number(number: u8) -> Option<State> {
        Some(match number {
            0 => State::Live,
            1 => State::Loading,
            2 => State::Stale,
            3 => State::Restoring,
            _ => return None,
        })
    }
}

/// The first bytes of a wildcard (RFC 4592 section 2.1.1).
pub(super) const WILDCARD: &[u8] = b"\x01*";

/// A zone that this server answers for.
pub struct Zone {
    pub(super) apex: Box<[u8]>,
    pub(super) hash: u64,
    pub(super) table: Table,
    /// A `State`.
    pub(super) state: AtomicU8,
    /// Number of owner names that begin with `*`, empty non-terminals included (RFC 4592). If it is
    /// 0, no wildcard is searched.
    wildcards: AtomicU32,
    /// Number of owner names that occlude the names below them: with NS below the apex, or with DNAME.
    /// If it is 0, none is searched.
    pub(super) occluders: AtomicU32,
    /// Number of owner names with DNAME.
    pub(super) dnames: AtomicU32,
    /// The row in which workers count its queries.
    pub(super) row: ZoneRow,
    /// Its names as a tree, if it answers questions with wildcard labels; else null.
    index: Atomic<NameIndex>,
}

impl Zone {
    pub(super) fn new(apex: &[u8], hash: u64, row: ZoneRow) -> Zone {
        Zone {
            apex: apex.into(),
            hash,
            table: Table::default(),
            state: (State::Loading as u8).into(),
            wildcards: 0.into(),
            occluders: 0.into(),
            dnames: 0.into(),
            row,
            index: Atomic::null(),
        }
    }

    /// Returns the wire name of the apex in lower case.
    #[inline]
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// Returns the row that counts its queries in `ZoneCounters`.
    #[inline]
    pub fn row(&self) -> usize {
        self.row.number()
    }

    /// Returns the state.
    #[inline]
    pub fn state(&self) -> State {
        // Only states are stored, so the default is never used.
        State::from_number(self.state.load(Relaxed)).unwrap_or_default()
    }

    /// Returns whether an owner name begins with `*`.
    #[inline]
    pub fn has_wildcards(&self) -> bool {
        self.wildcards.load(Relaxed) > 0
    }

    /// Returns whether an owner name occludes the names below it: a zone cut, or one with DNAME.
    #[inline]
    pub fn has_occluders(&self) -> bool {
        self.occluders.load(Relaxed) > 0
    }

    /// Returns whether an owner name has a DNAME record.
    #[inline]
    pub fn has_dnames(&self) -> bool {
        self.dnames.load(Relaxed) > 0
    }

    /// Returns whether a node occludes the names below it, and whether it has a DNAME record.
    pub(super) fn occlusion(&self, node: &Node) -> [bool; 2] {
        let has = |rtype| node.rrsets().any(|rrset| rrset.rtype() == rtype);
        let dname = has(rtype::DNAME);
        [dname || (node.name() != self.apex() && has(rtype::NS)), dname]
    }

    /// Returns the index of the names, if questions may have wildcard labels.
    #[inline]
    pub fn index<'g>(&self, guard: &'g Guard) -> Option<&'g NameIndex> {
        // SAFETY: an old index is destroyed only after every guard that could have loaded it is gone.
        unsafe { self.index.load(Acquire, guard).as_ref() }
    }

    /// Makes or drops the index of the names. Only for the writer.
    pub(super) fn set_index(&self, wanted: bool, guard: &Guard) {
        if wanted == self.index(guard).is_some() {
            return;
        }
        let mut new = Shared::null();
        if wanted {
            let index = NameIndex::default();
            self.nodes(guard).for_each(|node| index.insert(node.name(), self.apex.len(), guard));
            new = Owned::new(index).into_shared(guard);
        }
        let old = self.index.swap(new, AcqRel, guard);
        if !wanted {
            // SAFETY: not null, and the swap removed the only path to it.
            unsafe { guard.defer_destroy(old) };
        }
    }

    /// Iterates over the owner names, empty non-terminals included, in no order.
    pub fn nodes<'g>(&self, guard: &'g Guard) -> impl Iterator<Item = &'g Node> {
        self.table.nodes(guard)
    }

    /// Adds a new name.
    pub(super) fn insert(&self, node: Node, guard: &Guard) {
        if node.name().starts_with(WILDCARD) {
            self.wildcards.fetch_add(1, Release);
        }
        let index = self.index(guard);
        // Before the name is in the table: a name that is only in the index does not exist.
        index.inspect(|index| index.insert(node.name(), self.apex.len(), guard));
        self.table.put(node, guard);
    }

    /// Removes an existing name.
    pub(super) fn remove(&self, hash: u64, name: &[u8], guard: &Guard) {
        self.table.remove(hash, name, guard);
        if name.starts_with(WILDCARD) {
            self.wildcards.fetch_sub(1, Release);
        }
        self.index(guard).inspect(|index| index.remove(name, self.apex.len(), guard));
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        // SAFETY: `&mut self` says that nothing reads the index any longer.
        unsafe { drop(std::mem::replace(&mut self.index, Atomic::null()).try_into_owned()) };
    }
}
