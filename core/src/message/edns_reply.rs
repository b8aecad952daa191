//! The options for the OPT record of a reply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cookie::{self, FULL, Verdict};
use crate::message::query::Edns;
use crate::message::wire::u16_at;
use crate::networks::client_key;
use crate::options::Options;
use crate::request::{Client, Transport};

/// The options for the OPT record of a reply (RFC 6891).
#[derive(Default)]
pub struct EdnsReply<'q> {
    /// True if the query has an OPT record, and therefore the reply too.
    pub(super) present: bool,
    pub(super) udp_size: u16,
    pub(super) dnssec: bool,
    pub(super) cookie: Option<[u8; FULL]>,
    pub(super) nsid: Option<&'q [u8]>,
    /// Idle time of this connection, in units of 100 ms (RFC 7828 section 3.1).
    pub(super) keepalive: Option<u16>,
    pub(super) subnet: Option<&'q [u8]>,
    /// True if the client sent a malformed client subnet.
    pub malformed: bool,
}

impl<'q> EdnsReply<'q> {
    /// Creates the options for a reply to a query with `edns`, whose cookie got `verdict`, at `now`
    /// (seconds since 1970).
    pub fn new(
        options: &'q Options, edns: Option<&Edns<'q>>, verdict: Option<Verdict>, client: Client,
        now: u32,
    ) -> EdnsReply<'q> {
        let udp_size = options.udp_size as u16;
        let Some(edns) = edns else { return EdnsReply::default() };
        let mut reply =
            EdnsReply { present: true, udp_size, dnssec: edns.dnssec, ..EdnsReply::default() };
        if edns.version > 0 {
            return reply;
        }
        reply.cookie = match (verdict, edns.cookie, options.secrets.first()) {
            (Some(Verdict::Proven { fresh: true }), Some(cookie), _) => cookie.try_into().ok(),
            (None | Some(Verdict::Malformed), ..) => None,
            (_, Some(cookie), Some(secret)) => {
                Some(cookie::make(secret, cookie, client.address, now))
            }
            _ => None,
        };
        reply.nsid = (edns.nsid && !options.server_id.is_empty()).then_some(&options.server_id);
        if edns.keepalive && client.transport == Transport::Tcp {
            let idle = options.tcp_idle.as_millis() / 100;
            reply.keepalive = Some(u16::try_from(idle).unwrap_or(u16::MAX));
        }
        if let Some(subnet) = edns.subnet.filter(|_| options.ecs_from.contains(client.address)) {
            reply.malformed = subnet_address(subnet).is_none();
            reply.subnet = Some(subnet).filter(|_| !reply.malformed);
        }
        reply
    }

    /// Returns the bytes to reserve for the OPT record.
    pub fn reserved(&self) -> usize {
        if !self.present {
            return 0;
        }
        11 + self.cookie.map_or(0, |cookie| 4 + cookie.len())
            + self.nsid.map_or(0, |id| 4 + id.len())
            + self.keepalive.map_or(0, |_| 6)
            + self.subnet.map_or(0, |subnet| 4 + subnet.len())
    }

    /// Returns the key for the policies: that of the subnet a trusted resolver sent, else of the
    /// client.
    pub fn client(&self, client: IpAddr) -> u64 {
        let subnet = self.subnet.and_then(subnet_address).flatten();
        client_key(subnet.unwrap_or(client))
    }
}

/// Returns the address of a client subnet option (RFC 7871 section 6).
///
/// `None` means that the option is malformed, `Some(None)` that the client does not want to be
/// identified (source prefix length 0).
fn subnet_address(option: &[u8]) -> Option<Option<IpAddr>> {
    let (family, source) = (u16_at(option, 0), usize::from(*option.get(2)?));
    let address = option.get(4..)?;
    if option[3] != 0 || address.len() != source.div_ceil(8) {
        return None;
    }
    let spare = address.len() * 8 - source;
    if address.last().is_some_and(|last| last & ((1u16 << spare) - 1) as u8 != 0) {
        return None;
    }
    let mut bytes = [0; 16];
    bytes.get_mut(..address.len())?.copy_from_slice(address);
    let address = match family {
        1 if source <= 32 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        2 => Ipv6Addr::from(bytes).into(),
        _ => return None,
    };
    Some((source > 0).then_some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_subnets_are_checked() {
        let address = |text: &str| Some(Some(text.parse().unwrap()));
        let cases: [(&[u8], Option<Option<IpAddr>>); 9] = [
            (b"\x00\x01\x18\x00\xc0\x00\x02", address("192.0.2.0")),
            (b"\x00\x02\x10\x00\x20\x01", address("2001::")),
            (b"\x00\x01\x00\x00", Some(None)),
            (b"\x00\x01\x18\x00\xc0\x00", None),
            (b"\x00\x01\x18\x08\xc0\x00\x02", None),
            (b"\x00\x01\x17\x00\xc0\x00\x03", None),
            (b"\x00\x01\x28\x00\xc0\x00\x02\x01\x01", None),
            (b"\x00\x03\x00\x00", None),
            (b"\x00\x01", None),
        ];
        for (option, wanted) in cases {
            assert_eq!(subnet_address(option), wanted, "{option:?}");
        }
    }
}
