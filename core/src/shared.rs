//! What all workers share.

use crossbeam_epoch::{Atomic, Guard, Owned};
use std::sync::atomic::Ordering::*;

use crate::options::Options;
use crate::rate::RateLimiter;
use crate::zones::Zones;

/// Zones, options and the rate limiter; read without a lock.
pub struct Shared {
    pub zones: Zones,
    pub rate: RateLimiter,
    /// Keys what an attacker must not foresee.
    pub seed: u64,
    options: Atomic<Options>,
}

impl Shared {
    /// No zones, default options; `seed` should be random.
    pub fn new(seed: u64) -> Shared {
        Shared {
            zones: Zones::new(seed),
            rate: RateLimiter::default(),
            seed,
            options: Atomic::new(Options::default()),
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
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `&mut self` says that nobody reads the options any more.
        unsafe { drop(std::mem::replace(&mut self.options, Atomic::null()).into_owned()) };
    }
}
