//! From a query to its answer: the path of a packet, without the sockets.
//!
//! Nothing here waits, takes a lock, allocates memory or calls Python.

use std::net::IpAddr;
use std::sync::Arc;

use crate::authority::Authority;
use crate::cookie::{self, Verdict};
use crate::counters::{Counter, Counters};
use crate::hash::mix;
use crate::message::edns_reply::EdnsReply;
use crate::message::proxy::{Proxy, proxy_header};
use crate::message::query::{self, Edns, Packet, QR, Query, Question, RD};
use crate::message::reply::Reply;
use crate::message::wire::{
    self, CLASS_CH, CLASS_IN, HEADER, MAX_MESSAGE, MessageWriter, Name, ede, rcode, rtype,
};
use crate::networks::prefix;
use crate::options::Options;
use crate::rate;
use crate::request::{Client, Outcome, RequestContext, Transport};
use crate::zone::policy::Selector;

/// Largest answer to a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_SIZE: usize = 512;

/// Answers queries for one worker.
pub struct Responder {
    pub counters: Arc<Counters>,
    selector: Selector,
}

impl Responder {
    /// Creates the responder of one thread; `seed` should be random.
    pub fn new(counters: Arc<Counters>, seed: u64) -> Responder {
        Responder { counters, selector: Selector::new(seed) }
    }

    /// Answers one packet, and writes the answer to `buffer`.
    ///
    /// A UDP packet may begin with a PROXY header. A TCP connection begins with it, so there `peer` is
    /// the client already.
    pub fn respond(
        &mut self, context: RequestContext<'_>, packet: &[u8], peer: IpAddr, transport: Transport,
        buffer: &mut [u8],
    ) -> Outcome {
        let peer = peer.to_canonical();
        let proxies = &context.options.proxy_from;
        let (packet, address) = if transport == Transport::Udp && proxies.contains(peer) {
            match proxy_header(packet) {
                Proxy::Header(length, client) => (&packet[length..], client.unwrap_or(peer)),
                Proxy::Partial | Proxy::Invalid => {
                    self.counters.count(Counter::ProxyBad);
                    return Outcome::Drop;
                }
            }
        } else {
            (packet, peer)
        };
        self.counters.count(match transport {
            Transport::Udp => Counter::Udp,
            Transport::Tcp => Counter::Tcp,
        });
        let client = Client { address, transport };
        let mut name = Name::default();
        match query::read(packet, &mut name) {
            Packet::Silent => {
                self.counters.count(Counter::Silent);
                Outcome::Close
            }
            Packet::Malformed => self.header_only(context, packet, rcode::FORMERR, client, buffer),
            Packet::NotQuery => self.header_only(context, packet, rcode::NOTIMP, client, buffer),
            Packet::Query(query) => self.answer(context, packet, &query, &name, client, buffer),
        }
    }

    /// Answers with a header that has a response code, and nothing else (RFC 8906 sections 3.1.4 and
    /// 8.1.4).
    fn header_only(
        &mut self, context: RequestContext<'_>, packet: &[u8], rcode: u16, client: Client,
        buffer: &mut [u8],
    ) -> Outcome {
        if self.check_rate(context, client, u64::from(rcode)) != rate::Verdict::Send {
            self.counters.count(Counter::RateDropped);
            return Outcome::Drop;
        }
        self.count_rcode(rcode);
        let flags = QR | (wire::u16_at(packet, 2) & (query::OPCODE | RD)) | rcode;
        let mut writer = MessageWriter::new(buffer, HEADER);
        writer.put(&packet[..2]);
        writer.put_u16(flags);
        writer.put(&[0; 8]);
        Outcome::Send(writer.written())
    }

    /// Answers a valid query; `name` is the name of its question.
    fn answer(
        &mut self, context: RequestContext<'_>, packet: &[u8], query: &Query<'_>, name: &Name,
        client: Client, buffer: &mut [u8],
    ) -> Outcome {
        let RequestContext { options, clock, .. } = context;
        let edns = query.edns.as_ref();
        let cookie = self.check_cookie(context, edns, client.address);
        let edns_reply = EdnsReply::new(options, edns, cookie, client, clock.unix);
        let limit = size_limit(options, edns, client.transport);
        let writer = MessageWriter::new(buffer, limit);
        let mut reply = Reply::new(packet, name.wire().len(), &edns_reply, client.address, writer);
        if cookie == Some(Verdict::Malformed) || edns_reply.malformed {
            reply.set_rcode(rcode::FORMERR);
        } else if edns.is_some_and(|edns| edns.version > 0) {
            reply.set_rcode(rcode::BADVERS);
        } else if !options.allow.contains(client.address) {
            self.counters.count(Counter::Denied);
            reply.fail(rcode::REFUSED, Some(ede::PROHIBITED));
        } else if let Some(question) = query.question {
            self.count_type(question.rtype);
            self.answer_question(context, question, name, &mut reply);
        }
        if !matches!(cookie, Some(Verdict::Proven { .. })) {
            let kind = reply.subject() ^ (u64::from(reply.rcode()) << 32);
            let verdict = self.check_rate(context, client, kind);
            if !self.apply_rate_limit(verdict, cookie.is_some(), &mut reply) {
                return Outcome::Drop;
            }
        }
        self.count_rcode(reply.rcode());
        if reply.is_truncated() {
            self.counters.count(Counter::Truncated);
        }
        Outcome::Send(reply.finish(&edns_reply))
    }

