//! RRsets that are never answered: below a DNAME, in a deeper zone, or at or below a zone cut without
//! being glue.

use std::collections::HashSet;

use crossbeam_epoch::Guard;

use crate::message::wire::{Name, name_len, rtype};
use crate::zone::declared::{WILDCARD, Zone};
use crate::zone::lookup::Lookup;
use crate::zone::zones::Zones;

impl Zones {
    /// Returns the number of RRsets in a zone that are never answered, and owner and type of `most` of
    /// them.
    ///
    /// `has_deeper` tells if another zone is below it. Searches all names, if one is, or if the zone has a cut
    /// or a DNAME; so call it in a thread of its own.
    pub fn occluded(
        &self, apex: &[u8], most: usize, has_deeper: bool, now: u64, guard: &Guard,
    ) -> (usize, Vec<(Vec<u8>, u16)>) {
        let (mut count, mut first) = (0, Vec::new());
        let Some(zone) = self.zone(apex, guard).filter(|zone| has_deeper || zone.has_occluders())
        else {
            return (count, first);
        };
        let servers = self.name_servers(zone, now, guard);
        for node in zone.nodes(guard) {
            let Some(name) = Name::read(node.name()) else { continue };
            for rrset in node.rrsets().filter(|rrset| rrset.live(now)) {
                let rtype = rrset.rtype();
                let glue = || servers.contains(&node.hash());
                let hidden = self.is_occluded(zone, &name, rtype, glue, (now, guard))
                    || (has_deeper && self.is_deeper(zone, &name, rtype, glue, guard));
                if !hidden {
                    continue;
                }
                count += 1;
                if first.len() < most {
                    first.push((node.name().to_vec(), rtype));
                }
            }
        }
        (count, first)
    }

    /// Returns whether an RRset is never answered; `glue` tells if an NS record names its owner.
    fn is_occluded(
        &self, zone: &Zone, owner: &Name, rtype: u16, glue: impl Fn() -> bool,
        (now, guard): (u64, &Guard),
    ) -> bool {
        match self.occluder(zone, owner, rtype, now, guard) {
            Some(Lookup::Redirect(..)) => return true,
            Some(Lookup::Cut(node, _)) if node.name() != owner.wire() || rtype != rtype::NS => {
                return !(matches!(rtype, rtype::A | rtype::AAAA) && glue());
            }
            _ => {}
        }
        // They delegate and redirect no name (RFC 4592 section 4.2, RFC 6672 section 3.3).
        matches!(rtype, rtype::NS | rtype::DNAME)
            && owner.wire().starts_with(WILDCARD)
            && owner.wire().len() > zone.apex().len()
    }

    /// Returns whether an RRset is in another, deeper zone, and does not delegate to it.
    fn is_deeper(
        &self, zone: &Zone, owner: &Name, rtype: u16, glue: impl Fn() -> bool, guard: &Guard,
    ) -> bool {
        let deeper = self.find(owner, 0, guard).filter(|found| found.apex() != zone.apex());
        deeper.is_some_and(|deeper| match rtype {
            rtype::NS | rtype::DS => owner.wire() != deeper.apex(),
            rtype::A | rtype::AAAA => !glue(),
            _ => true,
        })
    }

