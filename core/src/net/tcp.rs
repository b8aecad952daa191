//! TCP (RFC 7766): one listener and its connections, on one thread with epoll.
//!
//! The queries of a connection are answered in order; no answer waits, so another order gains nothing.
//! The memory of a connection is bounded: one incomplete query, and the answers that the client has
//! not read yet. While there are any, nothing more is read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_epoch as epoch;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::answer::Responder;
use crate::counters::Counter;
use crate::message::proxy::{Proxy, proxy_header, proxy_port};
use crate::message::wire::MAX_MESSAGE;
use crate::message::wire::u16_at;
use crate::net::listen::random;
use crate::request::{Outcome, RequestContext, Transport, clock};
use crate::shared::Shared;
use crate::tap::outlet::{Exchange, Outlets, Times, address_of};

const LISTENER: Token = Token(usize::MAX);
pub const WAKER: Token = Token(usize::MAX - 1);
/// Bytes read at once: the longest message and its length.
const READ_SIZE: usize = MAX_MESSAGE + 2;
/// Bytes waiting to be sent above which no more queries are answered.
const HIGH_WATER: usize = 64 * 1024;
/// Reads of one connection before the other connections are served.
const READS_PER_TURN: usize = 8;
/// Interval between searches for idle connections.
const SWEEP: Duration = Duration::from_millis(500);

struct Connection {
    stream: TcpStream,
    /// The client: the peer, or the address in its PROXY header.
    client: SocketAddr,
    /// True while a PROXY header must come next.
    proxied: bool,
    /// The beginning of an incomplete query.
    input: Vec<u8>,
    /// Answers; those before `sent` have been sent.
    output: Vec<u8>,
    sent: usize,
    /// Time of the last complete query.
    active: Instant,
    /// True if no more queries are read.
    ended: bool,
}

/// The next step for a connection that was served.
#[derive(PartialEq)]
enum Turn {
    /// Wait for an event.
    Wait,
    /// Serve it again: there may be more to read.
    Again,
    /// Close it.
    Close,
}

/// The result of answering the queries that were read.
#[derive(Default)]
struct Answered {
    /// Bytes of the queries.
    used: usize,
    /// Boot time in ns before the first one was answered.
    since: u64,
    replies: u64,
}

/// The TCP connections of an address that one thread serves.
pub struct Server<'s> {
    shared: &'s Shared,
    responder: &'s mut Responder,
    /// Number of open connections of all threads.
    open: &'s AtomicUsize,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
    answer: Vec<u8>,
    outlets: Outlets,
}

/// Serves a listener until `stop` is set and the waker of `poll` is called.
pub fn serve(
    poll: &mut Poll, listener: &StdListener, shared: &Shared, responder: &mut Responder,
    open: &AtomicUsize, stop: &AtomicBool,
) -> io::Result<()> {
    let local = listener.local_addr();
    let mut listener = TcpListener::from_std(listener.try_clone()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        shared,
        responder,
        open,
        connections: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; READ_SIZE],
        answer: vec![0; MAX_MESSAGE],
        outlets: Outlets::new(address_of(local), random().unwrap_or_default()),
    };
    let result = server.run(poll, &listener, stop);
    for at in 0..server.connections.len() {
        server.close(at);
    }
    poll.registry().deregister(&mut listener)?;
    result
}

/// Creates the waker of a poll that `serve` uses.
pub fn waker(poll: &Poll) -> io::Result<Waker> {
    Waker::new(poll.registry(), WAKER)
}

