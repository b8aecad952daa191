//! RRsets in two forms: *packed*, as Python passes them, and *compiled*, ready to be copied.
//!
//! Packed (big-endian): `ttl u32 | expires u64 | policy u8 | k u8 | count u16 |
//! count x (weight u16 | length u16 | rdata)`.
//!
//! Compiled: a header, then the whole wire form of each record, owner name included:
//!
//! ```text
//! size u32 | type u16 | policy u8 | k u8 | count u16 | stride u16 | ttl u32 | expires u64 | flags u8
//! count x offset u32        only if stride is 0: the records differ in length
//! count x weight u16        only if WEIGHTED
//! count x (C00C | type | IN | ttl | length | rdata)
//! ```
//!
//! The owner of every record is a pointer to the question, which is right for exact and for wildcard
//! matches. In other places of a message these two bytes are replaced.

use crate::message::wire::{CLASS_IN, RECORD_HEADER, rtype, u16_at, u32_at, u64_at};
use crate::rdata_text::validate_rdata;

/// The policy of an RRset: which of its records a client gets, and in which order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Policy {
    /// All records, in random order.
    All = 0,
    /// One record at random, by weight.
    One = 1,
    /// One record, the next one for each answer.
    Rotate = 2,
    /// One record, the same one for the same client.
    Sticky = 3,
    /// `k` records, the same ones for the same client.
    Subset = 4,
}

impl TryFrom<u8> for Policy {
    type Error = String;

    #[inline]
    fn try_from(number: u8) -> Result<Policy, String> {
        Policy::from_number(number).ok_or_else(|| format!("policy {number} is not one of 0 to 4"))
    }
}

impl Policy {
    #[inline]
    const fn from_number(number: u8) -> Option<Policy> {
        Some(match number {
            0 => Policy::All,
            1 => Policy::One,
            2 => Policy::Rotate,
            3 => Policy::Sticky,
            4 => Policy::Subset,
            _ => return None,
        })
    }

    /// Returns whether different clients get different records.
    #[inline]
    pub fn depends_on_client(self) -> bool {
        matches!(self, Policy::Sticky | Policy::Subset)
    }
}

const PACKED_HEADER: usize = 16;
const COMPILED_HEADER: usize = 25;
const WEIGHTED: u8 = 1;
const POINTER_TO_QUESTION: u16 = 0xc00c;

/// A compiled RRset.
#[derive(Clone, Copy)]
pub struct RRset<'n> {
    bytes: &'n [u8],
}

/// An iterator over the compiled RRsets of an owner name.
pub struct RRsets<'n> {
    bytes: &'n [u8],
}

impl<'n> RRsets<'n> {
    /// Creates an iterator over compiled RRsets that follow one another.
    pub fn new(bytes: &'n [u8]) -> RRsets<'n> {
        RRsets { bytes }
    }
}

impl<'n> Iterator for RRsets<'n> {
    type Item = RRset<'n>;

    #[inline]
    fn next(&mut self) -> Option<RRset<'n>> {
        let size = u32_at(self.bytes, 0) as usize;
        if size < COMPILED_HEADER {
            return None;
        }
        let (bytes, rest) = self.bytes.split_at_checked(size)?;
        self.bytes = rest;
        Some(RRset { bytes })
    }
}

impl<'n> RRset<'n> {
    /// Returns the record type.
    #[inline]
    pub fn rtype(&self) -> u16 {
        u16_at(self.bytes, 4)
    }

    /// Returns the policy, which is `All` for types that policies do not apply to.
    #[inline]
    pub fn policy(&self) -> Policy {
        // Checked by `compile`.
        Policy::from_number(self.bytes[6]).unwrap_or(Policy::All)
    }

    /// Returns the size of a `subset`.
    #[inline]
    pub fn k(&self) -> usize {
        usize::from(self.bytes[7])
    }

    /// Returns the number of records, which is not 0.
    #[inline]
    pub fn count(&self) -> usize {
        usize::from(u16_at(self.bytes, 8))
    }

    /// Returns the TTL in seconds.
    #[inline]
    pub fn ttl(&self) -> u32 {
        u32_at(self.bytes, 12)
    }

    /// Returns whether the RRset has not expired at a boot time (ns).
    #[inline]
    pub fn live(&self, now: u64) -> bool {
        let expires = u64_at(self.bytes, 16);
        expires == 0 || now < expires
    }

    /// Returns whether the records have weights: if they differ, or of SRV records any is not 1.
    #[inline]
    pub fn weighted(&self) -> bool {
        self.bytes[24] & WEIGHTED != 0
    }

    #[inline]
    fn stride(&self) -> usize {
        usize::from(u16_at(self.bytes, 10))
    }

