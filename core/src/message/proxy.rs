//! PROXY protocol version 2: the header that names the client behind a proxy (haproxy.org,
//! proxy-protocol.txt, section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::wire::u16_at;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of signature, version and command, family, and length.
const FIXED: usize = 16;
/// Longest header accepted: the addresses of UNIX sockets, and some extensions.
pub const MAX_PROXY_HEADER: usize = 536;

/// The result of parsing a PROXY v2 header.
#[derive(Debug, PartialEq)]
pub enum Proxy {
    /// Length of the header, and the client; `None` if the proxy speaks for itself (LOCAL, UNSPEC).
    Header(usize, Option<IpAddr>),
    /// More bytes are needed.
    Partial,
    /// The data does not begin with a valid header.
    Invalid,
}

/// Parses the PROXY v2 header that `bytes` begins with.
pub fn proxy_header(bytes: &[u8]) -> Proxy {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Proxy::Invalid;
    }
    if bytes.len() < FIXED {
        return Proxy::Partial;
    }
    let length = FIXED + usize::from(u16_at(bytes, 14));
    if bytes[12] >> 4 != 2 || length > MAX_PROXY_HEADER {
        return Proxy::Invalid;
    }
    let Some(body) = bytes.get(FIXED..length) else { return Proxy::Partial };
    let client = match (bytes[12] & 15, bytes[13] >> 4) {
        (0, _) | (1, 0) => None,
        (1, 1) => match body.first_chunk::<4>() {
            Some(four) if body.len() >= 12 => Some(IpAddr::from(Ipv4Addr::from(*four))),
            _ => return Proxy::Invalid,
        },
        (1, 2) => match body.first_chunk::<16>() {
            Some(sixteen) if body.len() >= 36 => Some(IpAddr::from(Ipv6Addr::from(*sixteen))),
            _ => return Proxy::Invalid,
        },
        _ => return Proxy::Invalid,
    };
    Proxy::Header(length, client.map(|client| client.to_canonical()))
}

/// Returns the port of the client in a valid header that has one.
pub fn proxy_port(header: &[u8]) -> u16 {
    u16_at(header, if header.get(13).is_some_and(|family| family >> 4 == 1) { 24 } else { 48 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn headers_are_parsed() {
        let v4 = header(1, 0x12, &[192, 0, 2, 1, 10, 0, 0, 1, 0, 1, 0, 53, 9, 9]);
        assert_eq!(proxy_header(&v4), Proxy::Header(30, Some("192.0.2.1".parse().unwrap())));
        for length in 0..v4.len() {
            assert_eq!(proxy_header(&v4[..length]), Proxy::Partial, "{length}");
        }
        assert_eq!(proxy_port(&v4), 1);
        let mut v6 = [0; 36];
        (v6[15], v6[32]) = (1, 2);
        assert_eq!(proxy_port(&header(1, 0x22, &v6)), 512);
        assert_eq!(
            proxy_header(&header(1, 0x22, &v6)),
            Proxy::Header(52, Some("::1".parse().unwrap()))
        );
        assert_eq!(proxy_header(&header(0, 0, b"")), Proxy::Header(16, None));
        for invalid in [
            header(1, 0x12, &[0; 11]),
            header(1, 0x31, &[0; 216]),
            header(2, 0x12, &[0; 12]),
            b"GET /".to_vec(),
        ] {
            assert_eq!(proxy_header(&invalid), Proxy::Invalid);
        }
    }
}
