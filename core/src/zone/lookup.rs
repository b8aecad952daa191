//! Finding what a name has in a zone: exact matches, zone cuts, wildcards.

use crossbeam_epoch::Guard;

use crate::message::wire::{MAX_NAME, Name, rtype};
use crate::zone::rrset::RRset;
use crate::zone::table::Node;
use crate::zone::zones::{Zone, Zones};

/// What a name has.
pub enum Lookup<'g> {
    /// The RRset asked for.
    Answer(&'g Node, RRset<'g>),
    /// A CNAME in its place.
    Alias(&'g Node, RRset<'g>),
    /// It is at or below a zone cut with these NS: another server's.
    Cut(&'g Node, RRset<'g>),
    /// The name exists, the type does not (RFC 2308 section 2.2).
    NoData,
    /// The name does not exist (RFC 8020).
    NoName,
}

impl Zones {
    /// The zone to ask: the deepest, but for DS the one above a cut (RFC 4035 section 3.1.4.1).
    #[inline]
    pub fn find_for<'g>(&self, name: &Name, rtype: u16, guard: &'g Guard) -> Option<&'g Zone> {
        let zone = self.find(name, 0, guard)?;
        if rtype == rtype::DS && zone.apex() == name.wire() && name.labels() > 0 {
            return self.find(name, 1, guard).or(Some(zone));
        }
        Some(zone)
    }

    /// Look a name up in the zone it is in, at boot time `now` (ns).
    #[inline]
    pub fn look_up<'g>(
        &self, zone: &'g Zone, name: &Name, rtype: u16, now: u64, guard: &'g Guard,
    ) -> Lookup<'g> {
        if zone.has_cuts()
            && let Some((node, ns)) = self.cut(zone, name, rtype, now, guard)
        {
            return Lookup::Cut(node, ns);
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

    /// The highest zone cut between the apex and the name; the name itself is none for DS.
    fn cut<'g>(
        &self, zone: &'g Zone, name: &Name, rtype: u16, now: u64, guard: &'g Guard,
    ) -> Option<(&'g Node, RRset<'g>)> {
        let lowest = usize::from(rtype == rtype::DS);
        let below_apex = |suffix: &&[u8]| suffix.len() > zone.apex().len();
        let cuts = name.suffixes().skip(lowest).take_while(below_apex).filter_map(|suffix| {
            let node = self.node(zone, suffix, guard)?;
            Some((node, node.get(rtype::NS, now)?))
        });
        cuts.last()
    }

    /// The wildcard that covers a name that does not exist: the one just below its closest encloser
    /// (RFC 4592 section 3.3.1).
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

/// What a node that exists has of a type.
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
