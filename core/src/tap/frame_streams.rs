//! Frame Streams: how dnstap messages are sent over a socket (farsightsec.github.io/fstrm).
//!
//! A frame is its length and its data. An empty one announces a control frame. Numbers have 32 bits and
//! are big-endian.

use std::io::{self, ErrorKind, Read};

use crate::message::wire::u32_at;

/// Types of control frames.
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
/// The field of a control frame that names the type of the data.
const CONTENT_TYPE: u32 = 1;
/// Longest control frame (512 bytes in the reference implementation).
const MAX_CONTROL: usize = 512;

/// The beginning of a stream: the sender says what it would send.
pub fn ready(content: &[u8]) -> Vec<u8> {
    control(READY, Some(content))
}

/// The frame before the first one with data.
pub fn start(content: &[u8]) -> Vec<u8> {
    control(START, Some(content))
}

/// The frame after the last one with data.
pub fn stop() -> Vec<u8> {
    control(STOP, None)
}

/// Appends a frame with the data that `put` appends.
pub fn put_frame(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    put(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Reads the frame by which a reader accepts a type of data.
pub fn read_accept(stream: &mut impl Read, content: &[u8]) -> io::Result<()> {
    let invalid = |text| Err(io::Error::new(ErrorKind::InvalidData, text));
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let length = u32_at(&head, 4) as usize;
    if u32_at(&head, 0) != 0 || !(4..=MAX_CONTROL).contains(&length) {
        return invalid("the reader does not speak Frame Streams");
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    if u32_at(&frame, 0) != ACCEPT {
        return invalid("the reader did not accept the stream");
    }
    let mut fields = &frame[4..];
    let mut types = 0;
    while fields.len() >= 8 {
        let (field, length) = (u32_at(fields, 0), u32_at(fields, 4) as usize);
        let Some(value) = fields.get(8..).and_then(|rest| rest.get(..length)) else { break };
        if field == CONTENT_TYPE {
            if value == content {
                return Ok(());
            }
            types += 1;
        }
        fields = &fields[8 + length..];
    }
    // A reader that names no type takes any.
    if types == 0 { Ok(()) } else { invalid("the reader accepts other types of data") }
}

fn control(kind: u32, content: Option<&[u8]>) -> Vec<u8> {
    let mut out = vec![0; 4];
    put_frame(&mut out, |out| {
        out.extend(kind.to_be_bytes());
        if let Some(content) = content {
            out.extend(CONTENT_TYPE.to_be_bytes());
            put_frame(out, |out| out.extend(content));
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"some:type";

    fn accept(kind: u32, content: Option<&[u8]>) -> String {
        let frame = control(kind, content);
        read_accept(&mut &frame[..], TYPE).map_or_else(|error| error.to_string(), |()| "ok".into())
    }

    #[test]
    fn control_frames_are_encoded() {
        assert_eq!(stop(), b"\0\0\0\0\0\0\0\x04\0\0\0\x03");
        assert_eq!(ready(TYPE), b"\0\0\0\0\0\0\0\x15\0\0\0\x04\0\0\0\x01\0\0\0\x09some:type");
    }

    #[test]
    fn only_a_reader_that_accepts_the_type_is_accepted() {
        assert_eq!(accept(ACCEPT, Some(TYPE)), "ok");
        assert_eq!(accept(ACCEPT, None), "ok");
        assert_eq!(accept(ACCEPT, Some(b"other")), "the reader accepts other types of data");
        assert_eq!(accept(STOP, Some(TYPE)), "the reader did not accept the stream");
    }

    #[test]
    fn hostile_frames_are_rejected() {
        let cases: [&[u8]; 6] = [
            b"HTTP/1.1 400",
            b"\0\0\0\0\xff\xff\xff\xff",
            b"\0\0\0\0\0\0\0\x03\0\0\0\x01",
            b"\0\0\0\0\0\0\0\x04\0\0",
            b"",
            b"\0\0\0\0\0\0\x02\x01\0\0\0\x01",
        ];
        for case in cases {
            assert!(read_accept(&mut &case[..], TYPE).is_err(), "{case:?}");
        }
        // A field that is cut off ends the frame.
        let cut = b"\0\0\0\0\0\0\0\x0c\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff";
        assert!(read_accept(&mut &cut[..], TYPE).is_ok());
    }
}
