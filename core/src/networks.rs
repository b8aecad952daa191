//! Networks of client addresses, and the keys that identify a client.

use std::net::IpAddr;

use crate::hash::mix;

/// A set of networks, searched in order: access lists are short.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    list: Vec<Network>,
    /// True if the set holds every address, so that no search is needed.
    all: bool,
}

/// A network. IPv4 is kept as IPv4-mapped IPv6, but `::/0` holds no IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Network {
    v4: bool,
    first: u128,
    mask: u128,
}

/// Returns an address as 128 bits, IPv4 mapped (RFC 4291 section 2.5.5.2).
#[inline]
pub fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Networks {
    /// Parses networks such as `10.0.0.0/8` and `::1`; the error names the invalid one.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Networks, String> {
        let list: Vec<_> =
            texts.iter().map(|text| network(text.as_ref())).collect::<Result<_, _>>()?;
        let holds = |text: &str| network(text).is_ok_and(|wanted| list.contains(&wanted));
        let all = holds("::/0") && holds("0.0.0.0/0");
        Ok(Networks { list, all })
    }

    /// Returns whether an address is in one of the networks.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.all || self.holds(address.to_canonical())
    }

    fn holds(&self, address: IpAddr) -> bool {
        let (v4, address) = (address.is_ipv4(), bits(address));
        self.list.iter().any(|network| network.v4 == v4 && address & network.mask == network.first)
    }

    /// Returns whether the set has no network.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

fn network(text: &str) -> Result<Network, String> {
    let invalid =
        || format!("{text:?} is not a network: expected 10.0.0.0/8, 2001:db8::/32 or an address");
    let (address, length) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Ok(width), str::parse).map_err(|_| invalid())?;
    if length > width {
        return Err(invalid());
    }
    let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
    let mask = if address.is_ipv4() { mask | !u128::from(u32::MAX) } else { mask };
    Ok(Network { v4: address.is_ipv4(), first: bits(address) & mask, mask })
}

/// Returns the network of a client, its IPv4 /24 or IPv6 /56, as one number.
#[inline]
pub fn prefix(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 72) as u64,
    }
}

/// Returns the key of a client for the policies.
///
/// It is the same on every server and after every restart, so its seeds must never change.
#[inline]
pub fn client_key(client: IpAddr) -> u64 {
    let bits = bits(client);
    mix((bits >> 64) as u64 ^ 0x243f_6a88_85a3_08d3, bits as u64 ^ 0x1319_8a2e_0370_7344)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        let networks = Networks::parse(&["10.0.0.0/8", "::1", "2001:db8::/33"]).unwrap();
        let cases = [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::1", true),
            ("::2", false),
            ("2001:db8:7fff::1", true),
            ("2001:db8:8000::1", false),
            ("::ffff:10.0.0.1", true),
        ];
        for (address, inside) in cases {
            assert_eq!(networks.contains(address.parse().unwrap()), inside, "{address}");
        }
        for (all, v4) in [("0.0.0.0/0", true), ("::/0", false)] {
            let networks = Networks::parse(&[all]).unwrap();
            assert_eq!(networks.contains("1.2.3.4".parse().unwrap()), v4);
            assert_eq!(networks.contains("::1".parse().unwrap()), !v4);
        }
        for invalid in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129", ""] {
            assert!(Networks::parse(&[invalid]).unwrap_err().contains("network"), "{invalid}");
        }
    }
}
