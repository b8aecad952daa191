//! An answer while it is written: its records, and the OPT record at its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

use crate::cookie::{self, FULL, Verdict};
use crate::message::query::{Edns, TC, option};
use crate::message::wire::{HEADER, Out, RECORD_HEADER, name_len, rtype, u16_at};
use crate::networks::client_key;
use crate::options::Options;
use crate::request::Transport;

/// The sections that records are counted in.
#[derive(Clone, Copy, PartialEq)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// Where an owner name stands in the message.
#[derive(Clone, Copy)]
pub enum Owner<'n> {
    /// It is the question's.
    Question,
    /// At this offset.
    At(u16),
    /// Nowhere yet, or too far for a pointer.
    Name(&'n [u8]),
}

impl<'n> Owner<'n> {
    /// The owner that was written in rdata at an offset.
    pub fn at(offset: usize, name: &'n [u8]) -> Owner<'n> {
        // A pointer has 14 bits (RFC 1035 section 4.1.4).
        if offset < 0x4000 { Owner::At(offset as u16) } else { Owner::Name(name) }
    }

    /// The owner that is this one's end, `skip` octets shorter. What stands in rdata may be
    /// compressed itself, so only the question is pointed into.
    pub fn end<'m>(&self, skip: usize, name: &'m [u8]) -> Owner<'m> {
        match self {
            Owner::Question => Owner::At((HEADER + skip) as u16),
            Owner::At(_) | Owner::Name(_) => Owner::Name(name),
        }
    }
}

/// Targets whose addresses are added to one answer.
const MAX_TARGETS: usize = 64;

/// The names in rdata whose addresses the client will want next, and where they were written.
#[derive(Default)]
pub struct Targets<'n> {
    list: ArrayVec<(&'n [u8], usize), MAX_TARGETS>,
    /// The owner of the records is one of them: "." in SVCB (RFC 9460 section 2.5.2).
    pub owner: bool,
}

impl<'n> Targets<'n> {
    /// Whether records of a type name hosts (RFC 1035, RFC 2782, RFC 9460 section 4.1).
    pub fn has(rtype: u16) -> bool {
        matches!(rtype, rtype::SRV | rtype::NS | rtype::MX | rtype::SVCB | rtype::HTTPS)
    }

    /// Note the target of a record whose rdata was written at `at`.
    pub fn add(&mut self, rtype: u16, rdata: &'n [u8], at: usize) {
        let skip = match rtype {
            rtype::SRV => 6,
            rtype::MX | rtype::SVCB | rtype::HTTPS => 2,
            _ => 0,
        };
        let Some(name) = rdata.get(skip..) else { return };
        let (name, at) = (&name[..name_len(name).unwrap_or(0)], at + skip);
        if name == [0] {
            // In the other types "." says that there is no host.
            self.owner |= matches!(rtype, rtype::SVCB | rtype::HTTPS);
            return;
        }
        let known = self.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !known {
            // What is beyond the bound is looked up by the client itself.
            let _ = self.list.try_push((name, at));
        }
    }

    /// Leave out a name.
    pub fn forget(&mut self, name: &[u8]) {
        self.list.retain(|(target, _)| !target.eq_ignore_ascii_case(name));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'n [u8], usize)> + '_ {
        self.list.iter().copied()
    }
}

/// An answer while it is written.
pub struct Reply<'b> {
    pub out: Out<'b>,
    pub flags: u16,
    pub rcode: u16,
    pub ede: Option<u16>,
    /// Records in each section.
    pub counts: [u16; 3],
    /// Octets of the question's name, which others can point into.
    pub asked: usize,
    /// Where the rdata written last begins.
    pub rdata_at: usize,
    /// The client, for the policies.
    pub client: u64,
    /// The answer hangs on it.
    pub tailored: bool,
    /// What it is about, for rate limiting: the owner name in the zone, so that made-up names below a
    /// wildcard or a cut are alike, or else the zone.
    pub subject: u64,
}

