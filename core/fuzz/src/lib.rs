//! Fuzz targets of the core.
//!
//! Each target takes bytes and panics if the core misbehaves. `message` and `model` are independent of
//! the core and as simple as possible, so that they do not share its bugs. The tests of the core run
//! the same targets on the inputs in `corpus`.

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

/// A fuzz target: takes any bytes, and panics on a bug.
pub type Target = fn(&[u8]);

/// The fuzz targets by name, which is also the name of their corpus.
pub const TARGETS: [(&str, Target); 4] = [
    ("apply", apply::run),
    ("proxy", proxy::run),
    ("query", query::run),
    ("zonefile", zonefile::run),
];