    #[inline]
    fn weights_at(&self) -> usize {
        COMPILED_HEADER + if self.stride() == 0 { self.count() * 4 } else { 0 }
    }

    #[inline(always)]
    fn records_at(&self) -> usize {
        self.weights_at() + if self.weighted() { self.count() * 2 } else { 0 }
    }

    /// Returns the weight of record `index`; 1 if all records have the same weight.
    #[inline]
    pub fn weight(&self, index: usize) -> u16 {
        if self.weighted() { u16_at(self.bytes, self.weights_at() + index * 2) } else { 1 }
    }

    /// Returns record `index` in wire form, its owner a pointer to the question.
    #[inline]
    pub fn record(&self, index: usize) -> &'n [u8] {
        let records = self.bytes.get(self.records_at()..).unwrap_or_default();
        let stride = self.stride();
        let (from, to) = if stride != 0 {
            (index * stride, (index + 1) * stride)
        } else {
            let offset = |i: usize| u32_at(self.bytes, COMPILED_HEADER + i * 4) as usize;
            let to = if index + 1 < self.count() { offset(index + 1) } else { records.len() };
            (offset(index), to)
        };
        records.get(from..to).unwrap_or_default()
    }

    /// Returns all records in wire form.
    #[inline]
    pub fn records(&self) -> &'n [u8] {
        self.bytes.get(self.records_at()..).unwrap_or_default()
    }

    /// Returns the rdata of record `index`.
    #[inline]
    pub fn rdata(&self, index: usize) -> &'n [u8] {
        self.record(index).get(RECORD_HEADER..).unwrap_or_default()
    }

    /// Returns the compiled bytes.
    pub fn bytes(&self) -> &'n [u8] {
        self.bytes
    }
}

/// Returns whether policies apply to a type: the types that locate a service.
#[inline]
pub fn has_policy(rtype: u16) -> bool {
    matches!(rtype, rtype::A | rtype::AAAA | rtype::SRV)
}

/// Compiles a packed RRset and appends it to `out`, which is unchanged after an error.
pub fn compile(rtype: u16, packed: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    let records = Packed::read(packed)?;
    let policy = Policy::try_from(packed[12])?;
    if matches!(rtype, rtype::CNAME | rtype::DNAME | rtype::SOA) && records.count > 1 {
        return Err(format!("{} records, expected one", records.count));
    }
    let done = compile_records(rtype, policy, packed, records, out);
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// An iterator over the (weight, rdata) pairs of a packed RRset.
#[derive(Clone, Copy)]
struct Packed<'p> {
    count: usize,
    rest: &'p [u8],
}

