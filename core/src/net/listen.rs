//! Listeners: the open addresses, and the threads that serve them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use mio::{Poll, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::answer::Responder;
use crate::net::{tcp, udp};
use crate::shared::Shared;

/// Bytes of datagrams that may wait while a worker does not run: a bound, not a reservation.
const RECEIVE_BUFFER: usize = 4 << 20;
/// TCP connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Attempts to find a port that is free for UDP and TCP.
const PORT_ATTEMPTS: usize = 16;

/// The open addresses and their threads.
pub struct Listeners {
    shared: Arc<Shared>,
    tcp_open: Arc<AtomicUsize>,
    starter: Sender<Job>,
    open: Vec<Listener>,
}

type Job = Box<dyn FnOnce() + Send>;

/// An open address.
struct Listener {
    /// The address requested, whose port may be 0.
    asked: SocketAddr,
    bound: SocketAddr,
    stop: Arc<AtomicBool>,
    udp: Vec<Arc<UdpSocket>>,
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<()>>,
}

/// The sockets of an address that is not served yet.
struct Sockets {
    asked: SocketAddr,
    bound: SocketAddr,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Listeners {
    /// Creates an empty set of listeners.
    ///
    /// Threads started later get the priority that the caller has now, so they outrank a Python
    /// thread that lowers its own priority afterwards.
    pub fn new(shared: Arc<Shared>) -> io::Result<Listeners> {
        let (starter, jobs) = channel::<Job>();
        thread::Builder::new().name("starter".into()).spawn(move || {
            jobs.iter().for_each(|job| job());
        })?;
        Ok(Listeners { shared, tcp_open: Arc::default(), starter, open: Vec::new() })
    }

    /// Listens on exactly these addresses, with `workers` threads each for UDP and for TCP.
    ///
    /// Returns the addresses bound. An error changes nothing.
    pub fn listen(
        &mut self, addresses: &[SocketAddr], workers: usize,
    ) -> io::Result<Vec<SocketAddr>> {
        let is_open = |address: &SocketAddr| self.open.iter().any(|open| open.asked == *address);
        let mut new = Vec::new();
        for address in addresses.iter().filter(|address| !is_open(address)) {
            new.push(
                Sockets::open(*address, workers)
                    .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?,
            );
        }
        for sockets in new {
            let listener = self.start(sockets)?;
            self.open.push(listener);
        }
        let (keep, close) =
            std::mem::take(&mut self.open).into_iter().partition(|l| addresses.contains(&l.asked));
        self.open = keep;
        close_all(close);
        let bound =
            |asked: &SocketAddr| self.open.iter().find(|l| l.asked == *asked).map(|l| l.bound);
        Ok(addresses.iter().filter_map(bound).collect())
    }

    /// Closes all listeners and waits for their threads.
    pub fn close(&mut self) {
        close_all(std::mem::take(&mut self.open));
    }

    /// Returns the number of open TCP connections.
    pub fn tcp_open(&self) -> usize {
        self.tcp_open.load(Relaxed)
    }

    fn start(&self, sockets: Sockets) -> io::Result<Listener> {
        let mut listener = Listener {
            asked: sockets.asked,
            bound: sockets.bound,
            stop: Arc::default(),
            udp: Vec::new(),
            wakers: Vec::new(),
            threads: Vec::new(),
        };
        let wildcard = sockets.bound.ip().is_unspecified();
        for socket in sockets.udp {
            let socket = Arc::new(socket);
            listener.udp.push(socket.clone());
            let (shared, stop) = (self.shared.clone(), listener.stop.clone());
            let mut responder = Responder::new(self.shared.zones.workers.new_counters(), random()?);
            listener.threads.push(self.spawn("udp", stop.clone(), move || {
                udp::serve(&socket, wildcard, &shared, &mut responder, &stop);
            })?);
        }
        for socket in sockets.tcp {
            let mut poll = Poll::new()?;
            listener.wakers.push(tcp::waker(&poll)?);
            let (shared, stop) = (self.shared.clone(), listener.stop.clone());
            let open = self.tcp_open.clone();
            let mut responder = Responder::new(self.shared.zones.workers.new_counters(), random()?);
            listener.threads.push(self.spawn("tcp", stop.clone(), move || {
                // On an error of epoll itself, start again without connections.
                let _ = tcp::serve(&mut poll, &socket, &shared, &mut responder, &open, &stop);
            })?);
        }
        Ok(listener)
    }

    /// Runs `work` on a thread, again if it ends or panics, until `stop` is set.
    fn spawn(
        &self, name: &str, stop: Arc<AtomicBool>, mut work: impl FnMut() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let builder = thread::Builder::new().name(name.into());
        let (reply, started) = channel();
        let body = move || {
            while !stop.load(Relaxed) {
                // A panic is a bug, which the hook reported. The next packet may still be answered.
                let _ = catch_unwind(AssertUnwindSafe(&mut work));
            }
        };
        let job: Job = Box::new(move || drop(reply.send(builder.spawn(body))));
        let gone = |_| io::Error::other("the thread that starts workers has stopped");
        self.starter.send(job).map_err(|_| gone(()))?;
        started.recv().map_err(|_| gone(()))?
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.close();
    }
}

fn close_all(mut listeners: Vec<Listener>) {
    for listener in &listeners {
        listener.stop.store(true, Relaxed);
        for socket in &listener.udp {
            // Fails with "not connected", but wakes a thread that waits for a datagram.
            let _ = SockRef::from(&**socket).shutdown(std::net::Shutdown::Both);
        }
        for waker in &listener.wakers {
            let _ = waker.wake();
        }
    }
    // The wakers must live until then: a closed one does not wake its thread.
    for thread in listeners.iter_mut().flat_map(|listener| listener.threads.drain(..)) {
        let _ = thread.join();
    }
}

impl Sockets {
    fn open(asked: SocketAddr, workers: usize) -> io::Result<Sockets> {
        let mut tries = 0;
        loop {
            let result = Sockets::try_open(asked, workers);
            let taken =
                result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
            tries += 1;
            if !(taken && asked.port() == 0 && tries < PORT_ATTEMPTS) {
                return result;
            }
        }
    }

