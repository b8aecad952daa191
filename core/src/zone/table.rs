//! The owner names of one zone: a hash table whose readers never wait.
//!
//! There is one writer at a time, whose caller holds a lock. Readers pin an epoch (crossbeam-epoch) and
//! see each owner name as it was before or after a change. The name and RRsets of an owner are one
//! block of bytes, replaced as a whole. The table uses open addressing over two arrays: 32-bit
//! tags, so that a miss touches one cache line, and pointers. Chains were rejected because a node
//! can't be in the old and the new table while it grows, and a lock per shard because a reader could
//! wait for a writer that lost its CPU.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};

use crossbeam_epoch::{Atomic, Guard, Owned, Shared, unprotected};

use crate::zone::rrset::{RRset, RRsets};

/// An owner name and its RRsets. Without RRsets it is an empty non-terminal (RFC 4592 section 2.2.2).
pub struct Node {
    hash: u64,
    /// Number of owner names directly below, empty non-terminals included. Only the writer changes it.
    pub children: AtomicU32,
    /// Number of answers given under `rotate`.
    pub turn: AtomicU32,
    /// Length of the name, the name in lower case, the compiled RRsets.
    data: Box<[u8]>,
}

impl Node {
    /// Creates a node from its data: see `begin`.
    pub fn new(hash: u64, data: &[u8]) -> Node {
        Node { hash, children: 0.into(), turn: 0.into(), data: data.into() }
    }

    /// Starts the data of a node with its name in lower case; compiled RRsets follow.
    pub fn begin(data: &mut Vec<u8>, name: &[u8]) {
        data.clear();
        data.push(name.len() as u8);
        data.extend(name);
    }

    /// Returns the hash of the name.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the wire name in lower case.
    #[inline]
    pub fn name(&self) -> &[u8] {
        &self.data[1..1 + usize::from(self.data[0])]
    }

    /// Iterates over the RRsets.
    #[inline]
    pub fn rrsets(&self) -> RRsets<'_> {
        RRsets::new(&self.data[1 + usize::from(self.data[0])..])
    }

    /// Returns the RRset of a type, unless it has expired.
    #[inline]
    pub fn get(&self, rtype: u16, now: u64) -> Option<RRset<'_>> {
        self.rrsets().find(|rrset| rrset.rtype() == rtype && rrset.live(now))
    }

    /// Returns whether the name exists: it has an RRset that has not expired, or a name below it.
    #[inline]
    pub fn exists(&self, now: u64) -> bool {
        self.children.load(Relaxed) > 0 || self.rrsets().any(|rrset| rrset.live(now))
    }

    /// Returns the memory it takes in bytes, with an estimate of the allocator's overhead.
    pub fn memory(&self) -> usize {
        size_of::<Node>() + 16 + self.data.len() + 16
    }
}

struct Slots {
    tags: Box<[AtomicU32]>,
    nodes: Box<[Atomic<Node>]>,
}

impl Slots {
    fn new(capacity: usize) -> Slots {
        Slots {
            tags: (0..capacity).map(|_| AtomicU32::new(0)).collect(),
            nodes: (0..capacity).map(|_| Atomic::null()).collect(),
        }
    }

    /// Puts a node with a new name into the first free slot of its probe sequence.
    fn insert(&self, hash: u64, node: Shared<'_, Node>) {
        let mask = self.tags.len() - 1;
        let mut at = hash as usize & mask;
        while self.tags[at].load(Relaxed) != 0 {
            at = (at + 1) & mask;
        }
        // The node first, so that a reader that sees the tag finds it.
        self.nodes[at].store(node, Release);
        self.tags[at].store(tag(hash), Release);
    }

    /// Returns the slot and the node of a name.
    #[inline]
    fn find<'g>(
        &self, hash: u64, name: &[u8], guard: &'g Guard,
    ) -> Option<(&Atomic<Node>, &'g Node)> {
        let (mask, wanted) = (self.tags.len() - 1, tag(hash));
        let mut at = hash as usize & mask;
        loop {
            match self.tags[at].load(Acquire) {
                0 => return None,
                found if found == wanted => {
                    let node = self.nodes[at].load(Acquire, guard);
                    // SAFETY: nodes are destroyed only after every guard that could have loaded
                    // them is gone, and `guard` lives for 'g.
                    if let Some(node) = unsafe { node.as_ref() }
                        && node.name() == name
                    {
                        return Some((&self.nodes[at], node));
                    }
                }
                _ => {}
            }
            at = (at + 1) & mask;
        }
    }
}

/// Returns the part of a hash that a slot keeps. A tag of 0 marks a slot that was never used.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

/// All owner names of a zone.
pub struct Table {
    slots: Atomic<Slots>,
    /// Number of slots with a tag, those of removed names included. Only the writer uses it.
    used: AtomicUsize,
    /// Number of names.
    names: AtomicUsize,
    /// Bytes of the nodes.
    memory: AtomicUsize,
}

const MIN_CAPACITY: usize = 8;

impl Default for Table {
    fn default() -> Table {
        Table {
            slots: Atomic::new(Slots::new(MIN_CAPACITY)),
            used: 0.into(),
            names: 0.into(),
            memory: 0.into(),
        }
    }
}