    /// Shortens a reply that exceeds the rate limit; returns false if it is dropped.
    fn apply_rate_limit(
        &mut self, verdict: rate::Verdict, cookie: bool, reply: &mut Reply<'_>,
    ) -> bool {
        if verdict == rate::Verdict::Send {
            return true;
        }
        if cookie {
            // Small, and it gives the client a cookie that passes the limit (RFC 7873 section 5.2.3).
            reply.replace_with_error(rcode::BADCOOKIE, None);
            return true;
        }
        reply.clear();
        let slips = verdict == rate::Verdict::Slip;
        self.counters.count(if slips { Counter::RateSlipped } else { Counter::RateDropped });
        reply.set_truncated();
        slips
    }

    /// Checks the cookie of a client, if cookies are enabled and it sent one.
    fn check_cookie(
        &self, context: RequestContext<'_>, edns: Option<&Edns<'_>>, client: IpAddr,
    ) -> Option<Verdict> {
        let cookie = edns?.cookie.filter(|_| context.options.cookies)?;
        let verdict = cookie::check(&context.options.secrets, cookie, client, context.clock.unix);
        match verdict {
            Verdict::Proven { .. } => self.counters.count(Counter::CookieGood),
            _ if cookie.len() > 8 => self.counters.count(Counter::CookieBad),
            _ => {}
        }
        Some(verdict)
    }

    /// Checks whether a client may get one more answer; equal answers have the same `kind`.
    #[inline]
    fn check_rate(
        &mut self, context: RequestContext<'_>, client: Client, kind: u64,
    ) -> rate::Verdict {
        let options = context.options;
        let unlimited = options.rate_limit == 0
            || client.transport == Transport::Tcp
            || (!options.rate_exempt.is_empty() && options.rate_exempt.contains(client.address));
        if unlimited {
            return rate::Verdict::Send;
        }
        let shared = context.shared;
        let key = mix(prefix(client.address) ^ shared.seed, kind ^ 0x4528_21e6_38d0_1377);
        let (now, chance) = (context.clock.boot / 1_000_000, self.selector.random.draw());
        shared.rate.check(key, now, options.rate_limit, options.rate_slip, chance)
    }

    /// Answers a question by its class and type.
    fn answer_question(
        &mut self, context: RequestContext<'_>, question: Question, name: &Name,
        reply: &mut Reply<'_>,
    ) {
        match (question.class, question.rtype) {
            // Zone transfers are not supported. The other types are not valid in a question.
            (_, rtype::AXFR | rtype::IXFR) => reply.fail(rcode::REFUSED, None),
            (_, rtype::OPT | rtype::TSIG | rtype::TKEY) => reply.fail(rcode::FORMERR, None),
            (CLASS_IN, rtype) => {
                let (selector, counters) = (&mut self.selector, &*self.counters);
                Authority { context: &context, selector, counters }.answer(rtype, name, reply);
            }
            (CLASS_CH, rtype::TXT | rtype::ANY) => identify(context.options, name, reply),
            _ => reply.fail(rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE)),
        }
    }

    fn count_type(&self, rtype: u16) {
        self.counters.count(match rtype {
            rtype::A => Counter::TypeA,
            rtype::AAAA => Counter::TypeAaaa,
            rtype::SRV => Counter::TypeSrv,
            rtype::PTR => Counter::TypePtr,
            rtype::TXT => Counter::TypeTxt,
            _ => Counter::TypeOther,
        });
    }

    fn count_rcode(&self, rcode: u16) {
        self.counters.count(match rcode {
            rcode::NOERROR => Counter::NoError,
            rcode::FORMERR => Counter::FormErr,
            rcode::NXDOMAIN => Counter::NxDomain,
            rcode::YXDOMAIN => Counter::YxDomain,
            rcode::NOTIMP => Counter::NotImp,
            rcode::REFUSED => Counter::Refused,
            rcode::BADVERS => Counter::BadVers,
            rcode::BADCOOKIE => Counter::BadCookie,
            _ => Counter::ServFail,
        });
    }
}

/// Returns the largest answer: over UDP what the client accepts, up to our own limit (RFC 6891
/// section 6.2.5).
fn size_limit(options: &Options, edns: Option<&Edns<'_>>, transport: Transport) -> usize {
    match (transport, edns) {
        (Transport::Tcp, _) => MAX_MESSAGE,
        (Transport::Udp, None) => PLAIN_SIZE,
        (Transport::Udp, Some(edns)) => usize::from(edns.size).clamp(PLAIN_SIZE, options.udp_size),
    }
}

/// Answers version.bind, id.server (RFC 4892) and their aliases, unless they are disabled.
fn identify(options: &Options, name: &Name, reply: &mut Reply<'_>) {
    let text = match name.wire() {
        b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => &options.version,
        b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => &options.server_id,
        _ => return reply.fail(rcode::REFUSED, None),
    };
    if text.is_empty() {
        return reply.fail(rcode::REFUSED, None);
    }
    reply.set_authoritative();
    reply.put_text(text);
}
