//! One request: its transport, client and time, and what is done with it.

use std::net::IpAddr;

use crossbeam_epoch::Guard;

use crate::options::Options;
use crate::shared::Shared;

/// The transport that a query arrived by.
#[repr(usize)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Udp,
    Tcp,
}

/// The sender of a query.
#[derive(Clone, Copy)]
pub struct Client {
    pub address: IpAddr,
    pub transport: Transport,
}

/// The outcome of handling a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// Send the answer, which is this many bytes of the buffer.
    Send(usize),
    /// Send nothing. Later packets of the client may be answered.
    Drop,
    /// Send nothing, and close the connection: what it carries is not DNS.
    Close,
}

impl Outcome {
    /// Returns the bytes of the answer in `buffer`, if there is one to send.
    pub fn answer(self, buffer: &[u8]) -> Option<&[u8]> {
        match self {
            Outcome::Send(length) => buffer.get(..length),
            Outcome::Drop | Outcome::Close => None,
        }
    }
}

/// The time, read once per batch of packets.
#[derive(Clone, Copy, Default)]
pub struct Clock {
    /// Boot time in ns. It never goes back, and counts time spent suspended.
    pub boot: u64,
    /// Seconds since 1970, for cookies.
    pub unix: u32,
}

/// Reads the clock.
pub fn clock() -> Clock {
    Clock { boot: boot_time(), unix: read(libc::CLOCK_REALTIME_COARSE).tv_sec as u32 }
}

/// Returns the boot time in ns.
#[inline]
pub fn boot_time() -> u64 {
    let time = read(libc::CLOCK_BOOTTIME);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[inline]
fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec, and lives through the call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time
}

/// State that all packets of a batch share.
#[derive(Clone, Copy)]
pub struct RequestContext<'g> {
    pub shared: &'g Shared,
    pub options: &'g Options,
    pub clock: Clock,
    /// True if every answer is marked as stale; see `Shared::lapsed`.
    pub lapsed: bool,
    pub guard: &'g Guard,
}

impl<'g> RequestContext<'g> {
    /// Creates the context of packets that are answered now.
    pub fn new(shared: &'g Shared, clock: Clock, guard: &'g Guard) -> RequestContext<'g> {
        let (options, lapsed) = (shared.options(guard), shared.lapsed(clock.boot));
        RequestContext { shared, options, clock, lapsed, guard }
    }
}
