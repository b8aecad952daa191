//! Reports of answered queries: the query log and dnstap.
//!
//! A worker copies what it answered into a bounded ring (`outlet`), after the answers were sent. A
//! thread of each feed drains the rings and writes (`query_log`, `dnstap`). If it falls behind, the ring is full,
//! and entries are dropped and counted; so no answer waits for a disk or for a reader. While there is
//! no feed, a worker compares one number per batch.

pub mod dnstap;
pub mod entry;
pub mod feed;
pub mod filter;
mod frame_streams;
pub mod outlet;
pub mod query_log;

use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};

use feed::{Feed, Totals};

/// The feeds that get reports.
#[derive(Default)]
pub struct Tap {
    /// Changes with each change of `feeds`.
    version: AtomicU64,
    feeds: Mutex<Vec<Arc<Feed>>>,
    /// Totals of all query logs since the start.
    pub query_log: Arc<Totals>,
    /// Totals of all connections of dnstap since the start.
    pub dnstap: Arc<Totals>,
}

impl Tap {
    /// Reports to `new` from now on, and not to `old` any longer.
    pub fn replace(&self, old: Option<&Arc<Feed>>, new: Option<Arc<Feed>>) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| old.is_none_or(|old| !Arc::ptr_eq(feed, old)));
        feeds.extend(new);
        self.version.fetch_add(1, Release);
    }

    #[inline]
    fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    fn feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