impl Reply<'_> {
    /// Answer with an error.
    pub fn fail(&mut self, rcode: u16, ede: Option<u16>) {
        self.rcode = rcode;
        self.ede = ede;
    }

    /// Forget all records.
    pub fn empty(&mut self) {
        let question = if self.asked > 0 { self.asked + 4 } else { 0 };
        self.out.cut(HEADER + question);
        self.counts = [0; 3];
    }

    /// Write a record given in wire form; false, with some of it written, if it does not fit.
    #[inline]
    pub fn put_record(&mut self, owner: Owner<'_>, rtype: u16, record: &[u8]) -> bool {
        let fixed = &record[2..RECORD_HEADER];
        let rdata = &record[RECORD_HEADER..];
        let compressed =
            matches!(rtype, rtype::NS | rtype::CNAME | rtype::PTR | rtype::MX | rtype::SOA);
        let owned = match owner {
            Owner::Question if !compressed => {
                self.rdata_at = self.out.written() + RECORD_HEADER;
                return self.out.put(record);
            }
            Owner::Question => self.out.put_u16(0xc000 | HEADER as u16),
            Owner::At(offset) => self.out.put_u16(0xc000 | offset),
            Owner::Name(name) => self.out.put_name(name, self.asked),
        };
        if !owned || !self.out.put(fixed) {
            return false;
        }
        self.rdata_at = self.out.written();
        if !compressed {
            return self.out.put(rdata);
        }
        let done = self.put_rdata(rtype, rdata);
        let length = self.out.written() - self.rdata_at;
        self.out.set_u16(self.rdata_at - 2, length as u16);
        done
    }

    /// Write rdata whose names may be compressed: only those of RFC 1035 (RFC 3597 section 4).
    fn put_rdata(&mut self, rtype: u16, rdata: &[u8]) -> bool {
        let (start, names) = match rtype {
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => (0, 1),
        };
        let (head, mut rest) = rdata.split_at(start.min(rdata.len()));
        let mut fits = self.out.put(head);
        for _ in 0..names {
            let (name, after) = rest.split_at(name_len(rest).unwrap_or(rest.len()));
            fits = fits && self.out.put_name(name, self.asked);
            rest = after;
        }
        fits && self.out.put(rest)
    }

    /// Write the OPT record, if there is to be one, and the header; returns the octets of it all.
    pub fn finish(&mut self, tail: &Tail<'_>) -> usize {
        if tail.edns {
            self.put_opt(tail);
        }
        let flags = self.flags | (self.rcode & 15);
        self.out.set_u16(2, flags);
        for (index, count) in self.counts.iter().enumerate() {
            self.out.set_u16(6 + 2 * index, *count);
        }
        self.out.written()
    }

    fn put_opt(&mut self, tail: &Tail<'_>) {
        let start = self.out.written();
        // Root, type, our payload size, extended rcode, version 0, DO, length of the options.
        let mut opt = [0, 0, rtype::OPT as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        opt[3..5].copy_from_slice(&tail.udp_size.to_be_bytes());
        opt[5] = (self.rcode >> 4) as u8;
        opt[7] = if tail.dnssec { 0x80 } else { 0 };
        if !self.out.put(&opt) {
            return;
        }
        self.counts[Section::Additional as usize] += 1;
        if let Some(cookie) = &tail.cookie {
            self.put_option(option::COOKIE, cookie);
        }
        if let Some(id) = tail.nsid {
            self.put_option(option::NSID, id);
        }
        if let Some(idle) = tail.keepalive {
            self.put_option(option::KEEPALIVE, &idle.to_be_bytes());
        }
        if let Some(subnet) = tail.subnet {
            let at = self.out.written();
            self.put_option(option::ECS, subnet);
            let scope = if self.tailored { u16::from(subnet[2]) } else { 0 };
            self.out.set_u16(at + 6, u16::from(subnet[2]) << 8 | scope);
        }
        if let Some(code) = self.ede {
            // Nice to have: nothing was reserved for it, and an answer is not cut for it.
            self.put_option(option::EDE, &code.to_be_bytes());
        }
        let length = self.out.written() - start - opt.len();
        self.out.set_u16(start + 9, length as u16);
    }

    fn put_option(&mut self, code: u16, value: &[u8]) {
        let start = self.out.written();
        let length = value.len() as u16;
        if !(self.out.put_u16(code) && self.out.put_u16(length) && self.out.put(value)) {
            self.out.cut(start);
        }
    }
}

