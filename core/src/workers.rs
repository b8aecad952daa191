//! The counters of all workers, and the rows in them that belong to the zones.

use std::collections::VecDeque;
use std::sync::atomic::{Ordering::Acquire, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::counters::{Counters, NAMES};
use crate::histogram::Durations;
use crate::request::Transport;
use crate::zone_counters::{MAX_ROWS, RCODES};

/// The counters of all workers.
#[derive(Default)]
pub struct Workers(Mutex<State>);

#[derive(Default)]
struct State {
    /// Includes the counters of stopped threads, so that sums never decrease.
    counters: Vec<Arc<Counters>>,
    /// Rows that zones have or had.
    rows: usize,
    /// Rows of removed zones, with what tells if a worker may still use them.
    removed: VecDeque<(usize, Weak<()>)>,
}

/// The row of a zone in the counters of each worker.
pub struct ZoneRow {
    number: usize,
    used: Arc<()>,
}

impl ZoneRow {
    /// Returns the number of the row, `MAX_ROWS` for none.
    #[inline]
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Workers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns counters for a new worker, perhaps those of a stopped one.
    pub fn new_counters(&self) -> Arc<Counters> {
        let mut state = self.lock();
        let unused = |counters: &&Arc<Counters>| Arc::strong_count(counters) == 1;
        if let Some(counters) = state.counters.iter().find(unused) {
            // Their worker has written them before it released them.
            fence(Acquire);
            return counters.clone();
        }
        let counters = Arc::<Counters>::default();
        counters.zones.reserve(state.rows);
        state.counters.push(counters.clone());
        counters
    }

    /// Returns the row of a new zone, which is zero; beyond `MAX_ROWS`, one that is not counted.
    ///
    /// The rows are allocated here, because workers allocate nothing.
    pub fn add_zone(&self) -> ZoneRow {
        let mut state = self.lock();
        let number = match state.removed.front() {
            Some((number, used)) if used.strong_count() == 0 => {
                let number = *number;
                // Workers have written the row before they released the zone.
                fence(Acquire);
                state.counters.iter().for_each(|counters| counters.zones.clear(number));
                state.removed.pop_front();
                number
            }
            _ if state.rows < MAX_ROWS => {
                state.rows += 1;
                let rows = state.rows;
                state.counters.iter().for_each(|counters| counters.zones.reserve(rows));
                rows - 1
            }
            _ => MAX_ROWS,
        };
        ZoneRow { number, used: Arc::default() }
    }

    /// Lets the row of a removed zone be used again, when no worker reads the zone any more.
    pub fn remove_zone(&self, row: &ZoneRow) {
        if row.number < MAX_ROWS {
            self.lock().removed.push_back((row.number, Arc::downgrade(&row.used)));
        }
    }

    /// Returns the sums of all counters, in the order of `NAMES`.
    pub fn sums(&self) -> [u64; NAMES.len()] {
        let mut sums = [0; NAMES.len()];
        self.lock().counters.iter().for_each(|counters| counters.sum_into(&mut sums));
        sums
    }

    /// Returns the time from reading a query to sending its reply.
    pub fn durations(&self, transport: Transport) -> Durations {
        let mut sum = Durations::default();
        let state = self.lock();
        state.counters.iter().for_each(|counters| counters.add_durations(transport, &mut sum));
        sum
    }

    /// Returns the queries by row, and by response code in the order of `RCODES`.
    pub fn zone_queries(&self) -> Vec<[u64; RCODES.len()]> {
        let state = self.lock();
        let mut sums = vec![[0; RCODES.len()]; state.rows];
        state.counters.iter().for_each(|counters| counters.zones.add_to(&mut sums));
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counter;
    use crate::message::wire::rcode::NOERROR;

    fn queries(workers: &Workers, row: &ZoneRow) -> u64 {
        workers.zone_queries()[row.number()][0]
    }

    #[test]
    fn workers_and_zones_may_come_in_any_order() {
        let workers = Workers::default();
        let early = workers.new_counters();
        let rows = [workers.add_zone(), workers.add_zone()];
        let late = workers.new_counters();
        for counters in [&early, &late] {
            counters.zones.count(rows[1].number(), NOERROR);
        }
        assert_eq!(rows.each_ref().map(|row| queries(&workers, row)), [0, 2]);
    }

    #[test]
    fn row_is_reused_from_zero_once_its_zone_is_gone() {
        let workers = Workers::default();
        let counters = workers.new_counters();
        let old = workers.add_zone();
        counters.zones.count(old.number(), NOERROR);
        workers.remove_zone(&old);
        let meanwhile = workers.add_zone();
        assert_ne!(meanwhile.number(), old.number());
        let number = old.number();
        drop(old);
        let new = workers.add_zone();
        assert_eq!((new.number(), queries(&workers, &new)), (number, 0));
        assert_eq!(workers.zone_queries().len(), 2);
    }

    #[test]
    fn counters_of_a_stopped_worker_are_continued() {
        let workers = Workers::default();
        for _ in 0..3 {
            workers.new_counters().count(Counter::Udp);
        }
        assert_eq!(workers.sums()[Counter::Udp as usize], 3);
        assert_eq!(workers.lock().counters.len(), 1);
    }

    #[test]
    fn zones_beyond_the_limit_are_not_counted() {
        let workers = Workers::default();
        workers.lock().rows = MAX_ROWS;
        let row = workers.add_zone();
        assert_eq!(row.number(), MAX_ROWS);
        workers.remove_zone(&row);
        drop(row);
        assert_eq!(workers.add_zone().number(), MAX_ROWS);
        assert!(workers.lock().removed.is_empty());
    }
}
