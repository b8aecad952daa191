//! UDP workers: each reads a batch of datagrams from its socket, answers it and sends the answers.
//!
//! Blocking `recvmmsg` saves one system call per batch over epoll, and nine tenths of the cost of a
//! query are system calls.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_epoch as epoch;
use libc::{c_int, iovec, mmsghdr, sockaddr_storage};

use crate::answer::Responder;
use crate::counters::Counter;
use crate::net::listen::random;
use crate::request::{Outcome, RequestContext, Transport, clock};
use crate::shared::Shared;
use crate::tap::outlet::{Exchange, Outlets, Times, address_of};

/// Datagrams per system call: more gains nothing measurable, and each one needs buffers.
const BATCH: usize = 64;
/// Longest query accepted. Longer ones are cut off when read, which makes them malformed.
const QUERY_SIZE: usize = 4096;
/// Size of the buffer for an answer, and the largest `Options::udp_size`.
pub const ANSWER_SIZE: usize = 4096;
/// Bytes for one control message, with the address that a datagram was sent to.
const CONTROL_SIZE: usize = 64;
/// Bytes of the header of a control message.
const CONTROL_HEADER: usize = size_of::<libc::cmsghdr>();

#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_SIZE]);

/// Buffers of a batch. The message headers point to the other fields, which never move or grow.
struct Buffers {
    queries: Vec<[u8; QUERY_SIZE]>,
    answers: Vec<[u8; ANSWER_SIZE]>,
    peers: Vec<sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<iovec>,
    incoming: Vec<mmsghdr>,
    answer_vectors: Vec<iovec>,
    outgoing: Vec<mmsghdr>,
    /// True for a wildcard listener, whose answers must leave from the address that was queried.
    wildcard: bool,
}

impl Buffers {
    fn new(wildcard: bool) -> Buffers {
        // SAFETY: these C structures are plain numbers and pointers, for which all zero is valid.
        let (vector, header, peer) = unsafe { (zeroed::<iovec>(), zeroed::<mmsghdr>(), zeroed()) };
        let mut buffers = Buffers {
            queries: vec![[0; QUERY_SIZE]; BATCH],
            answers: vec![[0; ANSWER_SIZE]; BATCH],
            peers: vec![peer; BATCH],
            controls: vec![Control([0; CONTROL_SIZE]); BATCH],
            vectors: vec![vector; BATCH],
            incoming: vec![header; BATCH],
            answer_vectors: vec![vector; BATCH],
            outgoing: vec![header; BATCH],
            wildcard,
        };
        for index in 0..BATCH {
            buffers.vectors[index].iov_base = buffers.queries[index].as_mut_ptr().cast();
            buffers.vectors[index].iov_len = QUERY_SIZE;
            buffers.incoming[index].msg_hdr.msg_name = (&raw mut buffers.peers[index]).cast();
            buffers.incoming[index].msg_hdr.msg_iov = &raw mut buffers.vectors[index];
            buffers.incoming[index].msg_hdr.msg_iovlen = 1;
            if wildcard {
                let control = &raw mut buffers.controls[index];
                buffers.incoming[index].msg_hdr.msg_control = control.cast();
            }
            buffers.reset(index);
        }
        buffers
    }

    /// Prepares a slot for the next datagram: the kernel overwrote its lengths.
    fn reset(&mut self, index: usize) {
        let header = &mut self.incoming[index].msg_hdr;
        header.msg_namelen = size_of::<sockaddr_storage>() as u32;
        header.msg_controllen = if self.wildcard { CONTROL_SIZE as _ } else { 0 };
    }

