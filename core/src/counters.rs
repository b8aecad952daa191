//! Counters of the packet path: one block per worker, which alone writes it, summed when read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::histogram::{Durations, Histogram};
use crate::request::{Transport, boot_time};
use crate::zone_counters::ZoneCounters;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An event that is counted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $variant,)* }

        /// The names of the counters, as Python sees them.
        pub const NAMES: &[&str] = &[$($name,)*];
    };
}

counters! {
    Udp = "queries_udp",
    Tcp = "queries_tcp",
    TypeA = "type_a",
    TypeAaaa = "type_aaaa",
    TypeSrv = "type_srv",
    TypePtr = "type_ptr",
    TypeTxt = "type_txt",
    TypeOther = "type_other",
    NoError = "rcode_noerror",
    FormErr = "rcode_formerr",
    ServFail = "rcode_servfail",
    NxDomain = "rcode_nxdomain",
    YxDomain = "rcode_yxdomain",
    NotImp = "rcode_notimp",
    Refused = "rcode_refused",
    BadVers = "rcode_badvers",
    BadCookie = "rcode_badcookie",
    /// Answers without records for a name that exists.
    NoData = "nodata",
    Truncated = "truncated",
    /// Packets without a reply: too short, or replies themselves.
    Silent = "dropped_packets",
    RateDropped = "rate_dropped",
    RateSlipped = "rate_slipped",
    /// Clients outside the access list.
    Denied = "denied",
    CookieGood = "cookies_good",
    CookieBad = "cookies_bad",
    /// Packets or connections of a proxy without a PROXY v2 header.
    ProxyBad = "proxy_bad",
    /// Batches of datagrams read. Queries per batch show the load of a system call.
    Batches = "udp_batches",
    SendErrors = "udp_send_errors",
    TcpOpened = "tcp_opened",
    TcpClosed = "tcp_closed",
    /// Closed to make room for a new connection.
    TcpEvicted = "tcp_evicted",
    TcpIdle = "tcp_idle_closed",
}

/// The counters of one worker.
#[repr(align(128))]
pub struct Counters {
    events: [AtomicU64; NAMES.len()],
    /// Time from reading a query to sending its reply, by transport.
    replies: [Histogram; 2],
    /// Queries by zone and response code.
    pub zones: ZoneCounters,
}

impl Default for Counters {
    fn default() -> Counters {
        let events = std::array::from_fn(|_| AtomicU64::new(0));
        Counters { events, replies: Default::default(), zones: ZoneCounters::default() }
    }
}

impl Counters {
    /// Adds to a counter. Only one worker writes it, so no atomic addition is needed.
    #[inline]
    pub fn add(&self, counter: Counter, count: u64) {
        let cell = &self.events[counter as usize];
        cell.store(cell.load(Relaxed) + count, Relaxed);
    }

    /// Adds one to a counter.
    #[inline]
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts replies that were sent just now, to queries that were read at a boot time in ns.
    ///
    /// For all replies of a batch at once, so that the clock is read once for them.
    #[inline]
    pub fn replied(&self, transport: Transport, since: u64, count: u64) {
        if count > 0 {
            let duration = boot_time().saturating_sub(since);
            self.replies[transport as usize].observe(duration, count);
        }
    }

    /// Adds the counters to `sums`, in the order of `NAMES`.
    pub fn sum_into(&self, sums: &mut [u64; NAMES.len()]) {
        for (sum, cell) in sums.iter_mut().zip(&self.events) {
            *sum += cell.load(Relaxed);
        }
    }

    /// Adds the durations of a transport to `sum`.
    pub fn add_durations(&self, transport: Transport, sum: &mut Durations) {
        self.replies[transport as usize].add_to(sum);
    }
}
