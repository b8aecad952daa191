//! State that all workers share.

use crossbeam_epoch::{Atomic, Guard, Owned};
use std::sync::atomic::{AtomicU64, Ordering::*};

use crate::options::Options;
use crate::rate::RateLimiter;
use crate::tap::Tap;
use crate::zone::zones::Zones;

/// Zones, options and the rate limiter, which are read without a lock.
pub struct Shared {
    pub zones: Zones,
    pub rate: RateLimiter,
    pub tap: Tap,
    /// Key of hashes that an attacker must not predict.
    pub seed: u64,
    options: Atomic<Options>,
    /// Boot time in ns from which answers are marked as stale.
    live_until: AtomicU64,
}

impl Shared {
    /// Creates the state without zones, with default options; `seed` should be random.
    pub fn new(seed: u64) -> Shared {
        Shared {
            zones: Zones::new(seed),
            rate: RateLimiter::default(),
            tap: Tap::default(),
            seed,
            options: Atomic::new(Options::default()),
            live_until: u64::MAX.into(),
        }
    }

    /// Returns the current options.
    #[inline]
    pub fn options<'g>(&self, guard: &'g Guard) -> &'g Options {
        // SAFETY: never null; old options are destroyed only after every guard that could have
        // loaded them is gone.
        unsafe { self.options.load(Acquire, guard).deref() }
    }

    /// Replaces the options, for the packets that follow.
    pub fn configure(&self, options: Options) {
        let guard = crossbeam_epoch::pin();
        let old = self.options.swap(Owned::new(options), AcqRel, &guard);
        // SAFETY: the swap removed the only path to them.
        unsafe { guard.defer_destroy(old) };
        guard.flush();
    }

    /// Sets the boot time (ns) from which all answers are marked as stale.
    pub fn set_live_until(&self, time: u64) {
        self.live_until.store(time, Release);
    }

    /// Returns whether all answers are marked as stale at a boot time (ns), whatever the state of their
    /// zone is.
    #[inline]
    pub fn lapsed(&self, now: u64) -> bool {
        // Acquire: pairs with the store in `set_live_until`, so that changes made before it are seen.
        now >= self.live_until.load(Acquire)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `&mut self` says that nothing reads the options any longer.
        unsafe { drop(std::mem::replace(&mut self.options, Atomic::null()).into_owned()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_lapse_unless_the_deadline_is_extended() {
        let shared = Shared::new(7);
        assert!(!shared.lapsed(u64::MAX - 1), "never before it is set");
        shared.set_live_until(1000);
        assert_eq!([999, 1000, 1001].map(|now| shared.lapsed(now)), [false, true, true]);
        shared.set_live_until(2000);
        assert!(!shared.lapsed(1001));
    }
}
