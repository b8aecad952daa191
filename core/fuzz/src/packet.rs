//! How the core reads a packet, in a form that is handy here.

use _core::message::query::{self, Edns, Packet};
use _core::message::wire::Name;

/// A packet.
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

/// What is asked; the name is folded.
pub struct Question {
    pub name: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
}

impl Query<'_> {
    /// Octets of the question section.
    pub fn question_octets(&self) -> usize {
        self.question.as_ref().map_or(0, |question| question.name.len() + 4)
    }
}

/// Read a packet.
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
