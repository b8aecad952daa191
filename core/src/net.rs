//! Sockets: listeners, and the workers that serve UDP and TCP.

pub mod listen;
pub mod tcp;
pub mod udp;
