//! The core of musterd: the packet path, and bulk reading of zone files.
//!
//! The way of a packet: `udp` or `tcp` reads it, `query` takes it apart, `answer` finds out what to say by
//! `lookup` in `zones` (`table`, `rrset`), `policy` chooses, `reply` writes. The way of a change: `python`
//! hands it to `zones`, which compiles the RRset and swaps its owner name in `table`.

pub mod answer;
pub mod cookie;
pub mod counters;
pub mod listen;
pub mod lookup;
pub mod net;
pub mod options;
pub mod policy;
#[cfg(feature = "python")]
mod python;
pub mod query;
pub mod rate;
pub mod rdata_text;
pub mod reply;
pub mod rrset;
pub mod shared;
pub mod table;
pub mod tcp;
pub mod udp;
pub mod wire;
pub mod zonefile;
pub mod zones;
