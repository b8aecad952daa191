//! Look-up of names in a zone: exact matches, zone cuts, DNAME, wildcards.

use crossbeam_epoch::Guard;

use crate::message::wire::{MAX_NAME, Name, rtype};
use crate::zone::declared::Zone;
use crate::zone::rrset::RRset;
use crate::zone::table::Node;
use crate::zone::zones::Zones;

/// The result of a look-up.
pub enum Lookup<'g> {
    /// The name has the RRset.
    Answer(&'g Node, RRset<'g>),
    /// The name has a CNAME instead.
    Alias(&'g Node, RRset<'g>),
    /// The name is below this DNAME record (RFC 6672 section 2.1).
    Redirect(&'g Node, RRset<'g>),
    /// The name is at or below a zone cut with these NS records (RFC 1034 section 4.2.1).
    Cut(&'g Node, RRset<'g>),
    /// The name exists, but not with this type (RFC 2308 section 2.2).
    NoData,
    /// The name does not exist (RFC 8020).
    NoName,
}

impl Zones {
    /// Returns the zone that answers for a name: the deepest one, but for DS the one above a cut (RFC 4035 section 3.1.4.1).
    #[inline]
    pub fn find_for<'g>(&self, name: &Name, rtype: u16, guard: &'g Guard) -> Option<&'g Zone> {
        let zone = self.find(name, 0, guard)?;
        if rtype == rtype::DS && zone.apex() == name.wire() && name.labels() > 0 {
            return self.find(name, 1, guard).or(Some(zone));
        }
        Some(zone)
    }

    /// Looks a name up in its zone at boot time `now` (ns).
    // `always`, because nearly all calls come from one place.
    #[inline(always)]
    pub fn look_up<'g>(
        &self, zone: &'g Zone, name: &Name, rtype: u16, now: u64, guard: &'g Guard,
    ) -> Lookup<'g> {
        if zone.has_occluders()
            && let Some(occluder) = self.occluder(zone, name, rtype, now, guard)
        {
            return occluder;
        }
        if let Some(node) = self.node(zone, name.wire(), guard)
            && node.exists(now)
        {
            return at_node(node, rtype, now);
        }
        if name.wire().len() == zone.apex().len() {
            return Lookup::NoData;
        }
        self.wildcard(zone, name, now, guard)
            .map_or(Lookup::NoName, |node| at_node(node, rtype, now))
    }

    /// Returns the node of a host whose addresses help the client, unless it is below a DNAME. Below a
    /// cut they are glue.
    pub fn host<'g>(&self, name: &Name, now: u64, guard: &'g Guard) -> Option<&'g Node> {
        let zone = self.find(name, 0, guard)?;
        if zone.has_dnames()
            && let Some(Lookup::Redirect(..)) = self.occluder(zone, name, rtype::A, now, guard)
        {
            return None;
        }
        self.node(zone, name.wire(), guard)
    }

    /// Returns the highest zone cut or DNAME that occludes a name. A name with both is a cut (RFC 6672
    /// section 2.4).
    ///
    /// For DS the name itself is not a cut (RFC 4035 section 3.1.4.1).
    pub(super) fn occluder<'g>(
        &self, zone: &'g Zone, name: &Name, rtype: u16, now: u64, guard: &'g Guard,
    ) -> Option<Lookup<'g>> {
        let mut highest = None;
        // The apex is not a cut.
        let end = zone.apex().len() + usize::from(!zone.has_dnames());
        let inside = |suffix: &&[u8]| suffix.len() >= end;
        for (depth, suffix) in name.suffixes().take_while(inside).enumerate() {
            let Some(node) = self.node(zone, suffix, guard) else { continue };
            let below = depth > 0;
            let cut = suffix.len() > zone.apex().len() && (below || rtype != rtype::DS);
            if cut && let Some(ns) = node.get(rtype::NS, now) {
                highest = Some(Lookup::Cut(node, ns));
            } else if below && let Some(dname) = node.get(rtype::DNAME, now) {
                highest = Some(Lookup::Redirect(node, dname));
            }
        }
        highest
    }

    /// Returns the wildcard that covers a name that does not exist: the one directly below its closest
    /// encloser (RFC 4592 section 3.3.1).
    #[inline(always)]
    fn wildcard<'g>(
        &self, zone: &'g Zone, name: &Name, now: u64, guard: &'g Guard,
    ) -> Option<&'g Node> {
        if !zone.has_wildcards() {
            return None;
        }
        for encloser in name.suffixes().skip(1) {
            let apex = encloser.len() == zone.apex().len();
            let exists = || self.node(zone, encloser, guard).is_some_and(|node| node.exists(now));
            if apex || exists() {
                let mut wildcard = [0; MAX_NAME + 1];
                wildcard[..2].copy_from_slice(b"\x01*");
                wildcard[2..2 + encloser.len()].copy_from_slice(encloser);
                let node = self.node(zone, &wildcard[..2 + encloser.len()], guard)?;
                return node.exists(now).then_some(node);
            }
        }
        None
    }
}

/// Looks a type up at a node that exists.
#[inline]
fn at_node(node: &Node, rtype: u16, now: u64) -> Lookup<'_> {
    let mut alias = None;
    for rrset in node.rrsets().filter(|rrset| rrset.live(now)) {
        // One RRset is enough for ANY (RFC 8482 section 4.1).
        if rrset.rtype() == rtype || rtype == rtype::ANY {
            return Lookup::Answer(node, rrset);
        }
        if rrset.rtype() == rtype::CNAME {
            alias = Some(rrset);
        }
    }
    alias.map_or(Lookup::NoData, |rrset| Lookup::Alias(node, rrset))
}