impl Server<'_> {
    fn run(
        &mut self, poll: &mut Poll, listener: &TcpListener, stop: &AtomicBool,
    ) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        let (mut again, mut swept) = (Vec::new(), Instant::now());
        while !stop.load(Relaxed) {
            let idle = self.free.len() == self.connections.len();
            let wait = match again.is_empty() {
                false => Some(Duration::ZERO),
                true => (!idle).then_some(SWEEP),
            };
            match poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let mut ready = std::mem::take(&mut again);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(listener, poll.registry()),
                    WAKER => {}
                    Token(at) => ready.push(at),
                }
            }
            ready.sort_unstable();
            ready.dedup();
            for at in ready {
                match self.turn(at) {
                    Turn::Wait => {}
                    Turn::Again => again.push(at),
                    Turn::Close => self.close(at),
                }
            }
            if swept.elapsed() >= SWEEP {
                self.sweep();
                swept = Instant::now();
            }
        }
        Ok(())
    }

    fn accept(&mut self, listener: &TcpListener, registry: &Registry) {
        loop {
            let (mut stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // Probably out of descriptors: free one, and the kernel reports the connection again.
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.evict();
                    }
                    return;
                }
            };
            let (max_clients, proxied) = {
                let guard = &epoch::pin();
                let options = self.shared.options(guard);
                (options.tcp_clients, options.proxy_from.contains(peer.ip().to_canonical()))
            };
            if self.open.load(Relaxed) >= max_clients && !self.evict() {
                continue;
            }
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, Token(at), both).is_err() {
                self.free.push(at);
                continue;
            }
            // Answers are written whole, so a delay gains nothing.
            let _ = stream.set_nodelay(true);
            self.open.fetch_add(1, Relaxed);
            self.responder.counters.count(Counter::TcpOpened);
            self.connections[at] = Some(Connection {
                stream,
                client: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
                proxied,
                input: Vec::new(),
                output: Vec::new(),
                sent: 0,
                active: Instant::now(),
                ended: false,
            });
        }
    }

    fn close(&mut self, at: usize) {
        if self.connections.get_mut(at).and_then(Option::take).is_some() {
            self.open.fetch_sub(1, Relaxed);
            self.responder.counters.count(Counter::TcpClosed);
            self.free.push(at);
        }
    }

    /// Closes the connection of this thread that was idle longest; returns false if there is none.
    fn evict(&mut self) -> bool {
        let active = |(at, connection): (usize, &Option<Connection>)| {
            connection.as_ref().map(|connection| (connection.active, at))
        };
        let Some((_, at)) = self.connections.iter().enumerate().filter_map(active).min() else {
            return false;
        };
        self.close(at);
        self.responder.counters.count(Counter::TcpEvicted);
        true
    }

    fn sweep(&mut self) {
        let idle = self.shared.options(&epoch::pin()).tcp_idle;
        for at in 0..self.connections.len() {
            let late = |connection: &Connection| connection.active.elapsed() >= idle;
            if self.connections[at].as_ref().is_some_and(late) {
                self.close(at);
                self.responder.counters.count(Counter::TcpIdle);
            }
        }
    }

    /// Sends, reads and answers on a connection as far as possible without waiting.
    fn turn(&mut self, at: usize) -> Turn {
        let Some(mut connection) = self.connections.get_mut(at).and_then(Option::take) else {
            return Turn::Wait;
        };
        let turn = self.service_connection(&mut connection).unwrap_or(Turn::Close);
        self.connections[at] = Some(connection);
        turn
    }

    fn service_connection(&mut self, connection: &mut Connection) -> io::Result<Turn> {
        for _ in 0..READS_PER_TURN {
            if !connection.flush()? {
                return Ok(Turn::Wait);
            }
            // Complete queries may be left if the answers reached the high-water mark.
            let held = connection.input.len();
            self.scratch[..held].copy_from_slice(&connection.input);
            let read = if connection.ended {
                Ok(0)
            } else {
                connection.stream.read(&mut self.scratch[held..])
            };
            let end = match read {
                Ok(0) => {
                    connection.ended = true;
                    held
                }
                Ok(count) => held + count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => held,
                Err(error) => return Err(error),
            };
            let Answered { used, since, replies } = self.answer(connection, end)?;
            connection.input.clear();
            connection.input.extend_from_slice(&self.scratch[used..end]);
            let sent = connection.flush()?;
            // Also those that the client does not read yet, so that its delay is not counted.
            self.responder.counters.replied(Transport::Tcp, since, replies);
            if used == 0 && end == held {
                // Nothing new was read, and nothing was answered.
                let done = connection.ended && sent;
                return Ok(if done { Turn::Close } else { Turn::Wait });
            }
        }
        Ok(Turn::Again)
    }

    /// Answers the queries at the start of `scratch[..end]`.
    fn answer(&mut self, connection: &mut Connection, end: usize) -> io::Result<Answered> {
        let clock = clock();
        let (mut used, mut replies) = (0, 0);
        if connection.proxied {
            match proxy_header(&self.scratch[..end]) {
                Proxy::Header(length, client) => {
                    if let Some(client) = client {
                        connection.client = SocketAddr::new(client, proxy_port(&self.scratch));
                    }
                    connection.proxied = false;
                    used = length;
                }
                Proxy::Partial => return Ok(Answered::default()),
                Proxy::Invalid => {
                    self.responder.counters.count(Counter::ProxyBad);
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        let guard = &epoch::pin();
        let context = RequestContext::new(self.shared, clock, guard);
        let wanted = self.outlets.wanted(&self.shared.tap);
        while connection.output.len() < HIGH_WATER && end - used >= 2 {
            let length = usize::from(u16_at(&self.scratch, used));
            let Some(query) = self.scratch[..end].get(used + 2..used + 2 + length) else { break };
            let client = connection.client;
            let (transport, peer) = (Transport::Tcp, client.ip());
            let outcome = self.responder.respond(context, query, peer, transport, &mut self.answer);
            if wanted {
                let answer = outcome.answer(&self.answer).unwrap_or_default();
                let exchange = Exchange { query, client, transport, answer };
                self.outlets.report(context, &mut Times::default(), exchange);
            }
            match outcome {
                Outcome::Send(length) => {
                    connection.output.extend_from_slice(&(length as u16).to_be_bytes());
                    connection.output.extend_from_slice(&self.answer[..length]);
                    replies += 1;
                }
                Outcome::Drop => {}
                Outcome::Close => {
                    // Answers that are ready are still sent.
                    connection.ended = true;
                    used = end;
                    break;
                }
            }
            connection.active = Instant::now();
            used += 2 + query.len();
        }
        Ok(Answered { used, since: clock.boot, replies })
    }
}

impl Connection {
    /// Sends the answers; returns true if all were sent.
    fn flush(&mut self) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }
}
