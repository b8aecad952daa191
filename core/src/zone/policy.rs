//! Selection of the records of an RRset that a client gets, and of their order.
//!
//! No state is kept per client: `sticky` and `subset` rank the records by weighted rendezvous hashing
//! of the client and the record (Thaler and Ravishankar 1998; weights as in Schindelhauer and
//! Schomaker 2005). The result is the same on every server and after every restart. When a record
//! is removed, only the clients that had it move.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::hash::{hash, mix};
use crate::zone::rrset::{Policy, RRset};
use crate::zone::wildcard_query::Merger;

/// A random number generator, xorshift64*: fast, good enough for shuffling, and not for secrets.
pub struct Random(u64);

impl Random {
    /// Creates a generator from any seed.
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    /// Returns the next random number.
    #[inline]
    pub fn draw(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// Returns a random number below `end`, which is not 0. Multiplies instead of dividing.
    #[inline]
    pub fn below(&mut self, end: usize) -> usize {
        ((u64::from(self.draw()) * end as u64) >> 32) as usize
    }
}

/// Selects records by policy, with buffers that are reused so that no answer allocates.
pub struct Selector {
    pub random: Random,
    /// Indices of the records selected last, in order.
    order: Vec<u16>,
    scores: Vec<(f64, u16)>,
    /// Merges the RRsets of a question with wildcard labels.
    pub merger: Merger,
}

impl Selector {
    /// Creates a selector; `seed` should be random.
    pub fn new(seed: u64) -> Selector {
        Selector {
            random: Random::new(seed),
            order: Vec::new(),
            scores: Vec::new(),
            merger: Merger::default(),
        }
    }

    /// Returns the indices of the records that a client gets, in order.
    ///
    /// `turn` counts the answers given under `rotate` for the owner name.
    #[inline]
    pub fn select(&mut self, rrset: &RRset<'_>, turn: &AtomicU32, client: u64) -> &[u16] {
        if rrset.count() == 1 {
            return &[0];
        }
        self.select_from_many(rrset, turn, client);
        &self.order
    }

    fn select_from_many(&mut self, rrset: &RRset<'_>, turn: &AtomicU32, client: u64) {
        let count = rrset.count();
        self.order.clear();
        match rrset.policy() {
            Policy::All => self.shuffle(count),
            Policy::One => {
                let index = self.pick_one(rrset);
                self.order.push(index as u16);
            }
            Policy::Rotate => self.order.push((turn.fetch_add(1, Relaxed) as usize % count) as u16),
            Policy::Sticky if !rrset.weighted() => {
                let score = |index: &usize| rank(client, rrset.rdata(*index));
                let best = (0..count).max_by_key(score).unwrap_or_default();
                self.order.push(best as u16);
            }
            Policy::Sticky => self.select_best(rrset, client, 1),
            Policy::Subset => self.select_best(rrset, client, rrset.k()),
        }
    }

    /// Selects all records; every order has the same probability (Fisher and Yates).
    fn shuffle(&mut self, count: usize) {
        self.order.extend(0..count as u16);
        for last in (1..count).rev() {
            let other = self.random.below(last + 1);
            self.order.swap(last, other);
        }
    }

    /// Returns a random record, by weight.
    fn pick_one(&mut self, rrset: &RRset<'_>) -> usize {
        let count = rrset.count();
        if !rrset.weighted() {
            return self.random.below(count);
        }
        let total: usize = (0..count).map(|index| share(rrset, index)).sum();
        let mut left = self.random.below(total);
        for index in 0..count {
            let share = share(rrset, index);
            if left < share {
                return index;
            }
            left -= share;
        }
        count - 1
    }

