//! Client addresses: networks, and the PROXY v2 header that names the client behind a proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::u16_at;

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

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// Longest header taken: addresses of a UNIX socket and some extensions.
pub const MAX_PROXY_HEADER: usize = 536;

/// What a PROXY v2 header says (haproxy.org, proxy-protocol.txt, section 2.2).
#[derive(Debug, PartialEq)]
pub enum Proxy {
    /// (octets of the header, client): None where the proxy speaks for itself (LOCAL, UNSPEC).
    Header(usize, Option<IpAddr>),
    /// More octets are needed.
    Partial,
    /// This is no such header.
    Wrong,
}

/// Read the PROXY v2 header that `bytes` begins with.
pub fn proxy_header(bytes: &[u8]) -> Proxy {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Proxy::Wrong;
    }
    if bytes.len() < FIXED {
        return Proxy::Partial;
    }
    let length = FIXED + usize::from(u16_at(bytes, 14));
    if bytes[12] >> 4 != 2 || length > MAX_PROXY_HEADER {
        return Proxy::Wrong;
    }
    let Some(body) = bytes.get(FIXED..length) else { return Proxy::Partial };
    let client = match (bytes[12] & 15, bytes[13] >> 4) {
        (0, _) | (1, 0) => None,
        (1, 1) => match body.first_chunk::<4>() {
            Some(four) if body.len() >= 12 => Some(IpAddr::from(Ipv4Addr::from(*four))),
            _ => return Proxy::Wrong,
        },
        (1, 2) => match body.first_chunk::<16>() {
            Some(sixteen) if body.len() >= 36 => Some(IpAddr::from(Ipv6Addr::from(*sixteen))),
            _ => return Proxy::Wrong,
        },
        _ => return Proxy::Wrong,
    };
    Proxy::Header(length, client.map(|client| client.to_canonical()))
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

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn proxy_headers() {
        let v4 = header(1, 0x12, &[192, 0, 2, 1, 10, 0, 0, 1, 0, 1, 0, 53, 9, 9]);
        assert_eq!(proxy_header(&v4), Proxy::Header(30, Some("192.0.2.1".parse().unwrap())));
        for length in 0..v4.len() {
            assert_eq!(proxy_header(&v4[..length]), Proxy::Partial, "{length}");
        }
        let mut v6 = [0; 36];
        v6[15] = 1;
        assert_eq!(
            proxy_header(&header(1, 0x22, &v6)),
            Proxy::Header(52, Some("::1".parse().unwrap()))
        );
        assert_eq!(proxy_header(&header(0, 0, b"")), Proxy::Header(16, None));
        for wrong in [
            header(1, 0x12, &[0; 11]),
            header(1, 0x31, &[0; 216]),
            header(2, 0x12, &[0; 12]),
            b"GET /".to_vec(),
        ] {
            assert_eq!(proxy_header(&wrong), Proxy::Wrong);
        }
    }
}