    /// Waits for datagrams; returns their number.
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        // SAFETY: each of the BATCH headers points to buffers of `self`, of the lengths it states.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.incoming.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE as c_int as _,
                std::ptr::null_mut(),
            )
        };
        if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
    }

    /// Queues the answer to the query in slot `index` as message `at` to send.
    fn queue(&mut self, at: usize, index: usize, length: usize) {
        let vector = &mut self.answer_vectors[at];
        vector.iov_base = self.answers[index].as_mut_ptr().cast();
        vector.iov_len = length;
        let query = &self.incoming[index].msg_hdr;
        let header = &mut self.outgoing[at].msg_hdr;
        header.msg_name = query.msg_name;
        header.msg_namelen = query.msg_namelen;
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control = query.msg_control;
        header.msg_controllen = query.msg_controllen;
        if self.wildcard {
            free_interface(&mut self.controls[index]);
        }
    }

    /// Sends the first `count` answers; returns how many could not be sent.
    fn send(&mut self, socket: &UdpSocket, count: usize) -> u64 {
        let (mut sent, mut failed) = (0, 0);
        while sent < count {
            // SAFETY: the headers from `sent` to `count` were filled by `queue`, and point to
            // buffers of `self`, of the lengths they state.
            let done = unsafe {
                let first = self.outgoing.as_mut_ptr().add(sent);
                libc::sendmmsg(socket.as_raw_fd(), first, (count - sent) as u32, 0)
            };
            if done > 0 {
                sent += done as usize;
            } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                // The first one failed, for example because its peer is unreachable: skip it.
                sent += 1;
                failed += 1;
            }
        }
        failed
    }

    fn peer(&self, index: usize) -> IpAddr {
        let storage: *const sockaddr_storage = &self.peers[index];
        if c_int::from(self.peers[index].ss_family) == libc::AF_INET6 {
            // SAFETY: the family tells which structure the kernel wrote; the storage holds any.
            let address = unsafe { (*storage.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr };
            Ipv6Addr::from(address).into()
        } else {
            // SAFETY: as above; the socket has one of the two families.
            let address = unsafe { (*storage.cast::<libc::sockaddr_in>()).sin_addr.s_addr };
            Ipv4Addr::from(address.to_ne_bytes()).into()
        }
    }

    fn port(&self, index: usize) -> u16 {
        // SAFETY: the port is at the same place in both structures that the kernel may have written.
        let port =
            unsafe { (*(&raw const self.peers[index]).cast::<libc::sockaddr_in>()).sin_port };
        u16::from_be(port)
    }

    /// Reports the first `count` queries, and the first `answers` messages that were sent.
    #[cold]
    fn report(
        &self, count: usize, answers: usize, context: RequestContext<'_>, outlets: &mut Outlets,
    ) {
        let (mut times, mut sent) = (Times::default(), 0);
        for index in 0..count {
            let length = (self.incoming[index].msg_len as usize).min(QUERY_SIZE);
            // Answers are queued in the order of their queries, with the address of the client.
            let name = self.incoming[index].msg_hdr.msg_name;
            let answered = sent < answers && self.outgoing[sent].msg_hdr.msg_name == name;
            let answer = match answered {
                true => &self.answers[index][..self.answer_vectors[sent].iov_len],
                false => &[],
            };
            sent += usize::from(answered);
            let query = &self.queries[index][..length];
            let client = SocketAddr::new(self.peer(index), self.port(index));
            let transport = Transport::Udp;
            outlets.report(context, &mut times, Exchange { query, client, transport, answer });
        }
    }
}

/// Clears the interface in a packet-info control message, so that the answer is routed normally.
/// A link-local address keeps it, because it is not unique without an interface.
fn free_interface(control: &mut Control) {
    // `int cmsg_type` is the last field of the header.
    let kind = control.0.get(CONTROL_HEADER - 4..CONTROL_HEADER).unwrap_or_default();
    let interface = if kind == libc::IPV6_PKTINFO.to_ne_bytes() {
        // struct in6_pktinfo: address 16, interface 4.
        let link_local =
            control.0[CONTROL_HEADER] == 0xfe && control.0[CONTROL_HEADER + 1] & 0xc0 == 0x80;
        (!link_local).then_some(CONTROL_HEADER + 16)
    } else {
        // struct in_pktinfo: interface 4, local address 4, destination 4.
        Some(CONTROL_HEADER)
    };
    if let Some(at) = interface {
        control.0[at..at + 4].fill(0);
    }
}

/// Answers the queries to a socket until `stop` is set and the socket is shut down.
pub fn serve(
    socket: &UdpSocket, wildcard: bool, shared: &Shared, responder: &mut Responder,
    stop: &AtomicBool,
) {
    let mut buffers = Buffers::new(wildcard);
    let mut outlets = Outlets::new(address_of(socket.local_addr()), random().unwrap_or_default());
    while !stop.load(Relaxed) {
        let count = match buffers.receive(socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => {
                // For example out of memory: don't spin.
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        let guard = &epoch::pin();
        let context = RequestContext::new(shared, clock(), guard);
        let mut answers = 0;
        for index in 0..count {
            let length = buffers.incoming[index].msg_len as usize;
            let peer = buffers.peer(index);
            let query = &buffers.queries[index][..length.min(QUERY_SIZE)];
            let answer = &mut buffers.answers[index];
            match responder.respond(context, query, peer, Transport::Udp, answer) {
                Outcome::Send(length) => {
                    buffers.queue(answers, index, length);
                    answers += 1;
                }
                // There is no connection to close.
                Outcome::Drop | Outcome::Close => {}
            }
        }
        let failed = buffers.send(socket, answers);
        responder.counters.replied(Transport::Udp, context.clock.boot, answers as u64 - failed);
        if outlets.wanted(&shared.tap) {
            buffers.report(count, answers, context, &mut outlets);
        }
        for index in 0..count {
            buffers.reset(index);
        }
        responder.counters.count(Counter::Batches);
        responder.counters.add(Counter::SendErrors, failed);
    }
}