    /// Selects the `k` records that rank highest for the client, best first.
    fn select_best(&mut self, rrset: &RRset<'_>, client: u64, k: usize) {
        self.scores.clear();
        for index in 0..rrset.count() {
            // `uniform` is in (0, 1], and -ln(uniform) / weight is an exponential race: the record
            // with the smallest value wins with a probability in proportion to its weight.
            let uniform =
                ((rank(client, rrset.rdata(index)) >> 11) + 1) as f64 / (1u64 << 53) as f64;
            self.scores.push((-uniform.ln() / share(rrset, index) as f64, index as u16));
        }
        let k = k.min(self.scores.len());
        if k < self.scores.len() {
            self.scores.select_nth_unstable_by(k, |a, b| a.0.total_cmp(&b.0));
        }
        self.scores.truncate(k);
        self.scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        self.order.extend(self.scores.iter().map(|(_, index)| index));
    }
}

/// Returns the rank of a record for a client, which depends on nothing else.
#[inline]
fn rank(client: u64, rdata: &[u8]) -> u64 {
    mix(client ^ hash(0xa409_3822_299f_31d0, rdata), 0x082e_fa98_ec4e_6c89)
}

/// Returns the share of a weight: 0 beside other weights is a very small probability (RFC 2782).
#[inline]
fn share(rrset: &RRset<'_>, index: usize) -> usize {
    match rrset.weight(index) {
        0 => 1,
        weight => usize::from(weight) * 1000,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::networks::client_key;
    use crate::zone::rrset::{RRsets, compile, pack};

    fn rrset(policy: Policy, k: u8, weights: &[u16]) -> Vec<u8> {
        let rdatas: Vec<[u8; 4]> = (0..weights.len() as u8).map(|i| [10, 0, 0, i]).collect();
        let records: Vec<(u16, &[u8])> =
            weights.iter().zip(&rdatas).map(|(weight, rdata)| (*weight, &rdata[..])).collect();
        let mut packed = pack(30, &records);
        packed[12..14].copy_from_slice(&[policy as u8, k]);
        let mut out = Vec::new();
        compile(1, &packed, &mut out).unwrap();
        out
    }

    /// Returns how often each record comes first over many clients or answers, and the last order.
    fn firsts(bytes: &[u8], times: u32) -> (Vec<u32>, Vec<u16>) {
        let rrset = RRsets::new(bytes).next().unwrap();
        let (mut selector, turn) = (Selector::new(7), AtomicU32::new(0));
        let (mut counts, mut order) = (vec![0; rrset.count()], Vec::new());
        for number in 0..times {
            let client = client_key(IpAddr::from(number.to_be_bytes()));
            order = selector.select(&rrset, &turn, client).to_vec();
            counts[usize::from(order[0])] += 1;
        }
        (counts, order)
    }

    fn near(counts: &[u32], wanted: &[u32]) {
        for (count, wanted) in counts.iter().zip(wanted) {
            let slack = wanted / 10 + 60;
            assert!(count.abs_diff(*wanted) < slack, "{counts:?}, wanted {wanted}");
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        near(&firsts(&rrset(Policy::All, 0, &[1; 4]), 40_000).0, &[10_000; 4]);
        near(&firsts(&rrset(Policy::One, 0, &[1, 2, 7]), 40_000).0, &[4_000, 8_000, 28_000]);
        near(&firsts(&rrset(Policy::One, 0, &[1; 4]), 40_000).0, &[10_000; 4]);
        near(&firsts(&rrset(Policy::Sticky, 0, &[1; 4]), 40_000).0, &[10_000; 4]);
        near(&firsts(&rrset(Policy::Sticky, 0, &[1, 2, 7]), 40_000).0, &[4_000, 8_000, 28_000]);
        near(&firsts(&rrset(Policy::Subset, 2, &[1, 2, 7]), 40_000).0, &[4_000, 8_000, 28_000]);
        near(&firsts(&rrset(Policy::One, 0, &[0, 5]), 40_000).0, &[8, 40_000]);
        assert_eq!(firsts(&rrset(Policy::Rotate, 0, &[1; 4]), 40_000).0, [10_000; 4]);
    }

    #[test]
    fn subset_has_k_different_records() {
        let mut order = firsts(&rrset(Policy::Subset, 3, &[1; 8]), 5).1;
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), 3);
        assert_eq!(firsts(&rrset(Policy::Subset, 9, &[1; 4]), 1).1.len(), 4);
    }

    #[test]
    fn only_clients_of_a_removed_record_move() {
        for weights in [&[1u16; 5][..], &[1, 2, 3, 4, 5]] {
            let (before, after) =
                (rrset(Policy::Sticky, 0, weights), rrset(Policy::Sticky, 0, &weights[..4]));
            let (before, after) =
                (RRsets::new(&before).next().unwrap(), RRsets::new(&after).next().unwrap());
            let (mut selector, turn) = (Selector::new(7), AtomicU32::new(0));
            for number in 0..2_000u32 {
                let client = client_key(IpAddr::from(number.to_be_bytes()));
                let had = selector.select(&before, &turn, client)[0];
                assert!(had == 4 || had == selector.select(&after, &turn, client)[0]);
            }
        }
    }
}
