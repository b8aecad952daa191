//! What all workers share.

use crossbeam_epoch::{Atomic, Guard, Owned};
use std::sync::atomic::{AtomicU64, Ordering::*};

use crate::options::Options;
use crate::rate::RateLimiter;
use crate::zone::zones::Zones;

/// Zones, options and the rate limiter; read without a lock.
pub struct Shared {
    pub zones: Zones,
    pub rate: RateLimiter,
    /// Keys what an attacker must not foresee.
    pub seed: u64,
    options: Atomic<Options>,
    /// Boot time in ns from which on no answer is known to be current.
    live_until: AtomicU64,
}

impl Shared {
    /// No zones, default options; `seed` should be random.
    pub fn new(seed: u64) -> Shared {
        Shared {
            zones: Zones::new(seed),
            rate: RateLimiter::default(),
            seed,
            options: Atomic::new(Options::default()),
            live_until: u64::MAX.into(),
        }
    }

    /// The options that hold now.
    #[inline]
    pub fn options<'g>(&self, guard: &'g Guard) -> &'g Options {
        // SAFETY: never null; old ones are destroyed only after every guard is gone that could
        // have loaded them.
        unsafe { self.options.load(Acquire, guard).deref() }
    }

    /// Change the options for the packets to come.
    pub fn configure(&self, options: Options) {
        let guard = crossbeam_epoch::pin();
        let old = self.options.swap(Owned::new(options), AcqRel, &guard);
        // SAFETY: the swap took the only path to them.
        unsafe { guard.defer_destroy(old) };
        guard.flush();
    }

    /// Let answers be marked as stale from a boot time in ns on.
    pub fn set_live_until(&self, time: u64) {
        self.live_until.store(time, Release);
    }

    /// Whether answers are to be marked at a boot time in ns, whatever the state of their zone.
    #[inline]
    pub fn lapsed(&self, now: u64) -> bool {
        // With what changed before it was put off.
        now >= self.live_until.load(Acquire)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `&mut self` says that nobody reads the options any more.
        unsafe { drop(std::mem::replace(&mut self.options, Atomic::null()).into_owned()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_lapse_when_nobody_puts_it_off() {
        let shared = Shared::new(7);
        assert!(!shared.lapsed(u64::MAX - 1), "until it is set: never");
        shared.set_live_until(1000);
        assert_eq!([999, 1000, 1001].map(|now| shared.lapsed(now)), [false, true, true]);
        shared.set_live_until(2000);
        assert!(!shared.lapsed(1001));
    }
}
