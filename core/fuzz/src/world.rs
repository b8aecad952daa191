//! The zones that the `query` fuzzer asks: a bit of everything, in the core and in the model.

use std::fmt::Write;
use std::io;
use std::sync::OnceLock;

use _core::shared::Shared;
use _core::zone::rrset::{POLICY_ALL, POLICY_ONE, POLICY_ROTATE, POLICY_STICKY, POLICY_SUBSET};
use _core::zone::zones::{STATE_LIVE, STATE_LOADING, STATE_STALE, Zones};
use _core::zonefile::{Parsed, Rrset, parse};

use super::message::{Labels, labels, wire};
use super::model::{Model, Set};

/// Boot time (ns) of all questions. RRsets end long before or after it.
pub const NOW: u64 = 1 << 60;
/// A time that has passed.
const PAST: u64 = 1;

const ZONES: [(&str, u8, &str); 6] = [
    ("ex", STATE_LIVE, include_str!("zones/ex.zone")),
    ("in.ex", STATE_LIVE, include_str!("zones/in.ex.zone")),
    ("load", STATE_LOADING, include_str!("zones/load.zone")),
    ("stale", STATE_STALE, include_str!("zones/stale.zone")),
    ("bare", STATE_LIVE, include_str!("zones/bare.zone")),
    ("10.in-addr.arpa", STATE_LIVE, include_str!("zones/10.in-addr.arpa.zone")),
];

/// Zones twice: in the core, and as the standards see them.
pub struct World {
    pub shared: Shared,
    pub model: Model,
}

/// The one world, made when first asked for.
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

/// Read a zone file without a name, TTL 30 where none is said.
pub fn read(
    text: &[u8], apex: &[u8], include: &mut dyn FnMut(&str) -> io::Result<Vec<u8>>,
) -> Parsed {
    parse(text, "main", apex, 30, include)
}

/// What an include of a file that is not there fails with.
pub fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// Put RRsets into a new zone of both.
pub fn load(zones: &Zones, model: &mut Model, apex: &Labels, state: u8, rrsets: &[Rrset]) {
    let octets = wire(apex);
    zones.add(&octets);
    zones.set_state(&octets, state);
    let change = |(owner, rtype, packed): &'_ Rrset| (owner.clone(), *rtype, packed.clone());
    let changes: Vec<Rrset> = rrsets.iter().map(change).collect();
    let changes: Vec<_> = changes
        .iter()
        .map(|(owner, rtype, packed)| (&octets[..], &owner[..], *rtype, Some(&packed[..])))
        .collect();
    assert_eq!(zones.apply(&changes), []);
    model.add(apex, state);
    let zone = model.zones.get_mut(apex).expect("added above");
    for (owner, rtype, packed) in rrsets {
        zone.put(labels(owner), *rtype, Set::unpack(packed));
    }
}

/// Give an RRset what a zone file can't say, by the first label of its owner.
fn adapt((owner, _, packed): &mut Rrset) {
    let first = &owner[1..][..usize::from(owner[0])];
    let second = &owner[1 + first.len()..];
    let policies = [
        (&b"one"[..], POLICY_ONE, 0),
        (b"rotate", POLICY_ROTATE, 0),
        (b"sticky", POLICY_STICKY, 0),
        (b"subset", POLICY_SUBSET, 2),
    ];
    let (weighted, name) = first.strip_prefix(b"w").map_or((false, first), |name| (true, name));
    let policy = policies.iter().find(|policy| policy.0 == name);
    let (_, policy, k) = policy.copied().unwrap_or((b"", POLICY_ALL, 0));
    packed[12..14].copy_from_slice(&[policy, k]);
    if weighted && policy != POLICY_ALL {
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

/// RRsets at and over each limit of size.
fn large() -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        text.write_fmt(args).and_then(|()| text.write_char('\n')).expect("a String takes all");
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
    // A chain that does not fit in 512 octets.
    let label = "z".repeat(60);
    for index in 0..4 {
        let (from, to) = (index, index + 1);
        line(format_args!("z{from}.{label}.{label}.{label} CNAME z{to}.{label}.{label}.{label}"));
    }
    text
}
