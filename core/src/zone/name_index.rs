//! The owner names of a zone as a tree, for questions with wildcard labels.
//!
//! Only zones with wildcard questions have one (`Zones::set_wildcard_queries`). It is a skip list
//! whose readers never wait. The labels of a name are in the order last to first, so that the names
//! below one name follow it. A change to a name costs the logarithm of the number of names.

use std::ops::Bound;

use crossbeam_epoch::{Guard, default_collector};
use crossbeam_skiplist::base::SkipList;

use crate::message::wire::{MAX_NAME, Name};

/// Labels of a name, last to first, without those of the apex; each after its length.
#[derive(Clone, Copy)]
struct Path {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Path {
    const EMPTY: Path = Path { bytes: [0; MAX_NAME], length: 0 };

    /// Returns the path of a name below an apex of `apex` bytes.
    fn of(name: &[u8], apex: usize) -> Path {
        let length = name.len() - apex;
        let mut path = Path { length, ..Path::EMPTY };
        let mut at = 0;
        while at < length {
            let end = at + 1 + usize::from(name[at]);
            path.bytes[length - end..length - at].copy_from_slice(&name[at..end]);
            at = end;
        }
        path
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Adds a label, with its length; returns false if the path gets too long.
    fn push(&mut self, label: &[u8]) -> bool {
        let Some(end) = self.bytes.get_mut(self.length..self.length + label.len()) else {
            return false;
        };
        end.copy_from_slice(label);
        self.length += label.len();
        true
    }

    /// Writes the name of the path below `apex` to `out`; returns `None` if it is too long.
    fn name<'o>(&self, apex: &[u8], out: &'o mut [u8; MAX_NAME]) -> Option<&'o [u8]> {
        let total = self.length + apex.len();
        let name = out.get_mut(..total)?;
        let mut at = 0;
        while at < self.length {
            let end = at + 1 + usize::from(self.bytes[at]);
            name[self.length - end..self.length - at].copy_from_slice(&self.bytes[at..end]);
            at = end;
        }
        name[self.length..].copy_from_slice(apex);
        Some(name)
    }
}

/// Cost of skipping the names below a name, in names visited.
const SKIP: usize = 4;

/// A reason to look no further below a name.
pub enum Visit {
    /// The names below it may match.
    Descend,
    /// No name below it matches.
    Skip,
    /// No other name is visited.
    Stop,
}

/// The owner names of a zone, without the apex.
pub struct NameIndex {
    names: SkipList<Box<[u8]>, ()>,
}

impl Default for NameIndex {
    fn default() -> NameIndex {
        NameIndex { names: SkipList::new(default_collector().clone()) }
    }
}

impl NameIndex {
    /// Adds a name below an apex of `apex` bytes.
    pub(super) fn insert(&self, name: &[u8], apex: usize, guard: &Guard) {
        if name.len() > apex {
            let path = Path::of(name, apex);
            self.names.get_or_insert(path.as_slice().into(), (), guard).release(guard);
        }
    }

    /// Removes a name.
    pub(super) fn remove(&self, name: &[u8], apex: usize, guard: &Guard) {
        if name.len() > apex
            && let Some(entry) = self.names.remove(Path::of(name, apex).as_slice(), guard)
        {
            entry.release(guard);
        }
    }

    /// Visits the names that match a pattern, and those above them up to the apex: `visit` gets each
    /// name, and whether it is a match. Returns false if there are more than `most`; each one with
    /// names below it that have to be skipped counts as `1 + SKIP`.
    pub(super) fn visit(
        &self, pattern: &Name, apex: &[u8], most: usize, guard: &Guard,
        mut visit: impl FnMut(&[u8], bool) -> Visit,
    ) -> bool {
        let pattern = Path::of(pattern.wire(), apex.len());
        let mut walk =
            Walk { index: self, pattern, apex, guard, left: Some(most), visit: &mut visit };
        walk.descend(0, Path::EMPTY);
        walk.left.is_some()
    }
}

/// Returns whether a label of a question, with its length, stands for every label.
pub fn is_wildcard(label: &[u8]) -> bool {
    matches!(label, b"\x01*" | b"\x03any")
}

/// Returns whether a name has a wildcard label before its last `apex` bytes.
pub fn has_wildcard(name: &Name, apex: usize) -> bool {
    let inside = |suffix: &&[u8]| suffix.len() > apex;
    name.suffixes()
        .take_while(inside)
        .any(|suffix| is_wildcard(&suffix[..1 + usize::from(suffix[0])]))
}

struct Walk<'w, F> {
    index: &'w NameIndex,
    pattern: Path,
    apex: &'w [u8],
    guard: &'w Guard,
    /// Names that may still be visited; `None` once there were more.
    left: Option<usize>,
    visit: &'w mut F,
}

