//! The end of a worker: it copies what it answered into its rings.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rtrb::Producer;

use crate::message::proxy::{Proxy, proxy_header, proxy_port};
use crate::request::{RequestContext, Transport, boot_time};
use crate::tap::Tap;
use crate::tap::entry::{self, Entry};
use crate::tap::feed::Feed;
use crate::zone::policy::Random;

/// The rings of one worker, one for each feed.
pub struct Outlets {
    /// The version of the tap at which there was nothing to report.
    quiet: u64,
    version: u64,
    rings: Vec<(Arc<Feed>, Producer<u8>)>,
    random: Random,
    local: SocketAddr,
    buffer: Vec<u8>,
}

/// A query, its sender and what was sent.
#[derive(Clone, Copy)]
pub struct Exchange<'m> {
    pub query: &'m [u8],
    pub client: SocketAddr,
    pub transport: Transport,
    /// Empty if nothing was sent.
    pub answer: &'m [u8],
}

/// The times of a batch, read when its first query is reported.
#[derive(Default)]
pub struct Times(Option<(u64, u64)>);

impl Times {
    /// Returns when a batch was read, in ns since 1970, and the ns until the first call; `read` is the
    /// boot time (ns) of reading it.
    fn get(&mut self, read: u64) -> (u64, u64) {
        *self.0.get_or_insert_with(|| {
            let elapsed = boot_time().saturating_sub(read);
            (unix().saturating_sub(elapsed), elapsed)
        })
    }
}

impl Outlets {
    /// Creates the outlets of a worker that serves the address `local`; `seed` should be random.
    pub fn new(local: SocketAddr, seed: u64) -> Outlets {
        let (quiet, version, rings, buffer) = Default::default();
        Outlets { quiet, version, rings, random: Random::new(seed), local, buffer }
    }

    /// Returns whether there is a feed; asked once per batch.
    #[inline]
    pub fn wanted(&mut self, tap: &Tap) -> bool {
        let version = tap.version();
        version != self.quiet && self.update(tap, version)
    }

    /// Creates the rings of new feeds, and drops those of feeds that are gone.
    #[cold]
    fn update(&mut self, tap: &Tap, version: u64) -> bool {
        if version != self.version {
            let feeds = tap.feeds();
            self.rings.retain(|(feed, _)| feeds.iter().any(|new| Arc::ptr_eq(feed, new)));
            for feed in feeds {
                if !self.rings.iter().any(|(known, _)| Arc::ptr_eq(known, &feed)) {
                    let ring = feed.ring();
                    self.rings.push((feed, ring));
                }
            }
            self.version = version;
        }
        if self.rings.is_empty() {
            self.quiet = version;
        }
        !self.rings.is_empty()
    }

    /// Reports a query to the feeds that want it.
    pub fn report(&mut self, context: RequestContext<'_>, times: &mut Times, mut it: Exchange<'_>) {
        it.client.set_ip(it.client.ip().to_canonical());
        if it.transport == Transport::Udp && context.options.proxy_from.contains(it.client.ip()) {
            let Proxy::Header(length, client) = proxy_header(it.query) else { return };
            if let Some(client) = client {
                it.client = SocketAddr::new(client, proxy_port(it.query));
            }
            it.query = &it.query[length..];
        }
        if !entry::is_query(it.query) {
            return;
        }
        for (feed, ring) in &mut self.rings {
            if !feed.filter.draw(&mut self.random) {
                continue;
            }
            let (received, elapsed) = times.get(context.clock.boot);
            let mut entry = Entry {
                received,
                elapsed,
                client: it.client,
                local: self.local,
                transport: it.transport,
                query: it.query,
                answer: it.answer,
                query_size: it.query.len(),
                answer_size: it.answer.len(),
                rcode: entry::rcode(it.answer),
            };
            let name = entry.question().map(|(name, _, _)| name);
            if !feed.filter.matches(it.client.ip(), name, entry.rcode) {
                continue;
            }
            if !feed.whole {
                entry.shorten();
            }
            self.buffer.clear();
            entry.write(&mut self.buffer);
            if ring.push_entire_slice(&self.buffer).is_err() {
                feed.count_dropped(1);
            }
        }
    }
}

/// Returns the address of a socket; that of a closed one is unspecified.
pub fn address_of(local: std::io::Result<SocketAddr>) -> SocketAddr {
    local.unwrap_or(SocketAddr::new(IpAddr::from([0; 4]), 0))
}

/// Returns the ns since 1970.
fn unix() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::Networks;
    use crate::request::clock;
    use crate::shared::Shared;
    use crate::tap::feed::Totals;
    use crate::tap::filter::Filter;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";

    fn feed(whole: bool) -> Arc<Feed> {
        let filter = Filter::new(1.0, vec![], Networks::default(), &[]);
        Arc::new(Feed::new(filter, whole, Arc::<Totals>::default()))
    }

    fn report(outlets: &mut Outlets, shared: &Shared, query: &[u8]) {
        let guard = &crossbeam_epoch::pin();
        let context = RequestContext::new(shared, clock(), guard);
        let client = "192.0.2.1:9".parse().unwrap();
        let it = Exchange { query, client, transport: Transport::Udp, answer: &QUERY[..12] };
        outlets.report(context, &mut Times::default(), it);
    }

    #[test]
    fn rings_follow_the_feeds() {
        let shared = Shared::new(1);
        let mut outlets = Outlets::new("[::1]:53".parse().unwrap(), 1);
        assert!(!outlets.wanted(&shared.tap));
        let (first, second) = (feed(false), feed(true));
        shared.tap.replace(None, Some(first.clone()));
        assert!(outlets.wanted(&shared.tap));
        report(&mut outlets, &shared, QUERY);
        shared.tap.replace(Some(&first), Some(second.clone()));
        assert!(outlets.wanted(&shared.tap));
        report(&mut outlets, &shared, QUERY);
        report(&mut outlets, &shared, &[0x80; 12]);
        shared.tap.replace(Some(&second), None);
        assert!(!outlets.wanted(&shared.tap));
        for feed in [first, second] {
            let (mut bytes, mut none) = Default::default();
            feed.drain(&mut bytes);
            let mut rest = &bytes[..];
            let entry = Entry::read(&mut rest).unwrap();
            assert_eq!((entry.query, rest), (QUERY, &b""[..]));
            feed.drain(&mut none);
            assert_eq!(none, [0; 0]);
        }
    }

    #[test]
    fn full_ring_drops_new_entries_and_counts_them() {
        let shared = Shared::new(1);
        let mut outlets = Outlets::new("[::1]:53".parse().unwrap(), 1);
        let feed = feed(false);
        shared.tap.replace(None, Some(feed.clone()));
        assert!(outlets.wanted(&shared.tap));
        let mut bytes = Vec::new();
        for round in 0..2 {
            (0..20_000).for_each(|_| report(&mut outlets, &shared, QUERY));
            bytes.clear();
            feed.drain(&mut bytes);
            let mut rest = &bytes[..];
            let kept = std::iter::from_fn(|| Entry::read(&mut rest)).count() as u64;
            let dropped = feed.totals.dropped.swap(0, std::sync::atomic::Ordering::Relaxed);
            assert_eq!((kept + dropped, rest), (20_000, &b""[..]));
            assert!(kept > 5000 && dropped > 5000, "{round}: {kept} {dropped}");
        }
    }
}