/// What goes into the OPT record of an answer.
#[derive(Default)]
pub struct Tail<'q> {
    edns: bool,
    udp_size: u16,
    dnssec: bool,
    cookie: Option<[u8; FULL]>,
    nsid: Option<&'q [u8]>,
    /// Idle time of this connection, in units of 100 ms (RFC 7828 section 3.1).
    keepalive: Option<u16>,
    subnet: Option<&'q [u8]>,
    /// The client sent a client subnet that is none.
    pub malformed: bool,
}

impl<'q> Tail<'q> {
    /// Decide it from the query; `verdict` is that on its cookie.
    pub fn new(
        options: &'q Options, edns: Option<&Edns<'q>>, verdict: Option<Verdict>, client: IpAddr,
        transport: Transport, now: u32,
    ) -> Tail<'q> {
        let udp_size = options.udp_size as u16;
        let Some(edns) = edns else { return Tail::default() };
        let mut tail = Tail { edns: true, udp_size, dnssec: edns.dnssec, ..Tail::default() };
        if edns.version > 0 {
            return tail;
        }
        tail.cookie = match (verdict, edns.cookie, options.secrets.first()) {
            (Some(Verdict::Proven { fresh: true }), Some(cookie), _) => cookie.try_into().ok(),
            (None | Some(Verdict::Malformed), ..) => None,
            (_, Some(cookie), Some(secret)) => Some(cookie::make(secret, cookie, client, now)),
            _ => None,
        };
        tail.nsid = (edns.nsid && !options.server_id.is_empty()).then_some(&options.server_id);
        if edns.keepalive && transport == Transport::Tcp {
            let idle = options.tcp_idle.as_millis() / 100;
            tail.keepalive = Some(u16::try_from(idle).unwrap_or(u16::MAX));
        }
        if let Some(subnet) = edns.subnet.filter(|_| options.ecs_from.contains(client)) {
            tail.malformed = subnet_address(subnet).is_none();
            tail.subnet = Some(subnet).filter(|_| !tail.malformed);
        }
        tail
    }

    /// Octets to keep free for it.
    pub fn reserved(&self) -> usize {
        if !self.edns {
            return 0;
        }
        11 + self.cookie.map_or(0, |cookie| 4 + cookie.len())
            + self.nsid.map_or(0, |id| 4 + id.len())
            + self.keepalive.map_or(0, |_| 6)
            + self.subnet.map_or(0, |subnet| 4 + subnet.len())
    }

    /// Whom the policies choose for: the subnet that a trusted resolver names, else the client.
    pub fn client(&self, client: IpAddr) -> u64 {
        let subnet = self.subnet.and_then(subnet_address).flatten();
        client_key(subnet.unwrap_or(client))
    }
}

/// The address of a client subnet option (RFC 7871 section 6): None if it is malformed, Some(None)
/// if the client asks not to be told apart (source prefix length 0).
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

/// Write a CHAOS TXT answer: who this is (RFC 4892).
pub fn put_text(reply: &mut Reply<'_>, text: &[u8]) {
    let text = &text[..text.len().min(255)];
    let length = (text.len() + 1) as u16;
    let fixed = [0xc0, HEADER as u8, 0, rtype::TXT as u8, 0, 3, 0, 0, 0, 0];
    let start = reply.out.written();
    let out = &mut reply.out;
    if out.put(&fixed) && out.put_u16(length) && out.put(&[text.len() as u8]) && out.put(text) {
        reply.counts[Section::Answer as usize] += 1;
    } else {
        out.cut(start);
        reply.flags |= TC;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_subnets() {
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
