//! The configuration of the packet path.

use std::time::Duration;

use crate::cookie::Secret;
use crate::networks::Networks;

/// The default of `Options::udp_size` (DNS flag day 2020).
pub const UDP_SIZE: usize = 1232;

/// The options of all listeners; `Core.configure` in `_core.pyi` describes them.
#[derive(Clone, Debug)]
pub struct Options {
    pub version: Vec<u8>,
    pub server_id: Vec<u8>,
    pub udp_size: usize,
    pub allow: Networks,
    pub proxy_from: Networks,
    pub ecs_from: Networks,
    pub cookies: bool,
    /// The first secret signs, all of them verify. Never empty if `cookies` is set.
    pub secrets: Vec<Secret>,
    /// Equal answers per second to one client network; 0 means no limit.
    pub rate_limit: u32,
    pub rate_slip: u32,
    pub rate_exempt: Networks,
    pub tcp_clients: usize,
    pub tcp_idle: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            version: Vec::new(),
            server_id: Vec::new(),
            udp_size: UDP_SIZE,
            allow: Networks::parse(&["0.0.0.0/0", "::/0"]).unwrap_or_default(),
            proxy_from: Networks::default(),
            ecs_from: Networks::default(),
            cookies: false,
            secrets: Vec::new(),
            rate_limit: 0,
            rate_slip: 2,
            rate_exempt: Networks::default(),
            tcp_clients: 1000,
            tcp_idle: Duration::from_secs(10),
        }
    }
}
