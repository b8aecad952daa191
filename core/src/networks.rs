//! Client addresses: networks, and the keys that stand for a client.

use std::net::IpAddr;

use crate::hash::mix;

/// A set of networks, searched one by one: access lists are short.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    list: Vec<Network>,
    /// It holds every address: nothing needs to be searched.
    all: bool,
}

/// A network: IPv4 as IPv4-mapped IPv6, but `::/0` holds no IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Network {
    v4: bool,
    first: u128,
    mask: u128,
}

/// An address as 128 bits, IPv4 mapped (RFC 4291 section 2.5.5.2).
#[inline]
pub fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Networks {
    /// Read `10.0.0.0/8`, `::1`, …; the error names the one that is wrong.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Networks, String> {
        let list: Vec<_> =
            texts.iter().map(|text| network(text.as_ref())).collect::<Result<_, _>>()?;
        let holds = |text: &str| network(text).is_ok_and(|wanted| list.contains(&wanted));
        let all = holds("::/0") && holds("0.0.0.0/0");
        Ok(Networks { list, all })
    }

    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.all || self.holds(address.to_canonical())
    }

    fn holds(&self, address: IpAddr) -> bool {
        let (v4, address) = (address.is_ipv4(), bits(address));
        self.list.iter().any(|network| network.v4 == v4 && address & network.mask == network.first)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

fn network(text: &str) -> Result<Network, String> {
    let wrong =
        || format!("{text:?} is no network: write 10.0.0.0/8, 2001:db8::/32 or one address");
    let (address, length) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
    if length > width {
        return Err(wrong());
    }
    let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
    let mask = if address.is_ipv4() { mask | !u128::from(u32::MAX) } else { mask };
    Ok(Network { v4: address.is_ipv4(), first: bits(address) & mask, mask })
}

/// The network of a client: its IPv4 /24 or IPv6 /56, as one number.
#[inline]
pub fn prefix(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 72) as u64,
    }
}

/// The same for the same client on every server: its seeds are constants for ever.
#[inline]
pub fn client_key(client: IpAddr) -> u64 {
    let bits = bits(client);
    mix((bits >> 64) as u64 ^ 0x243f_6a88_85a3_08d3, bits as u64 ^ 0x1319_8a2e_0370_7344)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_they_say() {
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
        for wrong in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129", ""] {
            assert!(Networks::parse(&[wrong]).unwrap_err().contains("network"), "{wrong}");
        }
    }
}
