//! Response rate limiting of equal answers to one client network, so that the server can't be used to
//! flood a victim whose address is forged.
//!
//! All workers share one table of fixed size. A bucket is one 64-bit word, changed by compare and
//! swap without a lock. Two keys may share a bucket by chance (1 in 65,536 pairs); then each takes it
//! over from the other. So a flood of forged networks can lift the limit of a few other networks
//! for a moment, but nobody gets fewer answers than the limit.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Number of buckets.
const BUCKETS: usize = 1 << 16;
/// Answers that may be sent at once, in seconds of the rate.
const BURST_SECONDS: u64 = 1;

/// The decision about an answer.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send it truncated, so that a real client retries over TCP.
    Slip,
    /// Drop it.
    Drop,
}

/// The buckets; 0 is a bucket that was never used.
pub struct RateLimiter {
    buckets: Box<[AtomicU64]>,
}

impl Default for RateLimiter {
    fn default() -> RateLimiter {
        RateLimiter { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

/// An unpacked bucket. Levels are answers times 1000, so that a millisecond adds `rate`.
#[derive(Clone, Copy)]
struct Bucket {
    /// 16 bits of the key.
    tag: u64,
    /// The low 18 bits of the time in ms, which repeat after 4.3 minutes.
    time: u64,
    /// Answers left, times 1000: 30 bits hold a million per second.
    level: u64,
}

const TIME_BITS: u64 = 18;
const LEVEL_BITS: u64 = 30;

impl Bucket {
    fn unpack(word: u64) -> Bucket {
        Bucket {
            tag: word >> (TIME_BITS + LEVEL_BITS),
            time: (word >> LEVEL_BITS) & ((1 << TIME_BITS) - 1),
            level: word & ((1 << LEVEL_BITS) - 1),
        }
    }

    fn pack(self) -> u64 {
        (self.tag << (TIME_BITS + LEVEL_BITS)) | (self.time << LEVEL_BITS) | self.level
    }
}

impl RateLimiter {
    /// Counts an answer with the key `key` at `now` (ms), at a limit of `rate` per second (1 to
    /// 1,000,000).
    ///
    /// One in `slip` answers over the limit slips (0: none); `chance` is a random number that selects it.
    #[inline]
    pub fn check(&self, key: u64, now: u64, rate: u32, slip: u32, chance: u32) -> Verdict {
        let (full, cost) = (u64::from(rate) * 1000 * BURST_SECONDS, 1000);
        let slot = &self.buckets[key as usize & (BUCKETS - 1)];
        let tag = key >> 48 | 1;
        let now = now & ((1 << TIME_BITS) - 1);
        let mut word = slot.load(Relaxed);
        loop {
            let bucket = Bucket::unpack(word);
            let level = if bucket.tag == tag && word != 0 {
                let passed = now.wrapping_sub(bucket.time) & ((1 << TIME_BITS) - 1);
                (bucket.level + passed * u64::from(rate)).min(full)
            } else {
                full
            };
            let enough = level >= cost;
            let left = if enough { level - cost } else { level };
            let new = Bucket { tag, time: now, level: left }.pack();
            match slot.compare_exchange_weak(word, new, Relaxed, Relaxed) {
                Ok(_) if enough => return Verdict::Send,
                Ok(_) if slip > 0 && chance.is_multiple_of(slip) => return Verdict::Slip,
                Ok(_) => return Verdict::Drop,
                Err(other) => word = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_followed_by_the_rate() {
        let limiter = RateLimiter::default();
        let sent = |now: u64, times: usize| {
            (0..times).filter(|_| limiter.check(42, now, 10, 0, 0) == Verdict::Send).count()
        };
        assert_eq!(sent(1000, 100), 10);
        assert_eq!(sent(1050, 100), 0);
        assert_eq!(sent(1100, 100), 1);
        assert_eq!(sent(2100, 100), 10);
        assert_eq!(limiter.check(43, 2100, 10, 0, 0), Verdict::Send, "another client");
    }

    #[test]
    fn one_in_slip_answers_is_truncated() {
        let limiter = RateLimiter::default();
        limiter.check(1, 0, 1, 2, 0);
        assert_eq!(limiter.check(1, 0, 1, 2, 4), Verdict::Slip);
        assert_eq!(limiter.check(1, 0, 1, 2, 5), Verdict::Drop);
        assert_eq!(limiter.check(1, 0, 1, 0, 4), Verdict::Drop);
    }
}
