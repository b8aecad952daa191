//! The core of musterd: the packet path, and bulk reading of zone files.
//!
//! A packet is read by `net`, parsed by `message::query`, and answered by `answer`, which looks names up
//! in `zone`, chooses records by `zone::policy` and writes them with `message::reply`. A change is
//! passed by `python` to `zone::zones`, which compiles the RRset and replaces its owner name in
//! `zone::table`.

pub mod answer;
pub mod authority;
pub mod cookie;
pub mod counters;
pub mod hash;
pub mod histogram;
pub mod message;
pub mod net;
pub mod networks;
pub mod options;
#[cfg(feature = "python")]
mod python;
pub mod rate;
pub mod rdata_text;
pub mod request;
pub mod shared;
pub mod tap;
pub mod workers;
pub mod zone;
pub mod zone_counters;
pub mod zonefile;