    /// Returns the hashes of the names in NS records: their addresses are glue.
    fn name_servers(&self, zone: &Zone, now: u64, guard: &Guard) -> HashSet<u64> {
        let mut found = HashSet::new();
        for node in zone.nodes(guard) {
            let Some(ns) = node.get(rtype::NS, now) else { continue };
            for index in 0..ns.count() {
                let rdata = ns.rdata(index);
                let name = &rdata[..name_len(rdata).unwrap_or(0)];
                found.insert(self.hash(&name.to_ascii_lowercase()));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::wire::name as wire;
    use crate::zone::rrset;
    use crossbeam_epoch as epoch;

    const APEX: &[u8] = b"\x02ex\x00";

    fn text(wire: &[u8]) -> String {
        let mut text = String::new();
        let mut rest = wire;
        while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (label, after) = after.split_at(usize::from(*length));
            text.push_str(std::str::from_utf8(label).unwrap());
            text.push('.');
            rest = after;
        }
        text
    }

    /// Returns `owner type` of each occluded RRset, given `owner type [target]`.
    fn occluded(lines: &[&str]) -> Vec<String> {
        let zones = Zones::new(7);
        zones.add(APEX);
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            let rtype: u16 = words[1].parse().unwrap();
            let rdata = match rtype {
                rtype::A => vec![10, 0, 0, 1],
                rtype::TXT => vec![0],
                rtype::DS => vec![0, 1, 8, 2, 0],
                _ => wire(words[2]),
            };
            let packed = rrset::pack(30, &[(1, &rdata)]);
            assert_eq!(zones.apply(&[(APEX, &wire(words[0]), rtype, Some(&packed))]), []);
        }
        let (count, found) = zones.occluded(APEX, 100, true, 1, &epoch::pin());
        assert_eq!(count, found.len());
        assert_eq!(zones.occluded(APEX, 1, true, 1, &epoch::pin()).1.len(), count.min(1));
        let line = |(owner, rtype): (Vec<u8>, u16)| format!("{} {rtype}", text(&owner));
        let mut found: Vec<_> = found.into_iter().map(line).collect();
        found.sort();
        found
    }

    #[test]
    fn everything_below_a_dname_is_occluded() {
        let zone = ["d.ex 39 t", "d.ex 1", "a.d.ex 1", "b.a.d.ex 16", "c.d.ex 2 a.d.ex", "e.ex 1"];
        assert_eq!(occluded(&zone), ["a.d.ex. 1", "b.a.d.ex. 16", "c.d.ex. 2"]);
        assert_eq!(occluded(&["ex 39 t", "ex 2 ns.ex", "ns.ex 1"]), ["ns.ex. 1"]);
    }

    #[test]
    fn below_a_cut_only_glue_is_not_occluded() {
        let zone = [
            "ex 2 ns.cut.ex",
            "cut.ex 2 NS.cut.ex",
            "cut.ex 43",
            "cut.ex 16",
            "ns.cut.ex 1",
            "ns.cut.ex 16",
            "www.cut.ex 1",
            "other.ex 2 host.cut.ex",
            "host.cut.ex 1",
            "self.ex 2 self.ex",
            "self.ex 1",
            "deep.cut.ex 2 x.",
            "d.cut.ex 39 t",
            "both.ex 2 x.",
            "both.ex 39 t",
        ];
        assert_eq!(
            occluded(&zone),
            [
                "both.ex. 39",
                "cut.ex. 16",
                "d.cut.ex. 39",
                "deep.cut.ex. 2",
                "ns.cut.ex. 16",
                "www.cut.ex. 1",
            ]
        );
    }

    #[test]
    fn cut_at_a_wildcard_is_reported() {
        assert_eq!(occluded(&["*.w.ex 2 x."]), ["*.w.ex. 2"]);
        assert_eq!(occluded(&["*.w.ex 39 x."]), ["*.w.ex. 39"]);
        assert_eq!(occluded(&["*.w.ex 1", "a.*.w.ex 2 x.", "w.ex 16"]), [""; 0]);
    }

    #[test]
    fn records_in_a_deeper_zone_are_occluded() {
        let zones = Zones::new(7);
        zones.add(APEX);
        let deeper = wire("d.ex");
        let add = |owner: &str, rtype: u16, rdata: &[u8]| {
            let packed = rrset::pack(30, &[(1, rdata)]);
            assert_eq!(zones.apply(&[(APEX, &wire(owner), rtype, Some(&packed))]), []);
        };
        for owner in ["a.ex", "d.ex", "b.d.ex", "ns.d.ex", "dd.ex"] {
            add(owner, rtype::A, &[10, 0, 0, 1]);
        }
        add("d.ex", rtype::TXT, &[0]);
        add("d.ex", rtype::DS, &[0, 1, 8, 2, 0]);
        add("ex", rtype::NS, &wire("ns.d.ex"));
        assert_eq!(zones.occluded(APEX, 9, true, 1, &epoch::pin()).0, 0);
        zones.add(&deeper);
        assert_eq!(zones.occluded(APEX, 9, false, 1, &epoch::pin()).0, 0);
        let found = zones.occluded(APEX, 9, true, 1, &epoch::pin()).1;
        let mut found: Vec<_> = found.iter().map(|(name, kind)| (text(name), *kind)).collect();
        found.sort();
        let expected = [("b.d.ex.", rtype::A), ("d.ex.", rtype::A), ("d.ex.", rtype::TXT)];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_string(), kind)));
    }
}
