//! The hosts that the records of a reply name.

use arrayvec::ArrayVec;

use crate::message::wire::{name_len, rtype};

/// Maximum targets whose addresses are added to a reply.
const MAX_TARGETS: usize = 64;

/// The names in rdata whose addresses the client needs next, and where they were written.
#[derive(Default)]
pub struct Targets<'n> {
    list: ArrayVec<(&'n [u8], usize), MAX_TARGETS>,
    /// True if the owner of the records is a target: "." in SVCB (RFC 9460 section 2.5.2).
    pub owner: bool,
}

impl<'n> Targets<'n> {
    /// Returns whether records of a type name hosts (RFC 1035, RFC 2782, RFC 9460 section 4.1).
    pub fn exist_for(rtype: u16) -> bool {
        matches!(rtype, rtype::SRV | rtype::NS | rtype::MX | rtype::SVCB | rtype::HTTPS)
    }

    /// Adds the target of a record whose rdata was written at `at`.
    pub fn add(&mut self, rtype: u16, rdata: &'n [u8], at: usize) {
        let skip = match rtype {
            rtype::SRV => 6,
            rtype::MX | rtype::SVCB | rtype::HTTPS => 2,
            _ => 0,
        };
        let Some(name) = rdata.get(skip..) else { return };
        let (name, at) = (&name[..name_len(name).unwrap_or(0)], at + skip);
        if name == [0] {
            // In the other types "." means that there is no host.
            self.owner |= matches!(rtype, rtype::SVCB | rtype::HTTPS);
            return;
        }
        let known = self.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !known {
            // The client looks up targets beyond the bound itself.
            let _ = self.list.try_push((name, at));
        }
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &[u8]) {
        self.list.retain(|(target, _)| !target.eq_ignore_ascii_case(name));
    }

    /// Iterates over the targets, each with the offset of its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'n [u8], usize)> + '_ {
        self.list.iter().copied()
    }
}
