//! A feed: the rings that one consumer of reports drains.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::tap::filter::Filter;

/// Bytes of the ring of a worker. It holds the longest entry, and some ten thousand of the usual ones.
const RING: usize = 1 << 20;
/// Interval at which rings are drained.
pub const INTERVAL: Duration = Duration::from_millis(10);
/// Time that workers get to end their last batch for a feed that closes.
const SETTLE: Duration = Duration::from_millis(20);
/// Niceness of the threads of feeds, so that the workers run first.
const NICENESS: libc::c_int = 10;

/// Numbers of entries since the start of the server.
#[derive(Default)]
pub struct Totals {
    pub written: AtomicU64,
    pub dropped: AtomicU64,
}

/// The filter of one consumer, and the rings that lead to it.
pub struct Feed {
    pub filter: Filter,
    /// True if the feed gets whole messages, not only headers and questions.
    pub whole: bool,
    pub totals: Arc<Totals>,
    rings: Mutex<Vec<Consumer<u8>>>,
    closing: AtomicBool,
    /// Description of what keeps entries from being written; empty if nothing does, None before the
    /// first attempt.
    problem: Mutex<Option<String>>,
}

impl Feed {
    /// Creates a feed without rings.
    pub fn new(filter: Filter, whole: bool, totals: Arc<Totals>) -> Feed {
        let (rings, closing, problem) = Default::default();
        Feed { filter, whole, totals, rings, closing, problem }
    }

    /// Creates the ring of a worker.
    pub(super) fn ring(&self) -> Producer<u8> {
        let (producer, consumer) = RingBuffer::new(RING);
        lock(&self.rings).push(consumer);
        producer
    }

    /// Appends the entries of all rings to `out`.
    pub fn drain(&self, out: &mut Vec<u8>) {
        lock(&self.rings).retain_mut(|ring| {
            // Asked first: nothing is added after the worker has gone.
            let gone = ring.is_abandoned();
            if let Ok(chunk) = ring.read_chunk(ring.slots()) {
                let (first, second) = chunk.as_slices();
                out.extend_from_slice(first);
                out.extend_from_slice(second);
                chunk.commit_all();
            }
            !gone
        });
    }

    /// Counts entries that were written.
    pub fn count_written(&self, count: u64) {
        self.totals.written.fetch_add(count, Relaxed);
    }

    /// Counts entries that were dropped.
    pub fn count_dropped(&self, count: u64) {
        self.totals.dropped.fetch_add(count, Relaxed);
    }

    /// Returns whether the consumer should write what there is, and end.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Acquire)
    }

    /// Returns what keeps entries from being written; None before the first attempt.
    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    /// Sets or, with an empty text, clears the problem.
    pub fn set_problem(&self, text: String) {
        *lock(&self.problem) = Some(text);
    }
}

/// The thread of a feed.
pub struct Writer {
    pub feed: Arc<Feed>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts a thread that passes entries to `consume` until the feed closes; it gets no bytes if there
    /// are no entries.
    pub fn start(
        name: &str, feed: Feed, mut consume: impl FnMut(&Feed, &[u8]) + Send + 'static,
    ) -> std::io::Result<Writer> {
        let feed = Arc::new(feed);
        let own = feed.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            // SAFETY: changes the priority of this thread and touches no memory.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
            let mut entries = Vec::new();
            loop {
                let closing = own.is_closing();
                if closing {
                    thread::sleep(SETTLE);
                }
                own.drain(&mut entries);
                consume(&own, &entries);
                if closing {
                    break;
                }
                if entries.is_empty() {
                    thread::park_timeout(INTERVAL);
                }
                entries.clear();
            }
        })?;
        Ok(Writer { feed, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread, after it has written what there is. Waits for it at most for a time, because a
    /// disk or a reader may block it.
    pub fn close(&self, wait: Duration) {
        self.feed.closing.store(true, Release);
        let Some(thread) = lock(&self.thread).take() else { return };
        thread.thread().unpark();
        let end = Instant::now() + wait;
        while !thread.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
