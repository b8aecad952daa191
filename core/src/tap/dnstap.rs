//! dnstap: whole queries and responses, sent to a reader at a unix socket (dnstap.info).

use std::io::{self, ErrorKind, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::Message as _;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::request::Transport;
use crate::tap::entry::Entry;
use crate::tap::feed::{Feed, Writer};
use crate::tap::frame_streams::{put_frame, read_accept, ready, start as start_frame, stop};
use crate::zone::policy::Random;

const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
/// Bytes of frames that are sent at once.
const CHUNK: usize = 64 * 1024;
/// Time that a reader may take for its part of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Interval at which a sender that waits for a slow reader looks whether to close.
const WAIT: Duration = Duration::from_millis(100);
/// Delays between attempts to connect: each is up to twice the one before.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// Duration of a connection after which the delays start at the first one again.
const STABLE: Duration = Duration::from_secs(10);

/// The messages to send, and the socket of their reader.
pub struct Target {
    pub path: PathBuf,
    /// False to send responses only.
    pub queries: bool,
    pub identity: Vec<u8>,
    pub version: Vec<u8>,
}

/// Starts a thread that sends the entries of a feed. Fails if the path can't be that of a socket.
pub fn start(feed: Feed, target: Target, seed: u64) -> io::Result<Writer> {
    let mut sender = Sender {
        address: SockAddr::unix(&target.path)?,
        target,
        connection: None,
        delay: FIRST_DELAY,
        retry: Instant::now(),
        random: Random::new(seed),
        frames: Vec::new(),
        ends: Vec::new(),
    };
    Writer::start("dnstap", feed, move |feed, entries| sender.take(feed, entries))
}

struct Sender {
    target: Target,
    address: SockAddr,
    /// The stream to the reader, and when it began.
    connection: Option<(UnixStream, Instant)>,
    delay: Duration,
    /// Time of the next attempt to connect.
    retry: Instant,
    random: Random,
    frames: Vec<u8>,
    /// The end of each entry in `frames`.
    ends: Vec<usize>,
}

impl Sender {
    /// Sends entries, or drops them while there is no reader.
    fn take(&mut self, feed: &Feed, mut entries: &[u8]) {
        self.check();
        if self.connection.is_none() && Instant::now() >= self.retry && !feed.is_closing() {
            let result = self.connect();
            if result.is_err() {
                self.postpone();
            }
            feed.set_problem(result.map_or_else(|error| error.to_string(), |()| String::new()));
        }
        while self.encode(&mut entries) {
            let (count, sent) = (self.ends.len() as u64, self.send(feed));
            let whole = self.ends.partition_point(|end| *end <= sent) as u64;
            feed.count_written(whole);
            feed.count_dropped(count - whole);
        }
        if feed.is_closing() {
            self.finish();
        }
    }

    /// Encodes the first entries; returns false if there are none left.
    fn encode(&mut self, entries: &mut &[u8]) -> bool {
        self.frames.clear();
        self.ends.clear();
        let before = entries.len();
        while self.frames.len() < CHUNK
            && let Some(entry) = Entry::read(entries)
        {
            if self.connection.is_none() {
                // Never sent.
                self.ends.push(usize::MAX);
            } else if put_entry(&mut self.frames, &self.target, &entry) {
                self.ends.push(self.frames.len());
            }
        }
        entries.len() < before
    }

    /// Sends the frames; returns the number of bytes.
    fn send(&mut self, feed: &Feed) -> usize {
        let mut sent = 0;
        while let Some((stream, _)) = &mut self.connection
            && sent < self.frames.len()
        {
            match stream.write(&self.frames[sent..]) {
                Ok(count) if count > 0 => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !feed.is_closing() => {}
                _ => self.disconnect(),
            }
        }
        sent
    }

    /// Ends the connection if the reader did. It has nothing to say in between.
    fn check(&mut self) {
        let Some((stream, _)) = &self.connection else { return };
        let mut byte = [MaybeUninit::uninit()];
        let result = SockRef::from(stream).recv_with_flags(&mut byte, libc::MSG_DONTWAIT);
        if !result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.disconnect();
        }
    }

    /// Connects to the reader, and agrees on the type of the data.
    fn connect(&mut self) -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A blocking one would wait for a reader that does not accept connections.
        socket.set_nonblocking(true)?;
        socket.connect(&self.address)?;
        socket.set_nonblocking(false)?;
        let mut stream = UnixStream::from(std::os::fd::OwnedFd::from(socket));
        stream.set_write_timeout(Some(WAIT))?;
        stream.set_read_timeout(Some(HANDSHAKE))?;
        stream.write_all(&ready(CONTENT))?;
        read_accept(&mut stream, CONTENT).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => {
                io::Error::other("the reader did not accept the stream in time")
            }
            _ => error,
        })?;
        stream.write_all(&start_frame(CONTENT))?;
        self.connection = Some((stream, Instant::now()));
        Ok(())
    }

    fn disconnect(&mut self) {
        if let Some((_, began)) = self.connection.take() {
            if began.elapsed() >= STABLE {
                self.delay = FIRST_DELAY;
            }
            self.postpone();
        }
    }

    /// Sets the time of the next attempt, at random, so that not all servers come back at once.
    fn postpone(&mut self) {
        let half = self.delay / 2;
        let jitter = f64::from(self.random.draw()) / f64::from(u32::MAX);
        self.retry = Instant::now() + half + half.mul_f64(jitter);
        self.delay = (self.delay * 2).min(MAX_DELAY);
    }

    /// Tells the reader that nothing follows.
    fn finish(&mut self) {
        if let Some((mut stream, _)) = self.connection.take()
            && stream.write_all(&stop()).is_ok()
        {
            // The reader answers when it has taken everything.
            let _ = SockRef::from(&stream).recv(&mut [MaybeUninit::uninit(); 64]);
        }
    }
}

