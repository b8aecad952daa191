//! Queries counted by zone and response code: the rows of one worker, which alone writes them.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::array::from_fn;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};

/// Response codes of the answers from a zone, in the order of the counters in a row.
pub const RCODES: [&str; 8] =
    ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "yxdomain", "badcookie"];
/// Zones that are counted.
pub const MAX_ROWS: usize = CHUNK * CHUNKS;

/// Rows that are allocated together. The kernel reserves memory only for those that are used.
const CHUNK: usize = 4096;
const CHUNKS: usize = 256;

/// Queries of a zone by response code: one cache line.
#[repr(align(64))]
struct Row([AtomicU64; RCODES.len()]);

type Chunk = [Row; CHUNK];

/// The rows of all zones.
pub struct ZoneCounters {
    /// Null until a chunk is allocated.
    chunks: [AtomicPtr<Chunk>; CHUNKS],
}

impl Default for ZoneCounters {
    fn default() -> ZoneCounters {
        ZoneCounters { chunks: from_fn(|_| AtomicPtr::default()) }
    }
}

impl ZoneCounters {
    /// Allocates the first `rows` rows. Queries of other rows are not counted. Two threads must not call
    /// this at the same time.
    pub fn reserve(&self, rows: usize) {
        for chunk in &self.chunks[..rows.div_ceil(CHUNK).min(CHUNKS)] {
            if chunk.load(Relaxed).is_null() {
                chunk.store(zeroed(), Release);
            }
        }
    }

    /// Counts a query.
    #[inline]
    pub fn count(&self, row: usize, rcode: u16) {
        if let Some(row) = self.row(row) {
            // The lowest bits differ for all codes in `RCODES`: BADCOOKIE is 23.
            let cell = &row.0[usize::from(rcode) % RCODES.len()];
            cell.store(cell.load(Relaxed) + 1, Relaxed);
        }
    }

    /// Clears a row, which its worker must not use.
    pub fn clear(&self, row: usize) {
        if let Some(row) = self.row(row) {
            row.0.iter().for_each(|cell| cell.store(0, Relaxed));
        }
    }

    /// Adds the first rows to `sums`.
    pub fn add_to(&self, sums: &mut [[u64; RCODES.len()]]) {
        for (chunk, sums) in self.chunks.iter().zip(sums.chunks_mut(CHUNK)) {
            let Some(rows) = get(chunk) else { return };
            for (row, sums) in rows.iter().zip(sums) {
                for (cell, sum) in row.0.iter().zip(sums) {
                    *sum += cell.load(Relaxed);
                }
            }
        }
    }

    #[inline]
    fn row(&self, row: usize) -> Option<&Row> {
        get(self.chunks.get(row / CHUNK)?).map(|rows| &rows[row % CHUNK])
    }
}

impl Drop for ZoneCounters {
    fn drop(&mut self) {
        for chunk in &mut self.chunks {
            let chunk = *chunk.get_mut();
            if !chunk.is_null() {
                // SAFETY: `zeroed` made it from a box, and `&mut self` says that nothing uses it.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}

/// Returns a chunk that is allocated.
#[inline]
fn get(chunk: &AtomicPtr<Chunk>) -> Option<&Chunk> {
    // SAFETY: null, or a chunk that lives as long as `ZoneCounters`.
    unsafe { chunk.load(Acquire).as_ref() }
}

/// Allocates a chunk without writing to it, so that its pages are used only when they are written.
fn zeroed() -> *mut Chunk {
    let layout = Layout::new::<Chunk>();
    // SAFETY: the layout has a size, and all zero is valid for the integers of a chunk.
    let chunk = unsafe { alloc_zeroed(layout) };
    if chunk.is_null() {
        handle_alloc_error(layout);
    }
    chunk.cast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::wire::rcode;

    fn sums(counters: &ZoneCounters, rows: usize) -> Vec<[u64; RCODES.len()]> {
        let mut sums = vec![[0; RCODES.len()]; rows];
        counters.add_to(&mut sums);
        sums
    }

    #[test]
    fn each_response_code_of_a_zone_has_its_counter() {
        let codes = [
            (rcode::NOERROR, "noerror"),
            (rcode::FORMERR, "formerr"),
            (rcode::SERVFAIL, "servfail"),
            (rcode::NXDOMAIN, "nxdomain"),
            (rcode::NOTIMP, "notimp"),
            (rcode::REFUSED, "refused"),
            (rcode::YXDOMAIN, "yxdomain"),
            (rcode::BADCOOKIE, "badcookie"),
        ];
        let counters = ZoneCounters::default();
        counters.reserve(2);
        for (index, (code, name)) in codes.iter().enumerate() {
            counters.count(1, *code);
            let mut expected = [0; RCODES.len()];
            expected[..=index].fill(1);
            assert_eq!((sums(&counters, 2)[1], RCODES[index]), (expected, *name));
        }
    }

    #[test]
    fn rows_in_every_chunk_are_separate() {
        let counters = ZoneCounters::default();
        let rows = [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 7];
        counters.reserve(2 * CHUNK + 1);
        for (count, row) in rows.iter().enumerate() {
            (0..=count).for_each(|_| counters.count(*row, rcode::NXDOMAIN));
        }
        let found = sums(&counters, 3 * CHUNK);
        for (count, row) in rows.iter().enumerate() {
            assert_eq!(found[*row][3], count as u64 + 1, "row {row}");
        }
        assert_eq!(found.iter().flatten().sum::<u64>(), 15);
    }

    #[test]
    fn row_that_is_not_reserved_is_not_counted() {
        let counters = ZoneCounters::default();
        counters.reserve(1);
        counters.count(CHUNK, rcode::NOERROR);
        counters.count(MAX_ROWS, rcode::NOERROR);
        counters.clear(MAX_ROWS);
        counters.reserve(2 * CHUNK);
        assert_eq!(sums(&counters, 2 * CHUNK).iter().flatten().sum::<u64>(), 0);
    }

    #[test]
    fn cleared_row_is_zero() {
        let counters = ZoneCounters::default();
        counters.reserve(3);
        (1..3).for_each(|row| counters.count(row, rcode::NOERROR));
        counters.clear(1);
        assert_eq!(sums(&counters, 3).iter().map(|row| row[0]).collect::<Vec<_>>(), [0, 0, 1]);
    }
}
