//! The expected answer to a query, computed from the model.

use std::net::IpAddr;

use _core::message::query::Edns;
use _core::options::Options;
use _core::request::Transport;
use _core::zone::declared::State;

use super::message::{ANY, CNAME, DNAME, Labels, NS, SOA, labels, wire};
use super::model::{Found, Model, Set, Zone};
use super::packet::Query;

pub const NOERROR: u16 = 0;
pub const FORMERR: u16 = 1;
pub const SERVFAIL: u16 = 2;
pub const NXDOMAIN: u16 = 3;
pub const NOTIMP: u16 = 4;
pub const REFUSED: u16 = 5;
pub const YXDOMAIN: u16 = 6;
pub const BADVERS: u16 = 16;
pub const BADCOOKIE: u16 = 23;

/// Most names that are looked up for one answer.
const MAX_CHAIN: usize = 16;

/// The expected answer, before the policy selects records.
#[derive(Default)]
pub struct Expected<'m> {
    pub rcode: u16,
    pub aa: bool,
    pub ede: Option<u16>,
    /// CNAME and DNAME records in order. They are not sent with SERVFAIL.
    pub chain: Vec<Link>,
    /// Name, owner in the zone (perhaps a wildcard), zone and type of the RRset that answers.
    pub found: Option<(Labels, Labels, &'m Zone, u16)>,
    /// NS of a referral, or SOA of a negative answer.
    pub authority: Option<(Labels, u16, &'m Set)>,
    /// Text of a CHAOS answer.
    pub text: Option<&'m [u8]>,
}

/// A CNAME or DNAME record of an answer.
pub struct Link {
    pub owner: Labels,
    pub rtype: u16,
    pub set: Set,
    /// True for a CNAME that follows from a DNAME: the case of its target is not known.
    pub made: bool,
}

impl Expected<'_> {
    fn error(rcode: u16, ede: Option<u16>) -> Self {
        Self { rcode, ede, ..Self::default() }
    }
}

/// The context of a query.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub client: IpAddr,
    pub transport: Transport,
    pub options: &'a Options,
    pub model: &'a Model,
    /// Boot time in ns.
    pub now: u64,
}

/// Returns the expected answer to a query that is not rate limited.
pub fn expected<'m>(query: &Query<'_>, asked: &Asked<'m>) -> Expected<'m> {
    let options = asked.options;
    if let Some(edns) = &query.edns {
        if edns.version > 0 {
            return Expected::error(BADVERS, None);
        }
        let trusted = options.ecs_from.contains(asked.client);
        if (options.cookies && !cookie_fits(edns)) || (trusted && !subnet_fits(edns)) {
            return Expected::error(FORMERR, None);
        }
    }
    if !options.allow.contains(asked.client) {
        return Expected::error(REFUSED, Some(18));
    }
    let Some(question) = &query.question else { return Expected::default() };
    match (question.class, question.rtype) {
        (_, 251 | 252) => Expected::error(REFUSED, None),
        (_, 41 | 249 | 250) => Expected::error(FORMERR, None),
        (1, rtype) => resolve(labels(&question.name), rtype, asked),
        (3, 16 | 255) => chaos(&question.name, options),
        _ => Expected::error(REFUSED, Some(20)),
    }
}

/// Returns whether a cookie has a valid length (RFC 7873 section 5.2.2).
pub fn cookie_fits(edns: &Edns<'_>) -> bool {
    edns.cookie.is_none_or(|cookie| cookie.len() == 8 || (16..=40).contains(&cookie.len()))
}

/// Returns whether a client subnet is valid (RFC 7871 section 7.1.1): scope 0, as many bytes as the
/// prefix needs, spare bits 0.
pub fn subnet_fits(edns: &Edns<'_>) -> bool {
    let Some(subnet) = edns.subnet else { return true };
    let [0, family, source, 0, address @ ..] = subnet else { return false };
    let source = usize::from(*source);
    let width = match family {
        1 => 32,
        2 => 128,
        _ => return false,
    };
    let bit = |at: usize| address[at / 8] & (0x80 >> (at % 8)) != 0;
    source <= width && address.len() == source.div_ceil(8) && !(source..address.len() * 8).any(bit)
}

fn chaos<'m>(name: &[u8], options: &'m Options) -> Expected<'m> {
    let text = match &labels(name).iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
        [b"bind", b"version"] | [b"server", b"version"] => &options.version,
        [b"bind", b"hostname"] | [b"server", b"id"] => &options.server_id,
        _ => return Expected::error(REFUSED, None),
    };
    if text.is_empty() {
        return Expected::error(REFUSED, None);
    }
    Expected { aa: true, text: Some(text), ..Expected::default() }
}

/// Resolves a name by RFC 1034 section 4.3.2 from step 2 on.
fn resolve<'m>(mut name: Labels, rtype: u16, asked: &Asked<'m>) -> Expected<'m> {
    let (model, now) = (asked.model, asked.now);
    let Some(mut zone) = model.zone(&name, rtype) else {
        return Expected::error(REFUSED, Some(20));
    };
    let mut out = Expected::default();
    let mut seen = Vec::new();
    let mut dnames = Vec::new();
    while seen.len() < MAX_CHAIN {
        if zone.state == State::Stale {
            out.ede = Some(3);
        }
        let found = zone.look_up(&name, rtype, now);
        seen.push(name.clone());
        match found {
            Found::Answer(owner) => {
                out.aa = true;
                out.found = Some((name, owner, zone, rtype));
                break;
            }
            Found::Alias(owner) => {
                out.aa = true;
                let Some(cname) = zone.get(&owner, CNAME, now) else { break };
                let target = labels(&cname.rdatas[0]);
                out.chain.push(Link { owner: name, rtype: CNAME, set: cname.clone(), made: false });
                name = target;
            }
            Found::Redirect(owner) => {
                out.aa = true;
                let Some(dname) = zone.get(&owner, DNAME, now) else { break };
                if !dnames.contains(&owner) {
                    dnames.push(owner.clone());
                    let owner = owner.clone();
                    out.chain.push(Link { owner, rtype: DNAME, set: dname.clone(), made: false });
                }
                let above = labels(&dname.rdatas[0]);
                let target = [&above[..], &name[owner.len()..]].concat();
                if wire(&target).len() > 255 {
                    out.rcode = YXDOMAIN;
                    break;
                }
                let set = Set { rdatas: vec![wire(&target)], ..dname.clone() };
                out.chain.push(Link { owner: name, rtype: CNAME, set, made: true });
                if matches!(rtype, CNAME | ANY) || above.starts_with(&owner) {
                    break;
                }
                name = target;
            }
            Found::Cut(owner) => {
                out.authority = zone.get(&owner, NS, now).map(|set| (owner, NS, set));
                break;
            }
            Found::NoData | Found::NoName if zone.state == State::Loading => {
                return Expected { chain: out.chain, ..Expected::error(SERVFAIL, Some(14)) };
            }
            Found::NoData | Found::NoName => {
                out.aa = true;
                out.rcode = if found == Found::NoName { NXDOMAIN } else { NOERROR };
                let soa = zone.get(&zone.apex, SOA, now);
                out.authority = soa.map(|set| (zone.apex.clone(), SOA, set));
                break;
            }
        }
        match model.zone(&name, rtype).filter(|_| !seen.contains(&name)) {
            Some(next) => zone = next,
            None => break,
        }
    }
    out
}
