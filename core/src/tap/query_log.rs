//! The query log: a JSON object per line, written to a file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::thread;

use crate::message::query::{AA, OPCODE, RD, TC};
use crate::message::wire::{CLASS_IN, u16_at};
use crate::rdata_text::{Kind, name_to_text};
use crate::request::Transport;
use crate::tap::entry::Entry;
use crate::tap::feed::{Feed, INTERVAL, Writer};

/// Bytes of text that are written at once.
const CHUNK: usize = 64 * 1024;
const DELETED: &str = "the file was deleted; send SIGHUP to create it again";
const CD: u16 = 0x0010;
const FLAGS: [(u16, &str); 4] = [(AA, "aa"), (TC, "tc"), (RD, "rd"), (CD, "cd")];

/// Starts a thread that writes the entries of a feed to a file.
pub fn start(feed: Feed, mut file: File) -> io::Result<Writer> {
    let (mut text, mut torn) = (String::new(), false);
    let found = file.metadata()?;
    // Some file systems never count names.
    let (regular, named) = (found.is_file(), found.nlink() > 0);
    let limit = if regular { usize::MAX } else { libc::PIPE_BUF };
    Writer::start("query-log", feed, move |feed, mut entries| {
        while !entries.is_empty() {
            text.clear();
            if torn {
                text.push('\n');
            }
            let (start, mut lines) = (text.len(), 0);
            while text.len() < CHUNK
                && let Some(entry) = Entry::read(&mut entries)
            {
                put_line(&mut text, &entry);
                lines += 1;
            }
            if lines == 0 {
                break;
            }
            let (sent, result) = match is_deleted(&file) {
                Ok(true) if named => (0, Err(io::Error::other(DELETED))),
                Ok(_) => write(&mut file, text.as_bytes(), limit, feed),
                Err(error) => (0, Err(error)),
            };
            let complete = text.as_bytes()[start.min(sent)..sent].iter();
            let written = complete.filter(|byte| **byte == b'\n').count() as u64;
            if sent > 0 {
                torn = text.as_bytes()[sent - 1] != b'\n';
            }
            feed.count_written(written);
            feed.count_dropped(lines - written);
            feed.set_problem(result.map_or_else(|error| error.to_string(), |()| String::new()));
        }
    })
}

/// Returns whether a file has no name any more, so that nobody could read what is written to it.
fn is_deleted(file: &File) -> io::Result<bool> {
    let found = file.metadata()?;
    Ok(found.is_file() && found.nlink() == 0)
}

/// Writes as much as possible; returns the number of bytes. Waits for the reader of a pipe, until the
/// feed closes.
fn write(file: &mut File, bytes: &[u8], limit: usize, feed: &Feed) -> (usize, io::Result<()>) {
    let mut sent = 0;
    while sent < bytes.len() {
        let result = if is_writable(file) {
            file.write(first_part(&bytes[sent..], limit))
        } else {
            Err(ErrorKind::WouldBlock.into())
        };
        match result {
            Ok(0) => return (sent, Err(ErrorKind::WriteZero.into())),
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && !feed.is_closing() => {
                thread::sleep(INTERVAL);
            }
            Err(error) => return (sent, Err(error)),
        }
    }
    (sent, Ok(()))
}

/// Returns the first lines, in at most `limit` bytes: a pipe takes `PIPE_BUF` bytes whole or not at all,
/// and never blocks for them if it is writable. So a feed can follow another in the middle of a file.
fn first_part(bytes: &[u8], limit: usize) -> &[u8] {
    if bytes.len() <= limit {
        return bytes;
    }
    let end = bytes[..limit].iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.map_or(limit, |end| end + 1)]
}

/// Returns whether a part can be written without waiting, or waiting would not help. That is always so
/// for a regular file.
fn is_writable(file: &File) -> bool {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `poll` is the one structure that the call gets, and lives through it.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready != 0
}