impl<'p> Packed<'p> {
    /// Checks the lengths of a packed RRset.
    fn read(packed: &'p [u8]) -> Result<Packed<'p>, String> {
        if packed.len() < PACKED_HEADER {
            let length = packed.len();
            return Err(format!("an RRset of {length} bytes, expected at least {PACKED_HEADER}"));
        }
        let records =
            Packed { count: usize::from(u16_at(packed, 14)), rest: &packed[PACKED_HEADER..] };
        if records.count == 0 {
            return Err("an RRset without records: pass None to remove it".into());
        }
        let mut check = records;
        if check.by_ref().count() != records.count {
            return Err(format!("one of {} records is incomplete", records.count));
        }
        if !check.rest.is_empty() {
            return Err(format!("{} bytes follow the last record", check.rest.len()));
        }
        Ok(records)
    }
}

impl<'p> Iterator for Packed<'p> {
    type Item = (u16, &'p [u8]);

    fn next(&mut self) -> Option<(u16, &'p [u8])> {
        if self.count == 0 {
            return None;
        }
        let weight = u16_at(self.rest, 0);
        let end = 4 + usize::from(u16_at(self.rest, 2));
        let rdata = self.rest.get(4..end)?;
        self.rest = &self.rest[end..];
        self.count -= 1;
        Some((weight, rdata))
    }
}

/// Appends the compiled form of records that have been checked.
fn compile_records(
    rtype: u16, policy: Policy, packed: &[u8], records: Packed<'_>, out: &mut Vec<u8>,
) -> Result<(), String> {
    let count = records.count;
    let (weight, first) = { records }.next().unwrap_or_default();
    let same_length = { records }.all(|(_, rdata)| rdata.len() == first.len());
    let stride =
        if same_length { u16::try_from(first.len() + RECORD_HEADER).unwrap_or(0) } else { 0 };
    // Merged SRV records need their weight, even if it is that of all.
    let usual = if rtype == rtype::SRV { 1 } else { weight };
    let weighted = has_policy(rtype) && { records }.any(|(other, _)| other != usual);
    let policy = if has_policy(rtype) { policy } else { Policy::All };

    let start = out.len();
    out.extend([0; 4]);
    out.extend(rtype.to_be_bytes());
    out.extend([policy as u8, packed[13].max(1)]);
    out.extend((count as u16).to_be_bytes());
    out.extend(stride.to_be_bytes());
    out.extend(&packed[..12]);
    out.push(if weighted { WEIGHTED } else { 0 });
    if stride == 0 {
        let mut offset = 0u32;
        for (_, rdata) in records {
            out.extend(offset.to_be_bytes());
            offset += (RECORD_HEADER + rdata.len()) as u32;
        }
    }
    if weighted {
        records.for_each(|(weight, _)| out.extend(weight.to_be_bytes()));
    }
    for (_, rdata) in records {
        validate_rdata(rtype, rdata)?;
        let mut fixed = [0; RECORD_HEADER];
        fixed[..2].copy_from_slice(&POINTER_TO_QUESTION.to_be_bytes());
        fixed[2..4].copy_from_slice(&rtype.to_be_bytes());
        fixed[4..6].copy_from_slice(&CLASS_IN.to_be_bytes());
        fixed[6..10].copy_from_slice(&packed[..4]);
        fixed[10..].copy_from_slice(&(rdata.len() as u16).to_be_bytes());
        out.extend(fixed);
        out.extend(rdata);
    }
    let size = ((out.len() - start) as u32).to_be_bytes();
    out[start..start + 4].copy_from_slice(&size);
    Ok(())
}

/// Packs (weight, rdata) pairs into an RRset of policy `all` that never expires.
pub fn pack(ttl: u32, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(PACKED_HEADER + records.len() * 20);
    packed.extend(ttl.to_be_bytes());
    packed.extend([0; 8]);
    packed.extend([Policy::All as u8, 0]);
    packed.extend((records.len() as u16).to_be_bytes());
    for (weight, rdata) in records {
        packed.extend(weight.to_be_bytes());
        packed.extend((rdata.len() as u16).to_be_bytes());
        packed.extend(*rdata);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(rtype: u16, packed: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        compile(rtype, packed, &mut out).map(|()| out)
    }

    #[test]
    fn compiled_records_are_wire_form() {
        let packed = pack(30, &[(1, &[10, 0, 0, 1]), (1, &[10, 0, 0, 2])]);
        let bytes = compiled(rtype::A, &packed).unwrap();
        let rrset = RRsets::new(&bytes).next().unwrap();
        assert_eq!(
            (rrset.rtype(), rrset.count(), rrset.ttl(), rrset.weighted()),
            (1, 2, 30, false)
        );
        assert_eq!(
            rrset.record(1),
            b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\x0a\x00\x00\x02"
        );
        assert_eq!(rrset.records().len(), 32);
    }

    #[test]
    fn records_may_differ_in_length_and_weight() {
        let srv = |port: u8, target: &[u8]| [&[0, 1, 0, 2, 0, port], target].concat();
        let (first, second) = (srv(1, b"\x01a\x00"), srv(2, b"\x03bcd\x00"));
        let bytes = compiled(rtype::SRV, &pack(5, &[(7, &first), (9, &second)])).unwrap();
        let rrset = RRsets::new(&bytes).next().unwrap();
        assert_eq!((rrset.weight(0), rrset.weight(1)), (7, 9));
        assert_eq!((rrset.rdata(0), rrset.rdata(1)), (&first[..], &second[..]));
    }

    #[test]
    fn invalid_rrsets_are_rejected() {
        let good = pack(30, &[(1, &[10, 0, 0, 1])]);
        let mut policy = good.clone();
        policy[12] = 9;
        let short = pack(30, &[(1, &[10, 0, 0])]);
        let cases: [&[u8]; 6] = [
            b"",
            &good[..good.len() - 1],
            &[&good[..], b"x"].concat(),
            &pack(30, &[]),
            &policy,
            &short,
        ];
        for packed in cases {
            assert!(compiled(rtype::A, packed).is_err(), "{packed:?}");
        }
        assert!(
            compiled(rtype::CNAME, &pack(30, &[(1, b"\x01a\x00"), (1, b"\x01b\x00")])).is_err()
        );
    }

    #[test]
    fn rrset_expires() {
        let mut packed = pack(30, &[(1, &[10, 0, 0, 1])]);
        packed[4..12].copy_from_slice(&500u64.to_be_bytes());
        let bytes = compiled(rtype::A, &packed).unwrap();
        let rrset = RRsets::new(&bytes).next().unwrap();
        assert!(rrset.live(499) && !rrset.live(500));
    }
}
