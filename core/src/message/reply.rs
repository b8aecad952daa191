//! Writing of replies: their records, and the OPT record at the end.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::message::edns_reply::EdnsReply;
use crate::message::query::{AA, QR, RD, TC, option};
use crate::message::wire::{
    CLASS_CH, CLASS_IN, HEADER, MessageWriter, RECORD_HEADER, name_len, rcode, rtype, u16_at,
};

/// A pointer to the name of the question (RFC 1035 section 4.1.4).
const POINTER_TO_QUESTION: u16 = 0xc000 | HEADER as u16;

/// The sections that records are counted in (RFC 1035 section 4.1).
#[derive(Clone, Copy, PartialEq)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// A reference to an owner name, which may already be in the message.
#[derive(Clone, Copy)]
pub enum NameRef<'n> {
    /// The name of the question.
    Question,
    /// The name at this offset of the message.
    At(u16),
    /// A name that is not in the message yet, or too far for a pointer.
    Name(&'n [u8]),
}

impl<'n> NameRef<'n> {
    /// Creates a reference to a name that was written at `offset`.
    pub fn at(offset: usize, name: &'n [u8]) -> NameRef<'n> {
        // A pointer has 14 bits (RFC 1035 section 4.1.4).
        if offset < 0x4000 { NameRef::At(offset as u16) } else { NameRef::Name(name) }
    }

    /// Returns a reference to `name`, which is this name without its first `skip` bytes.
    ///
    /// Names in rdata may be compressed, so only the question is pointed into.
    pub fn suffix<'m>(&self, skip: usize, name: &'m [u8]) -> NameRef<'m> {
        match self {
            NameRef::Question => NameRef::At((HEADER + skip) as u16),
            NameRef::At(_) | NameRef::Name(_) => NameRef::Name(name),
        }
    }
}

/// A reply that is being written.
pub struct Reply<'b> {
    writer: MessageWriter<'b>,
    flags: u16,
    rcode: u16,
    ede: Option<u16>,
    /// Records in each section.
    counts: [u16; 3],
    /// Bytes of the question's name, which other names can point into.
    question_name: usize,
    /// Offset of the rdata written last.
    rdata_at: usize,
    /// Key of the client, for the policies.
    client: u64,
    /// True if the answer depends on the client.
    tailored: bool,
    /// Hash of the name that the reply is about; see `set_subject`.
    subject: u64,
}

/// A position in a reply to return to.
#[derive(Clone, Copy)]
pub struct Mark {
    length: usize,
    counts: [u16; 3],
}