/// Appends the line of an entry. Names are escaped as in zone files, and so are printable ASCII.
fn put_line(out: &mut String, entry: &Entry<'_>) {
    let header = u16_at(if entry.answer.is_empty() { entry.query } else { entry.answer }, 2);
    let transport = if entry.transport == Transport::Tcp { "tcp" } else { "udp" };
    out.push_str("{\"time\":\"");
    put_time(out, entry.received);
    let (ip, port) = (entry.client.ip(), entry.client.port());
    put(out, format_args!("\",\"client\":\"{ip}\",\"port\":{port},\"transport\":\"{transport}\""));
    match u16_at(entry.query, 2) & OPCODE {
        0 => {}
        opcode => put(out, format_args!(",\"opcode\":{}", opcode >> 11)),
    }
    if let Some((name, rtype, class)) = entry.question() {
        let name = name_to_text(name).replace('\\', "\\\\").replace('"', "\\\"");
        put(out, format_args!(",\"name\":\"{name}\""));
        if class != CLASS_IN {
            put(out, format_args!(",\"class\":{class}"));
        }
        match meta_type(rtype) {
            Some(text) => put(out, format_args!(",\"type\":\"{text}\"")),
            None => put(out, format_args!(",\"type\":\"{}\"", Kind::from_code(rtype))),
        }
    }
    match entry.rcode {
        Some(code) => put(out, format_args!(",\"rcode\":\"{}\"", Rcode(code))),
        None => out.push_str(",\"rcode\":null"),
    }
    out.push_str(",\"flags\":\"");
    let start = out.len();
    for (bit, name) in FLAGS {
        if header & bit != 0 {
            if out.len() > start {
                out.push(' ');
            }
            out.push_str(name);
        }
    }
    let (query, size) = (entry.query_size, entry.answer_size);
    let micros = entry.elapsed / 1000;
    put(out, format_args!("\",\"query_size\":{query},\"size\":{size},\"us\":{micros}}}\n"));
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = out.write_fmt(text);
}

/// The name of a response code (IANA).
struct Rcode(u16);

impl std::fmt::Display for Rcode {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        let name = match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            16 => "BADVERS",
            23 => "BADCOOKIE",
            other => return write!(out, "RCODE{other}"),
        };
        out.write_str(name)
    }
}

/// Returns the name of a type that is in no zone.
fn meta_type(rtype: u16) -> Option<&'static str> {
    Some(match rtype {
        41 => "OPT",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        _ => return None,
    })
}

/// Appends a time in ns since 1970 as in RFC 3339, in UTC.
fn put_time(out: &mut String, time: u64) {
    let (days, second) = (time / 86_400_000_000_000, time / 1_000_000_000 % 86_400);
    // Years begin in March, so that a leap day is the last of its year. An era is 400 years.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (year, day) = (era * 400 + year + u64::from(month > 9), day - (153 * month + 2) / 5 + 1);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let (hour, minute, micros) = (second / 3600, second / 60 % 60, time / 1000 % 1_000_000);
    let second = second % 60;
    put(
        out,
        format_args!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::entry::rcode;

    fn line(query: &[u8], answer: &[u8]) -> String {
        let mut out = String::new();
        let entry = Entry {
            received: 1_800_000_000_123_456_789,
            elapsed: 42_999,
            client: "[2001:db8::1]:5353".parse().unwrap(),
            local: "[::1]:53".parse().unwrap(),
            transport: Transport::Udp,
            query,
            answer,
            query_size: query.len(),
            answer_size: answer.len(),
            rcode: rcode(answer),
        };
        put_line(&mut out, &entry);
        out
    }

    fn message(flags: u16, question: &[u8]) -> Vec<u8> {
        let count = u16::from(!question.is_empty());
        let words = [7, flags, count, 0, 0, 0].map(u16::to_be_bytes).concat();
        [&words[..], question].concat()
    }

    #[test]
    fn line_has_all_fields() {
        let question = b"\x03Web\x04test\x00\x00\x1c\x00\x01";
        let line = line(&message(0x0110, question), &message(0x8513, question));
        assert_eq!(
            line,
            "{\"time\":\"2027-01-15T08:00:00.123456Z\",\"client\":\"2001:db8::1\",\"port\":5353,\
             \"transport\":\"udp\",\"name\":\"Web.test.\",\"type\":\"AAAA\",\"rcode\":\"NXDOMAIN\",\
             \"flags\":\"aa rd cd\",\"query_size\":26,\"size\":26,\"us\":42}\n"
        );
    }

    #[test]
    fn hostile_names_are_escaped() {
        let question = b"\x08\"\\\n\x00\xff.;{\x01}\x00\xff\xfe\x00\x03";
        let line = line(&message(0, question), b"");
        assert!(line.contains(
            r#""name":"\\\"\\\\\\010\\000\\255\\.\\;{.}.","class":3,"type":"TYPE65534","rcode":null"#
        ));
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n'));
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn other_opcodes_and_malformed_queries_have_no_name() {
        let query = message(5 << 11, b"\xc0\x0c\x00\x01\x00\x01");
        let line = line(&query, &message(0x8004 | 5 << 11, b""));
        assert!(
            line.contains(r#""transport":"udp","opcode":5,"rcode":"NOTIMP","flags":"""#),
            "{line}"
        );
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_799, "2000-02-29T23:59:59.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ];
        for (seconds, expected) in cases {
            let mut out = String::new();
            put_time(&mut out, seconds * 1_000_000_000);
            assert_eq!(out, expected);
        }
    }
}
