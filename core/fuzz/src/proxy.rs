//! Fuzzer of streams: a PROXY header, then messages, each after its length.
//!
//! The result for the first bytes must not change when more bytes arrive.

use _core::message::proxy::{MAX_PROXY_HEADER, Proxy, proxy_header};

use super::message::{self, HEADER, OPT};
use super::packet::{self, Query, Read};

/// Most truncated forms of one message that are parsed.
const MAX_CUTS: usize = 64;

/// Parses a stream; panics if it is parsed wrong.
pub fn run(data: &[u8]) {
    let start = check_header(data);
    let mut rest = &data[start..];
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(message) = after.get(..length) else { break };
        check_message(message);
        rest = &after[length..];
    }
    // A datagram has no length before it.
    check_message(&data[start..]);
}

/// Returns the length of the PROXY header; 0 if there is none.
fn check_header(data: &[u8]) -> usize {
    let mut last = Proxy::Partial;
    for end in 0..=data.len().min(2 * MAX_PROXY_HEADER) {
        let verdict = proxy_header(&data[..end]);
        assert!(last == Proxy::Partial || last == verdict, "{verdict:?} after {last:?}");
        if let Proxy::Header(length, client) = verdict {
            assert!((16..=end).contains(&length), "{length} bytes of {end}");
            assert_eq!(client.map(|client| client.to_canonical()), client);
        }
        last = verdict;
    }
    match last {
        Proxy::Header(length, _) => length,
        Proxy::Partial => {
            assert!(data.len() < MAX_PROXY_HEADER, "{} bytes, and more expected", data.len());
            0
        }
        Proxy::Invalid => 0,
    }
}

fn check_message(message: &[u8]) {
    let packet = packet::read(message);
    assert_eq!(matches!(packet, Read::Silent), message.len() < HEADER || message[2] & 0x80 != 0);
    if let Read::Query(query) = &packet {
        check_query(message, query);
    } else if is_query(message) {
        panic!("not a query for the core: {message:02x?}");
    }
}

/// Checks that the message is a query, and that a shorter or longer one would not be.
fn check_query(message: &[u8], query: &Query<'_>) {
    assert_eq!(u16::from(message[5]), u16::from(query.question.is_some()));
    if let Some(question) = &query.question {
        let end = HEADER + query.question_length();
        let name = &message[HEADER..end - 4];
        assert!(name.eq_ignore_ascii_case(&question.name), "wrong name");
        let numbers = [question.rtype.to_be_bytes(), question.class.to_be_bytes()].concat();
        assert_eq!(message[end - 4..end], numbers);
    }
    for end in message.len().saturating_sub(MAX_CUTS)..message.len() {
        assert!(
            !matches!(packet::read(&message[..end]), Read::Query(_)),
            "{end} bytes are a query"
        );
    }
    let longer = [message, &[0]].concat();
    assert!(matches!(packet::read(&longer), Read::Malformed), "an additional byte was accepted");
}

/// Returns whether a strict parser finds a query that must be answered.
fn is_query(message: &[u8]) -> bool {
    let Ok(read) = message::read(message) else { return false };
    let name = read.questions.first().map_or(&[][..], |question| &question.0);
    let uncompressed = message.get(HEADER..HEADER + name.len()) == Some(name);
    let version = read.opt.as_ref().map_or(0, |opt| opt.version);
    let record_is_opt = read.sections.iter().flatten().any(|record| record.rtype == OPT);
    read.flags & 0xf800 == 0
        && read.questions.len() == 1
        && uncompressed
        && version == 0
        && !record_is_opt
}