impl<'b> Reply<'b> {
    /// Creates a reply without records to the query in `packet`, whose question has a name of
    /// `question_name` bytes (0 if there is no question).
    #[inline]
    pub fn new(
        packet: &[u8], question_name: usize, edns: &EdnsReply<'_>, client: IpAddr,
        writer: MessageWriter<'b>,
    ) -> Reply<'b> {
        let mut reply = Reply {
            writer,
            flags: QR | (u16_at(packet, 2) & RD),
            rcode: rcode::NOERROR,
            ede: None,
            counts: [0; 3],
            question_name,
            rdata_at: 0,
            client: edns.client(client),
            tailored: false,
            subject: 0,
        };
        reply.writer.put(&packet[..question_end(question_name)]);
        // If a long name and a long NSID are both asked for, the NSID is the one that does not fit.
        reply.writer.reserve(edns.reserved());
        reply
    }

    /// Sets the response code and the extended error (RFC 8914).
    pub fn fail(&mut self, rcode: u16, ede: Option<u16>) {
        self.rcode = rcode;
        self.ede = ede;
    }

    /// Replaces what was written by an error, which is not authoritative.
    pub fn replace_with_error(&mut self, rcode: u16, ede: Option<u16>) {
        self.clear();
        self.flags &= !AA;
        self.fail(rcode, ede);
    }

    /// Removes all records.
    pub fn clear(&mut self) {
        self.writer.truncate(question_end(self.question_name));
        self.counts = [0; 3];
    }

    /// Returns the response code (RFC 6891 section 6.1.3).
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Sets the response code.
    pub fn set_rcode(&mut self, rcode: u16) {
        self.rcode = rcode;
    }

    /// Sets the extended error (RFC 8914).
    pub fn set_ede(&mut self, ede: u16) {
        self.ede = Some(ede);
    }

    /// Sets the AA bit (RFC 1035 section 4.1.1).
    pub fn set_authoritative(&mut self) {
        self.flags |= AA;
    }

    /// Returns whether the TC bit is set.
    pub fn is_truncated(&self) -> bool {
        self.flags & TC != 0
    }

    /// Sets the TC bit (RFC 2181 section 9).
    pub fn set_truncated(&mut self) {
        self.flags |= TC;
    }

    /// Returns the key of the client, for the policies.
    #[inline]
    pub fn client(&self) -> u64 {
        self.client
    }

    /// Notes that the answer depends on the client if `tailored` is true.
    #[inline]
    pub fn add_tailored(&mut self, tailored: bool) {
        self.tailored |= tailored;
    }

    /// Returns the hash of the subject, 0 if none was set.
    pub fn subject(&self) -> u64 {
        self.subject
    }

    /// Sets the hash of the name that the reply is about, for rate limiting.
    ///
    /// It is an owner name in the zone, so that made-up names below a wildcard or a cut count as
    /// one, or the apex.
    #[inline]
    pub fn set_subject(&mut self, hash: u64) {
        self.subject = hash;
    }

    /// Returns the name of the question, in the case of the query.
    pub fn question_name(&self) -> &[u8] {
        self.writer.bytes().get(HEADER..HEADER + self.question_name).unwrap_or_default()
    }

    /// Returns the offset of the rdata written last.
    #[inline]
    pub fn rdata_at(&self) -> usize {
        self.rdata_at
    }

    /// Returns the current position.
    pub fn mark(&self) -> Mark {
        Mark { length: self.writer.written(), counts: self.counts }
    }

    /// Removes all records written since `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.writer.truncate(mark.length);
        self.counts = mark.counts;
    }

    /// Writes a record given in wire form.
    ///
    /// Returns false, with nothing written, if it does not fit. TC is set then, except for the
    /// additional section (RFC 2181 section 9).
    #[inline]
    pub fn put_record(
        &mut self, section: Section, owner: NameRef<'_>, rtype: u16, record: &[u8],
    ) -> bool {
        let start = self.writer.written();
        if self.try_record(owner, rtype, record) {
            self.counts[section as usize] += 1;
            return true;
        }
        self.writer.truncate(start);
        if section != Section::Additional {
            self.set_truncated();
        }
        false
    }

    /// Writes a record; returns false, perhaps with part of it written, if it does not fit.
    #[inline]
    fn try_record(&mut self, owner: NameRef<'_>, rtype: u16, record: &[u8]) -> bool {
        let fixed = &record[2..RECORD_HEADER];
        let rdata = &record[RECORD_HEADER..];
        let compressed =
            matches!(rtype, rtype::NS | rtype::CNAME | rtype::PTR | rtype::MX | rtype::SOA);
        let has_owner = match owner {
            NameRef::Question if !compressed => {
                self.rdata_at = self.writer.written() + RECORD_HEADER;
                return self.writer.put(record);
            }
            NameRef::Question => self.writer.put_u16(POINTER_TO_QUESTION),
            NameRef::At(offset) => self.writer.put_u16(0xc000 | offset),
            NameRef::Name(name) => self.writer.put_name(name, self.question_name),
        };
        if !has_owner || !self.writer.put(fixed) {
            return false;
        }
        self.rdata_at = self.writer.written();
        if !compressed {
            return self.writer.put(rdata);
        }
        let done = self.put_rdata(rtype, rdata);
        let length = self.writer.written() - self.rdata_at;
        self.writer.set_u16(self.rdata_at - 2, length as u16);
        done
    }

    /// Writes rdata whose names may be compressed: the types of RFC 1035 (RFC 3597 section 4).
    fn put_rdata(&mut self, rtype: u16, rdata: &[u8]) -> bool {
        let (start, names) = match rtype {
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => (0, 1),
        };
        let (head, mut rest) = rdata.split_at(start.min(rdata.len()));
        let mut fits = self.writer.put(head);
        for _ in 0..names {
            let (name, after) = rest.split_at(name_len(rest).unwrap_or(rest.len()));
            fits = fits && self.writer.put_name(name, self.question_name);
            rest = after;
        }
        fits && self.writer.put(rest)
    }

    /// Sets the TTL of the record written last.
    pub fn set_ttl(&mut self, ttl: u32) {
        self.writer.set_u16(self.rdata_at - 6, (ttl >> 16) as u16);
        self.writer.set_u16(self.rdata_at - 4, ttl as u16);
    }

    /// Writes a TXT record of class CH with a text that identifies the server (RFC 4892).
    pub fn put_text(&mut self, text: &[u8]) {
        let text = &text[..text.len().min(255)];
        let record = made_record(rtype::TXT, CLASS_CH, 0, &[&[text.len() as u8], text]);
        self.put_record(Section::Answer, NameRef::Question, rtype::TXT, &record);
    }

    /// Writes a CNAME record that follows from a DNAME record (RFC 6672 section 3.1).
    ///
    /// Returns false, with TC set, if it does not fit.
    pub fn put_cname(&mut self, owner: NameRef<'_>, ttl: u32, target: &[u8]) -> bool {
        let record = made_record(rtype::CNAME, CLASS_IN, ttl, &[target]);
        self.put_record(Section::Answer, owner, rtype::CNAME, &record)
    }

    /// Writes the OPT record, if the query had one, and the header. Returns the length of the reply.
    pub fn finish(&mut self, edns: &EdnsReply<'_>) -> usize {
        if edns.present {
            self.writer.release();
            self.put_opt(edns);
        }
        let flags = self.flags | (self.rcode & 15);
        self.writer.set_u16(2, flags);
        for (index, count) in self.counts.iter().enumerate() {
            self.writer.set_u16(6 + 2 * index, *count);
        }
        self.writer.written()
    }

    fn put_opt(&mut self, edns: &EdnsReply<'_>) {
        let start = self.writer.written();
        // Root, type, our payload size, extended rcode, version 0, DO, length of the options.
        let mut opt = [0, 0, rtype::OPT as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        opt[3..5].copy_from_slice(&edns.udp_size.to_be_bytes());
        opt[5] = (self.rcode >> 4) as u8;
        opt[7] = if edns.dnssec { 0x80 } else { 0 };
        if !self.writer.put(&opt) {
            return;
        }
        self.counts[Section::Additional as usize] += 1;
        if let Some(cookie) = &edns.cookie {
            self.put_option(option::COOKIE, cookie);
        }
        if let Some(id) = edns.nsid {
            self.put_option(option::NSID, id);
        }
        if let Some(idle) = edns.keepalive {
            self.put_option(option::KEEPALIVE, &idle.to_be_bytes());
        }
        if let Some(subnet) = edns.subnet {
            let at = self.writer.written();
            self.put_option(option::ECS, subnet);
            let scope = if self.tailored { u16::from(subnet[2]) } else { 0 };
            self.writer.set_u16(at + 6, u16::from(subnet[2]) << 8 | scope);
        }
        if let Some(code) = self.ede {
            // Optional: no space is reserved for it, and no answer is truncated for it.
            self.put_option(option::EDE, &code.to_be_bytes());
        }
        let length = self.writer.written() - start - opt.len();
        self.writer.set_u16(start + 9, length as u16);
    }

    fn put_option(&mut self, code: u16, value: &[u8]) {
        let start = self.writer.written();
        let length = value.len() as u16;
        let writer = &mut self.writer;
        if !(writer.put_u16(code) && writer.put_u16(length) && writer.put(value)) {
            writer.truncate(start);
        }
    }
}

/// Returns a record in wire form, its owner a pointer to the question.
fn made_record(
    rtype: u16, class: u16, ttl: u32, rdata: &[&[u8]],
) -> ArrayVec<u8, { RECORD_HEADER + 256 }> {
    let length: usize = rdata.iter().map(|part| part.len()).sum();
    let mut record = ArrayVec::new();
    for field in [POINTER_TO_QUESTION, rtype, class, (ttl >> 16) as u16, ttl as u16, length as u16]
    {
        let _ = record.try_extend_from_slice(&field.to_be_bytes());
    }
    for part in rdata {
        let _ = record.try_extend_from_slice(part);
    }
    record
}

/// Returns the end of the question section in a message.
fn question_end(name: usize) -> usize {
    HEADER + if name > 0 { name + 4 } else { 0 }
}
