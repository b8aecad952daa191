//! Parsing of packets by the core, with the name of the question in the result.

use _core::message::query::{self, Edns, Packet};
use _core::message::wire::Name;

/// A parsed packet.
pub enum Read<'p> {
    Silent,
    Malformed,
    NotQuery,
    Query(Query<'p>),
}

/// A query.
pub struct Query<'p> {
    pub question: Option<Question>,
    pub edns: Option<Edns<'p>>,
}

/// A question; its name is in lower case.
pub struct Question {
    pub name: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
}

impl Query<'_> {
    /// Returns the length of the question section.
    pub fn question_length(&self) -> usize {
        self.question.as_ref().map_or(0, |question| question.name.len() + 4)
    }
}

/// Parses a packet.
pub fn read(packet: &[u8]) -> Read<'_> {
    let mut name = Name::default();
    match query::read(packet, &mut name) {
        Packet::Silent => Read::Silent,
        Packet::Malformed => Read::Malformed,
        Packet::NotQuery => Read::NotQuery,
        Packet::Query(query) => {
            let question = query.question.map(|question| Question {
                name: name.wire().to_vec(),
                rtype: question.rtype,
                class: question.class,
            });
            Read::Query(Query { question, edns: query.edns })
        }
    }
}
