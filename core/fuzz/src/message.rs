//! A strict parser of messages: it rejects more than a client would.

use _core::rdata_text::validate_rdata;

/// The labels of a name in lower case, the top-level label first.
pub type Labels = Vec<Vec<u8>>;

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const PTR: u16 = 12;
pub const MX: u16 = 15;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;
pub const DNAME: u16 = 39;
pub const OPT: u16 = 41;
pub const DS: u16 = 43;
pub const SVCB: u16 = 64;
pub const HTTPS: u16 = 65;
pub const ANY: u16 = 255;

/// Bytes of a header.
pub const HEADER: usize = 12;

/// A record with uncompressed names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub owner: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

/// A message (RFC 1035 section 4).
pub struct Message {
    pub flags: u16,
    /// Name, type and class of each question.
    pub questions: Vec<(Vec<u8>, u16, u16)>,
    /// Answer, authority and additional records without OPT.
    pub sections: [Vec<Record>; 3],
    pub opt: Option<Opt>,
}

/// An OPT record (RFC 6891 section 6.1.2).
pub struct Opt {
    pub size: u16,
    pub rcode: u8,
    pub version: u8,
    pub flags: u16,
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// Returns the response code, with its upper bits.
    pub fn rcode(&self) -> u16 {
        self.opt.as_ref().map_or(0, |opt| u16::from(opt.rcode) << 4) | (self.flags & 15)
    }

    /// Returns the value of the first option with a code.
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        let mut options = self.opt.iter().flat_map(|opt| &opt.options);
        options.find(|option| option.0 == code).map(|option| &option.1[..])
    }
}

/// Parses a whole message; the error says what is wrong.
pub fn read(message: &[u8]) -> Result<Message, String> {
    let mut reader = Reader { message, at: 0 };
    let (_id, flags) = (reader.u16()?, reader.u16()?);
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let mut questions = Vec::new();
    for _ in 0..counts[0] {
        questions.push((reader.name()?, reader.u16()?, reader.u16()?));
    }
    let mut sections = [const { Vec::new() }; 3];
    let mut opt = None;
    for (index, section) in sections.iter_mut().enumerate() {
        for _ in 0..counts[index + 1] {
            let record = reader.record()?;
            if record.rtype != OPT {
                section.push(record);
            } else if index != 2 || record.owner != [0] || opt.is_some() {
                return Err("misplaced OPT record".into());
            } else {
                opt = Some(read_opt(&record)?);
            }
        }
    }
    if reader.at != message.len() {
        return Err(format!("{} bytes follow the message", message.len() - reader.at));
    }
    Ok(Message { flags, questions, sections, opt })
}

fn read_opt(record: &Record) -> Result<Opt, String> {
    let mut reader = Reader { message: &record.rdata, at: 0 };
    let mut options = Vec::new();
    while reader.at < record.rdata.len() {
        let (code, length) = (reader.u16()?, reader.u16()?);
        options.push((code, reader.take(usize::from(length))?.to_vec()));
    }
    let [rcode, version, ..] = record.ttl.to_be_bytes();
    Ok(Opt { size: record.class, rcode, version, flags: record.ttl as u16, options })
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, count: usize) -> Result<&'m [u8], String> {
        let taken = self.message.get(self.at..self.at + count);
        let taken =
            taken.ok_or(format!("the message ends at {}, expected {count} more bytes", self.at))?;
        self.at += count;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, String> {
        let two = self.take(2)?;
        Ok(u16::from_be_bytes([two[0], two[1]]))
    }

    fn record(&mut self) -> Result<Record, String> {
        let owner = self.name()?;
        let (rtype, class) = (self.u16()?, self.u16()?);
        let ttl = (u32::from(self.u16()?) << 16) | u32::from(self.u16()?);
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        let rdata = match rtype {
            NS | CNAME | PTR => self.name()?,
            MX => [self.take(2)?, &self.name()?[..]].concat(),
            SOA => [&self.name()?[..], &self.name()?, self.take(20)?].concat(),
            _ => self.take(length)?.to_vec(),
        };
        if self.at != end {
            return Err(format!("rdata of {length} bytes, expected its end at {}", self.at));
        }
        validate_rdata(rtype, &rdata)?;
        Ok(Record { owner, rtype, class, ttl, rdata })
    }

    /// Reads a name and follows its pointers. Each must point before all parts of the name read so far.
    fn name(&mut self) -> Result<Vec<u8>, String> {
        let mut wire = Vec::new();
        let (mut start, mut at, mut end) = (self.at, self.at, None);
        loop {
            let length = usize::from(*self.message.get(at).ok_or("a name is cut off")?);
            if length >= 0xc0 {
                let low = *self.message.get(at + 1).ok_or("a pointer is cut off")?;
                end = end.or(Some(at + 2));
                at = (length - 0xc0) << 8 | usize::from(low);
                if at >= start || at < HEADER {
                    return Err(format!("the name at {start} points to {at}"));
                }
                start = at;
                continue;
            }
            if length > 63 {
                return Err(format!("a label of {length} bytes"));
            }
            let label = self.message.get(at..=at + length).ok_or("a label is cut off")?;
            wire.extend(label);
            at += label.len();
            if wire.len() > 255 {
                return Err("a name is longer than 255 bytes".into());
            }
            if length == 0 {
                self.at = end.unwrap_or(at);
                return Ok(wire);
            }
        }
    }
}

/// Returns the labels of a valid wire name.
pub fn labels(wire: &[u8]) -> Labels {
    let mut labels = Labels::new();
    let mut rest = wire;
    while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, after) = after.split_at(usize::from(*length));
        labels.insert(0, label.to_ascii_lowercase());
        rest = after;
    }
    labels
}

/// Returns the wire form of labels.
pub fn wire(labels: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in labels.iter().rev() {
        wire.push(label.len() as u8);
        wire.extend(label);
    }
    wire.push(0);
    wire
}
