//! The zones by apex.

use std::sync::Arc;

use crate::message::wire::{MAX_LABELS, Name};
use crate::zone::declared::Zone;

/// Zones by apex, replaced as a whole when a zone is added or removed.
pub struct Directory {
    /// True for each number of labels that the apex of a zone has: other suffixes are not hashed.
    pub(super) depths: [bool; MAX_LABELS + 1],
    slots: Box<[Option<Arc<Zone>>]>,
}

impl Directory {
    pub(super) fn new(zones: &[Arc<Zone>]) -> Directory {
        let capacity = (zones.len() * 2 + 1).next_power_of_two();
        let mut directory = Directory {
            depths: [false; MAX_LABELS + 1],
            slots: vec![None; capacity].into_boxed_slice(),
        };
        for zone in zones {
            let labels = Name::read(&zone.apex).map_or(0, |name| name.labels());
            directory.depths[labels] = true;
            let mut at = zone.hash as usize & (capacity - 1);
            while directory.slots[at].is_some() {
                at = (at + 1) & (capacity - 1);
            }
            directory.slots[at] = Some(zone.clone());
        }
        directory
    }

    #[inline]
    pub(super) fn get(&self, hash: u64, apex: &[u8]) -> Option<&Arc<Zone>> {
        let mut at = hash as usize & (self.slots.len() - 1);
        while let Some(zone) = &self.slots[at] {
            if zone.hash == hash && zone.apex() == apex {
                return Some(zone);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }
}
