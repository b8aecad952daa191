//! What the fuzzers feed the core, and what must hold whatever they feed it.
//!
//! Each target takes bytes and panics if the core does wrong. `message` and `model` are written
//! apart from the core and as naively as can be, so that they do not share its faults. The tests of
//! the core run the same targets over the inputs in `corpus`.

pub mod apply;
pub mod check;
pub mod expected;
pub mod message;
pub mod model;
pub mod packet;
pub mod proxy;
pub mod query;
pub mod sections;
pub mod world;
pub mod zonefile;

/// A fuzzer: any bytes in, a panic if something is wrong.
pub type Target = fn(&[u8]);

/// The fuzzers by name, which is that of their corpus too.
pub const TARGETS: [(&str, Target); 4] = [
    ("apply", apply::run),
    ("proxy", proxy::run),
    ("query", query::run),
    ("zonefile", zonefile::run),
];
