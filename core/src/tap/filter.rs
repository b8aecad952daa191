//! The queries that a feed gets.

use std::net::IpAddr;

use crate::networks::Networks;
use crate::rdata_text::is_under;
use crate::zone::policy::Random;

/// A random sample of the queries that match all criteria.
pub struct Filter {
    /// One more than the highest random number of a query in the sample.
    sample: u64,
    /// Wire names: these, and all below them; empty: all.
    names: Vec<Vec<u8>>,
    /// Empty: all.
    clients: Networks,
    /// Bits of the response codes; 0: all, and queries without a response.
    rcodes: u32,
}

impl Filter {
    /// Creates a filter; `sample` is a fraction of the queries, and `rcodes` are below 32.
    pub fn new(sample: f64, names: Vec<Vec<u8>>, clients: Networks, rcodes: &[u16]) -> Filter {
        let rcodes = rcodes.iter().fold(0, |bits, rcode| bits | 1 << (rcode & 31));
        Filter { sample: (sample * 2f64.powi(32)).ceil() as u64, names, clients, rcodes }
    }

    /// Returns whether the next query is in the sample.
    pub fn draw(&self, random: &mut Random) -> bool {
        u64::from(random.draw()) < self.sample
    }

    /// Returns whether a query matches, by its client, its name and the code of its response.
    pub fn matches(&self, client: IpAddr, name: Option<&[u8]>, rcode: Option<u16>) -> bool {
        let under = |name: &[u8]| self.names.iter().any(|apex| is_under(name, apex));
        (self.clients.is_empty() || self.clients.contains(client))
            && (self.rcodes == 0 || rcode.is_some_and(|code| self.rcodes >> (code & 31) & 1 == 1))
            && (self.names.is_empty() || name.is_some_and(under))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03wEb\x04test\x00";

    fn filter(names: &[&[u8]], clients: &[&str], rcodes: &[u16]) -> Filter {
        let names = names.iter().map(|name| name.to_vec()).collect();
        Filter::new(1.0, names, Networks::parse(clients).unwrap(), rcodes)
    }

    #[test]
    fn every_criterion_must_match() {
        let client: IpAddr = "10.1.2.3".parse().unwrap();
        let cases: [(Filter, bool); 11] = [
            (filter(&[], &[], &[]), true),
            (filter(&[b"\x04TEST\x00"], &[], &[]), true),
            (filter(&[b"\x00"], &[], &[]), true),
            (filter(&[b"\x03web\x04test\x00"], &["10.0.0.0/8"], &[0, 3]), true),
            (filter(&[b"\x02eb\x04test\x00"], &[], &[]), false),
            (filter(&[b"\x01a\x03web\x04test\x00"], &[], &[]), false),
            (filter(&[b"\x05other\x00", b"\x04test\x00"], &[], &[]), true),
            (filter(&[], &["10.2.0.0/16", "::/0"], &[]), false),
            (filter(&[], &[], &[0]), false),
            (filter(&[], &[], &[3, 23]), true),
            (filter(&[b"\x04test\x00"], &["10.0.0.0/8"], &[2]), false),
        ];
        for (index, (filter, expected)) in cases.iter().enumerate() {
            assert_eq!(filter.matches(client, Some(NAME), Some(3)), *expected, "{index}");
        }
        assert!(filter(&[], &[], &[]).matches(client, None, None));
        assert!(!filter(&[], &[], &[0]).matches(client, Some(NAME), None), "no response");
        assert!(!filter(&[b"\x00"], &[], &[]).matches(client, None, Some(1)), "no name");
    }

    #[test]
    fn sample_is_the_fraction_asked_for() {
        for fraction in [1.0, 0.5, 0.01] {
            let filter = Filter::new(fraction, vec![], Networks::default(), &[]);
            let mut random = Random::new(7);
            let drawn = (0..100_000).filter(|_| filter.draw(&mut random)).count() as f64;
            let expected = fraction * 100_000.0;
            assert!((drawn - expected).abs() <= 5.0 * (expected * (1.0 - fraction)).sqrt());
        }
    }
}