    fn try_open(asked: SocketAddr, workers: usize) -> io::Result<Sockets> {
        // Without SO_REUSEPORT first: it would let two servers share an address unnoticed.
        let probe = socket(asked, Type::DGRAM, false)?;
        let bound = probe.local_addr()?.as_socket().unwrap_or(asked);
        socket(bound, Type::STREAM, false)?;
        drop(probe);
        let mut sockets = Sockets { asked, bound, udp: Vec::new(), tcp: Vec::new() };
        for _ in 0..workers {
            let udp = socket(bound, Type::DGRAM, workers > 1)?;
            // The kernel may grant less; then more datagrams of a burst are lost.
            let _ = udp.set_recv_buffer_size(RECEIVE_BUFFER);
            if bound.ip().is_unspecified() {
                set_option(&udp, bound, (libc::IP_PKTINFO, libc::IPV6_RECVPKTINFO), 1)?;
            }
            // Answers are never fragmented, not even after a forged "packet too big" (RFC 9715).
            let (v4, v6) = (libc::IP_PMTUDISC_PROBE, libc::IPV6_PMTUDISC_PROBE);
            let value = if bound.is_ipv4() { v4 } else { v6 };
            set_option(&udp, bound, (libc::IP_MTU_DISCOVER, libc::IPV6_MTU_DISCOVER), value)?;
            sockets.udp.push(udp.into());
            let tcp = socket(bound, Type::STREAM, workers > 1)?;
            tcp.listen(BACKLOG)?;
            tcp.set_nonblocking(true)?;
            sockets.tcp.push(tcp.into());
        }
        Ok(sockets)
    }
}

fn socket(address: SocketAddr, kind: Type, share: bool) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] are two listeners, whatever the default of the system is.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sets an option of the IP level, given by its names for IPv4 and for IPv6.
fn set_option(
    socket: &Socket, address: SocketAddr, (v4, v6): (libc::c_int, libc::c_int), value: libc::c_int,
) -> io::Result<()> {
    let (level, name) =
        if address.is_ipv4() { (libc::IPPROTO_IP, v4) } else { (libc::IPPROTO_IPV6, v6) };
    // SAFETY: the value of the option is the int `value`, which has the given length.
    let done = unsafe {
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns an unpredictable number.
pub fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(bytes))
}