impl<F: FnMut(&[u8], bool) -> Visit> Walk<'_, F> {
    /// Visits the names below `path` that match the pattern from its byte `at` on; returns false to
    /// stop.
    fn descend(&mut self, at: usize, path: Path) -> bool {
        let end = at + 1 + usize::from(self.pattern.bytes[at]);
        let label = &self.pattern.bytes[at..end];
        if is_wildcard(label) {
            return self.each_child(end, path);
        }
        let mut child = path;
        !child.push(label) || self.enter(end, child)
    }

    /// Visits every name directly below `path`.
    fn each_child(&mut self, next: usize, path: Path) -> bool {
        let names = &self.index.names;
        let mut entry = names.lower_bound(Bound::Excluded(path.as_slice()), self.guard);
        while let Some(found) = entry {
            let Some(rest) = found.key().strip_prefix(path.as_slice()) else { return true };
            let mut child = path;
            if !child.push(&rest[..1 + usize::from(rest[0])]) || !self.enter(next, child) {
                return false;
            }
            // Most names have none below them.
            let after = found.next();
            let below = |entry: &[u8]| entry.starts_with(child.as_slice());
            entry = if after.as_ref().is_some_and(|entry| below(entry.key())) {
                // A length is at most 63.
                let mut end = [0; MAX_NAME + 1];
                end[..child.length].copy_from_slice(child.as_slice());
                end[child.length] = 64;
                self.left = self.left.map(|left| left.saturating_sub(SKIP));
                names.lower_bound(Bound::Included(&end[..=child.length]), self.guard)
            } else {
                after
            };
        }
        true
    }

    /// Visits a name, and the names below it unless it is a match.
    fn enter(&mut self, next: usize, path: Path) -> bool {
        let mut name = [0; MAX_NAME];
        let Some(name) = path.name(self.apex, &mut name) else { return true };
        self.left = self.left.and_then(|left| left.checked_sub(1));
        if self.left.is_none() {
            return false;
        }
        let matches = next == self.pattern.length;
        match (self.visit)(name, matches) {
            Visit::Descend if !matches => self.descend(next, path),
            Visit::Descend | Visit::Skip => true,
            Visit::Stop => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    const APEX: &[u8] = b"\x02ex\x00";

    fn wire(text: &str) -> Vec<u8> {
        crate::message::wire::name(&format!("{text}.ex"))
    }

    fn index(names: &[&str]) -> NameIndex {
        let (index, guard) = (NameIndex::default(), &crossbeam_epoch::pin());
        names.iter().for_each(|name| index.insert(&wire(name), APEX.len(), guard));
        index
    }

    fn matches(index: &NameIndex, pattern: &str) -> Vec<Vec<u8>> {
        let (mut found, guard) = (Vec::new(), &crossbeam_epoch::pin());
        index.visit(&Name::read(&wire(pattern)).unwrap(), APEX, 99, guard, |name, matches| {
            if matches {
                found.push(name.to_vec());
            }
            Visit::Descend
        });
        found
    }

    fn check(names: &[&str], pattern: &str, expected: &[&str]) {
        let mut found = matches(&index(names), pattern);
        // A name without wildcards is visited without a look into the index.
        found.retain(|found| names.iter().any(|name| wire(name) == *found));
        let expected: Vec<_> = expected.iter().map(|name| wire(name)).collect();
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn wildcards_match_one_label_at_their_place() {
        let names =
            ["r", "a.r", "b.r", "x.b.r", "y.x.b.r", "q", "a.q", "prod", "a.prod", "x.a.prod"];
        check(&names, "*.r", &["a.r", "b.r"]);
        check(&names, "any.r", &["a.r", "b.r"]);
        check(&names, "a.any", &["a.q", "a.r", "a.prod"]);
        check(&names, "*.*", &["a.q", "a.r", "b.r", "a.prod"]);
        check(&names, "x.*.*", &["x.b.r", "x.a.prod"]);
        check(&names, "x.*.r", &["x.b.r"]);
        check(&names, "*", &["q", "r", "prod"]);
        check(&names, "z.*", &[]);
        check(&names, "*.none", &[]);
    }

    #[test]
    fn stored_stars_are_labels() {
        check(&["*", "any", "a"], "*", &["*", "a", "any"]);
        check(&["r", "*.r"], "any.r", &["*.r"]);
    }

    #[test]
    fn removed_names_are_not_found() {
        let index = index(&["a", "b"]);
        let guard = &crossbeam_epoch::pin();
        index.remove(&wire("a"), APEX.len(), guard);
        index.remove(&wire("none"), APEX.len(), guard);
        index.insert(APEX, APEX.len(), guard);
        assert_eq!(matches(&index, "*"), [wire("b")]);
    }

    #[test]
    fn readers_always_find_the_names_that_stay() {
        let (index, done) = (index(&["a.s", "m.s", "z.s"]), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        let found = matches(&index, "*.s");
                        for name in ["a.s", "m.s", "z.s"] {
                            assert!(found.contains(&wire(name)), "{name}");
                        }
                        assert!(found.iter().all(|name| name.ends_with(&wire("s"))));
                    }
                });
            }
            for number in 0..20_000 {
                let guard = &crossbeam_epoch::pin();
                for name in [format!("n{}.s", number % 9), format!("x.n{}.s", number % 7)] {
                    index.insert(&wire(&name), APEX.len(), guard);
                    index.remove(&wire(&name), APEX.len(), guard);
                }
            }
            done.store(true, Relaxed);
        });
        assert_eq!(matches(&index, "*.s").len(), 3);
    }

    #[test]
    fn labels_of_every_length_and_byte_sort_below_their_parent() {
        let long = "x".repeat(63);
        let names = ["p".into(), format!("{long}.p"), format!("a.{long}.p"), "\u{7f}.p".into()];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&names, "*.p", &["\u{7f}.p", names[1]]);
    }

    #[test]
    fn wildcard_labels_are_those_below_the_apex() {
        let has = |text: &str, apex| has_wildcard(&Name::read(&wire(text)).unwrap(), apex);
        assert!(has("*.a", 4) && has("a.ANY.b", 4) && has("a.any", 4));
        assert!(!has("a.any", 8) && !has("company", 4) && !has("*a", 4) && !has("", 4));
    }
}
