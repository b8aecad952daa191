//! The zones of the `query` fuzzer, in the core and in the model.

use std::fmt::Write;
use std::io;
use std::sync::OnceLock;

use _core::shared::Shared;
use _core::zone::declared::State;
use _core::zone::rrset::Policy;
use _core::zone::zones::Zones;
use _core::zonefile::{Parsed, Rrset, parse};

use super::message::{Labels, labels, wire};
use super::model::{Model, Set};

/// Boot time (ns) of all queries. RRsets expire long before or after it.
pub const NOW: u64 = 1 << 60;
/// A time in the past.
const PAST: u64 = 1;

const ZONES: [(&str, State, &str); 6] = [
    ("ex", State::Live, include_str!("zones/ex.zone")),
    ("in.ex", State::Live, include_str!("zones/in.ex.zone")),
    ("load", State::Loading, include_str!("zones/load.zone")),
    ("stale", State::Stale, include_str!("zones/stale.zone")),
    ("bare", State::Live, include_str!("zones/bare.zone")),
    ("10.in-addr.arpa", State::Live, include_str!("zones/10.in-addr.arpa.zone")),
];

/// The same zones in the core and in the model.
pub struct World {
    pub shared: Shared,
    pub model: Model,
}

/// Returns the world, which is created on the first call.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut world = World { shared: Shared::new(7), model: Model::default() };
        for (apex, state, text) in ZONES {
            let text = if apex == "ex" { format!("{text}{}", large()) } else { text.into() };
            let apex: Labels = apex.rsplit('.').map(|label| label.into()).collect();
            let mut parsed = read(text.as_bytes(), &wire(&apex), &mut |_| Err(missing()));
            assert_eq!(parsed.problems, []);
            parsed.rrsets.iter_mut().for_each(adapt);
            load(&world.shared.zones, &mut world.model, &apex, state, &parsed.rrsets);
        }
        world
    })
}

/// Parses a zone file with a default TTL of 30.
pub fn read(
    text: &[u8], apex: &[u8], include: &mut dyn FnMut(&str) -> io::Result<Vec<u8>>,
) -> Parsed {
    parse(text, "main", apex, 30, include)
}

/// Returns the error of including a file that does not exist.
pub fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// Puts RRsets into a new zone of the core and of the model.
pub fn load(zones: &Zones, model: &mut Model, apex: &Labels, state: State, rrsets: &[Rrset]) {
    let wire_apex = wire(apex);
    zones.add(&wire_apex);
    zones.set_state(&wire_apex, state);
    let change = |(owner, rtype, packed): &'_ Rrset| (owner.clone(), *rtype, packed.clone());
    let changes: Vec<Rrset> = rrsets.iter().map(change).collect();
    let changes: Vec<_> = changes
        .iter()
        .map(|(owner, rtype, packed)| (&wire_apex[..], &owner[..], *rtype, Some(&packed[..])))
        .collect();
    assert_eq!(zones.apply(&changes), []);
    model.add(apex, state);
    let zone = model.zones.get_mut(apex).expect("added above");
    for (owner, rtype, packed) in rrsets {
        zone.put(labels(owner), *rtype, Set::unpack(packed));
    }
}

/// Sets what a zone file can't express (policy, weight, expiry), by the first label of the owner.
fn adapt((owner, _, packed): &mut Rrset) {
    let first = &owner[1..][..usize::from(owner[0])];
    let second = &owner[1 + first.len()..];
    let policies = [
        (&b"one"[..], Policy::One, 0),
        (b"rotate", Policy::Rotate, 0),
        (b"sticky", Policy::Sticky, 0),
        (b"subset", Policy::Subset, 2),
    ];
    let (weighted, name) = first.strip_prefix(b"w").map_or((false, first), |name| (true, name));
    let policy = policies.iter().find(|policy| policy.0 == name);
    let (_, policy, k) = policy.copied().unwrap_or((b"", Policy::All, 0));
    packed[12..14].copy_from_slice(&[policy as u8, k]);
    if weighted && policy != Policy::All {
        let count = u16::from_be_bytes([packed[14], packed[15]]);
        for index in 0..count {
            // Weight, length and rdata of an A record.
            let at = 16 + 8 * usize::from(index);
            packed[at..at + 2].copy_from_slice(&(3 * index).to_be_bytes());
        }
    }
    let aaaa = packed.len() == 36;
    if (first.starts_with(b"gone") || second[1..].starts_with(b"gone")) && !aaaa {
        packed[4..12].copy_from_slice(&PAST.to_be_bytes());
    }
}

/// Returns RRsets at and above each size limit.
fn large() -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        text.write_fmt(args).and_then(|()| text.write_char('\n')).expect("writing to a String");
    };
    for index in 0..40 {
        line(format_args!("b5 A 10.30.0.{index}"));
        line(format_args!("bn NS ns{index}.bn\nns{index}.bn A 10.31.0.{index}"));
        line(format_args!("bm MX 1 a-long-name-{index}.with-a-long-tail"));
        line(format_args!("bt TXT \"{index} {}\"", "x".repeat(200)));
    }
    for index in 0..100 {
        line(format_args!("b12 A 10.32.0.{index}"));
        line(format_args!("_b._t SRV 0 {index} 80 t{index}\nt{index} A 10.33.0.{index}"));
    }
    for index in 0..5000 {
        line(format_args!("b64 A 10.34.{}.{}", index / 250, index % 250));
    }
    let strings = |count| format!("\"{}\" ", "y".repeat(255)).repeat(count);
    line(format_args!("bf TXT {}", strings(255)));
    line(format_args!("bo TXT {}", strings(254)));
    // A chain that does not fit in 512 bytes.
    let label = "z".repeat(60);
    for index in 0..4 {
        let (from, to) = (index, index + 1);
        line(format_args!("z{from}.{label}.{label}.{label} CNAME z{to}.{label}.{label}.{label}"));
    }
    line(format_args!("dl DNAME {label}.{label}.{label}"));
    text
}