impl Table {
    fn slots<'g>(&self, guard: &'g Guard) -> &'g Slots {
        // SAFETY: never null; an old array is destroyed only after every guard that could have
        // loaded it is gone.
        unsafe { self.slots.load(Acquire, guard).deref() }
    }

    /// Returns the node of a name in lower case.
    #[inline]
    pub fn get<'g>(&self, hash: u64, name: &[u8], guard: &'g Guard) -> Option<&'g Node> {
        self.slots(guard).find(hash, name, guard).map(|(_, node)| node)
    }

    /// Iterates over the nodes, in no order. One that is added meanwhile may be missing.
    pub fn nodes<'g>(&self, guard: &'g Guard) -> impl Iterator<Item = &'g Node> {
        // SAFETY: as in `Slots::find`.
        self.slots(guard)
            .nodes
            .iter()
            .filter_map(|node| unsafe { node.load(Acquire, guard).as_ref() })
    }

    /// Returns the number of names, empty non-terminals included.
    pub fn names(&self) -> usize {
        self.names.load(Relaxed)
    }

    /// Returns the memory that the nodes take, in bytes.
    pub fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }

    /// Puts a node, and replaces one of the same name. Only for the writer.
    pub fn put(&self, node: Node, guard: &Guard) {
        let hash = node.hash;
        self.memory.fetch_add(node.memory(), Relaxed);
        if let Some((slot, old)) = self.slots(guard).find(hash, node.name(), guard) {
            node.children.store(old.children.load(Relaxed), Relaxed);
            node.turn.store(old.turn.load(Relaxed), Relaxed);
            self.replace(slot, Owned::new(node).into_shared(guard), guard);
            return;
        }
        if (self.used.load(Relaxed) + 1) * 3 > self.slots(guard).tags.len() * 2 {
            self.rebuild(guard);
        }
        self.slots(guard).insert(hash, Owned::new(node).into_shared(guard));
        self.used.fetch_add(1, Relaxed);
        self.names.fetch_add(1, Relaxed);
    }

    /// Removes a name, if it is present. Only for the writer.
    pub fn remove(&self, hash: u64, name: &[u8], guard: &Guard) {
        if let Some((slot, _)) = self.slots(guard).find(hash, name, guard) {
            // The tag stays, so that names later in the probe sequence are still found.
            self.replace(slot, Shared::null(), guard);
            self.names.fetch_sub(1, Relaxed);
        }
    }

    fn replace(&self, slot: &Atomic<Node>, node: Shared<'_, Node>, guard: &Guard) {
        let old = slot.swap(node, AcqRel, guard);
        // SAFETY: `old` is not null (its caller found it), and the swap above removed the only path
        // by which a new reader could reach it. Readers that reached it before hold a guard.
        unsafe {
            self.memory.fetch_sub(old.deref().memory(), Relaxed);
            guard.defer_destroy(old);
        }
    }

    /// Moves the nodes to an array that is at most half full, and drops the tags of removed names.
    fn rebuild(&self, guard: &Guard) {
        let capacity = ((self.names() + 1) * 2).next_power_of_two().max(MIN_CAPACITY);
        let (slots, old) = (Slots::new(capacity), self.slots.load(Acquire, guard));
        // SAFETY: never null, protected by `guard`.
        for node in unsafe { old.deref() }.nodes.iter() {
            let node = node.load(Acquire, guard);
            // SAFETY: as in `find`; there is one writer.
            if let Some(found) = unsafe { node.as_ref() } {
                slots.insert(found.hash, node);
            }
        }
        self.used.store(self.names(), Relaxed);
        self.slots.store(Owned::new(slots), Release);
        // SAFETY: the store above removed the only path to it. Its nodes live on in the new array,
        // and dropping an `Atomic` does not drop its target.
        unsafe { guard.defer_destroy(old) };
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: `&mut self` says that nothing else reads this table any longer.
        let guard = unsafe { unprotected() };
        // SAFETY: as above. Each node is in one slot, and the array is dropped once.
        unsafe {
            let slots = self.slots.load(Relaxed, guard).into_owned();
            for node in &slots.nodes {
                let node = node.load(Relaxed, guard);
                if !node.is_null() {
                    drop(node.into_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn node(number: u64, rrsets: &[u8]) -> Node {
        // Hashes that collide in their low bits, so that names share a probe sequence.
        let mut data = Vec::new();
        Node::begin(&mut data, &number.to_be_bytes());
        data.extend(rrsets);
        Node::new(number << 32 | (number % 7), &data)
    }

    fn get(table: &Table, number: u64) -> Option<usize> {
        let guard = &crossbeam_epoch::pin();
        table.get(number << 32 | (number % 7), &number.to_be_bytes(), guard).map(Node::memory)
    }

    #[test]
    fn names_are_added_and_removed() {
        let table = Table::default();
        for round in 0..3 {
            for number in 0..1000 {
                table.put(node(number, b""), &crossbeam_epoch::pin());
            }
            assert!((0..1000).all(|number| get(&table, number).is_some()), "round {round}");
            assert!(get(&table, 1000).is_none());
            for number in (0..1000).filter(|number| number % 3 != 0) {
                let guard = &crossbeam_epoch::pin();
                table.remove(number << 32 | (number % 7), &number.to_be_bytes(), guard);
            }
            assert!((0..1000).all(|number| get(&table, number).is_some() == (number % 3 == 0)));
            assert_eq!(table.names(), 334);
        }
        assert!(
            table.slots(&crossbeam_epoch::pin()).tags.len() <= 4096,
            "removed names take no space"
        );
    }

    #[test]
    fn readers_always_find_a_name_that_stays() {
        let (table, done) = (Table::default(), AtomicBool::new(false));
        table.put(node(1, b""), &crossbeam_epoch::pin());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        assert!(get(&table, 1).is_some());
                    }
                });
            }
            for number in 2..20_000 {
                let guard = &crossbeam_epoch::pin();
                table.put(node(number, b""), guard);
                table.put(node(1, &vec![0; number as usize % 50]), guard);
                let old = number - 1;
                if old > 1 {
                    table.remove(old << 32 | (old % 7), &old.to_be_bytes(), guard);
                }
            }
            done.store(true, Relaxed);
        });
        assert_eq!(table.names(), 2);
    }
}