/// Appends the frames of an entry; returns false if it has none.
fn put_entry(out: &mut Vec<u8>, target: &Target, entry: &Entry<'_>) -> bool {
    let before = out.len();
    let received = (entry.received / 1_000_000_000, (entry.received % 1_000_000_000) as u32);
    let replied = entry.received + entry.elapsed;
    let replied = (replied / 1_000_000_000, (replied % 1_000_000_000) as u32);
    let local = entry.local;
    let message = Message {
        socket_family: Some(if entry.client.is_ipv4() { INET } else { INET6 }),
        socket_protocol: Some(if entry.transport == Transport::Tcp { TCP } else { UDP }),
        query_address: Some(octets(entry.client)),
        response_address: (!local.ip().is_unspecified()).then(|| octets(local)),
        query_port: Some(entry.client.port().into()),
        response_port: Some(local.port().into()),
        query_time_sec: Some(received.0),
        query_time_nsec: Some(received.1),
        ..Message::default()
    };
    let mut put = |message| {
        let dnstap = Dnstap {
            identity: target.identity.clone(),
            version: target.version.clone(),
            message: Some(message),
            kind: MESSAGE,
        };
        // A vector grows, so encoding does not fail.
        put_frame(out, |out| dnstap.encode(out).unwrap_or_default());
    };
    if target.queries {
        put(Message {
            kind: AUTH_QUERY,
            query_message: Some(entry.query.to_vec()),
            ..message.clone()
        });
    }
    if !entry.answer.is_empty() {
        put(Message {
            kind: AUTH_RESPONSE,
            response_time_sec: Some(replied.0),
            response_time_nsec: Some(replied.1),
            response_message: Some(entry.answer.to_vec()),
            ..message
        });
    }
    out.len() > before
}

fn octets(address: SocketAddr) -> Vec<u8> {
    match address.ip() {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    }
}

// The part of dnstap.proto (github.com/dnstap/dnstap.pb) that an authoritative server uses.

/// `Dnstap.Type`.
const MESSAGE: i32 = 1;
/// `Message.Type`.
const AUTH_QUERY: i32 = 1;
const AUTH_RESPONSE: i32 = 2;
/// `SocketFamily`.
const INET: i32 = 1;
const INET6: i32 = 2;
/// `SocketProtocol`.
const UDP: i32 = 1;
const TCP: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct Dnstap {
    #[prost(bytes, tag = "1")]
    identity: Vec<u8>,
    #[prost(bytes, tag = "2")]
    version: Vec<u8>,
    #[prost(message, optional, tag = "14")]
    message: Option<Message>,
    #[prost(int32, required, tag = "15")]
    kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(int32, optional, tag = "2")]
    socket_family: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    socket_protocol: Option<i32>,
    #[prost(bytes, optional, tag = "4")]
    query_address: Option<Vec<u8>>,
    #[prost(bytes, optional, tag = "5")]
    response_address: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "6")]
    query_port: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    response_port: Option<u32>,
    #[prost(uint64, optional, tag = "8")]
    query_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "9")]
    query_time_nsec: Option<u32>,
    #[prost(bytes, optional, tag = "10")]
    query_message: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "12")]
    response_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "13")]
    response_time_nsec: Option<u32>,
    #[prost(bytes, optional, tag = "14")]
    response_message: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_a_query_and_a_response() {
        let mut entry = Entry {
            received: 1_800_000_000_999_999_999,
            elapsed: 2,
            client: "192.0.2.1:5353".parse().unwrap(),
            local: "0.0.0.0:53".parse().unwrap(),
            transport: Transport::Udp,
            query: b"query",
            answer: b"response",
            query_size: 5,
            answer_size: 8,
            rcode: Some(0),
        };
        let (identity, version) = (b"ns1".to_vec(), b"musterd".to_vec());
        let mut target = Target { path: PathBuf::new(), queries: true, identity, version };
        let frames = |target: &Target, entry: &Entry<'_>| {
            let (mut out, mut found) = (Vec::new(), Vec::new());
            put_entry(&mut out, target, entry);
            let mut rest = &out[..];
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let (frame, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                found.push(Dnstap::decode(frame).unwrap().message.unwrap());
                rest = after;
            }
            found
        };
        let [query, response] = &frames(&target, &entry)[..] else { panic!("two frames") };
        assert_eq!((query.kind, response.kind), (AUTH_QUERY, AUTH_RESPONSE));
        assert_eq!(query.query_message.as_deref(), Some(&b"query"[..]));
        assert_eq!(response.response_message.as_deref(), Some(&b"response"[..]));
        assert_eq!(response.response_time_sec, Some(1_800_000_001));
        assert_eq!(response.response_time_nsec, Some(1));
        assert_eq!(response.response_address, None, "the address of a wildcard listener");
        target.queries = false;
        assert_eq!(frames(&target, &entry).len(), 1);
        entry.answer = b"";
        assert_eq!(frames(&target, &entry).len(), 0, "no response was sent");
    }
}
