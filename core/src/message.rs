//! Messages in wire form: names, queries, replies, EDNS, and the PROXY header before them.

pub mod edns_reply;
pub mod proxy;
pub mod query;
pub mod reply;
pub mod targets;
pub mod wire;
