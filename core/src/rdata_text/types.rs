//! The record types known by name, and the fields of the types that are read from text.

use std::fmt;

/// A field of rdata, in text and on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Ipv4,
    Ipv6,
    U8,
    U16,
    U32,
    /// 32 bits of seconds; in text with or without units.
    Time,
    Name,
    /// One character string.
    String,
    /// One or more character strings, to the end.
    Strings,
    /// A character string of letters and digits (RFC 8659 section 4.1).
    Tag,
    /// Bytes without a length, to the end; one word in text.
    Rest,
    /// SvcParams, to the end (RFC 9460 section 2).
    Params,
}

impl Field {
    /// Returns a description of valid values, for error messages.
    pub fn expected(self) -> &'static str {
        match self {
            Field::Ipv4 => "an IPv4 address such as 192.0.2.1",
            Field::Ipv6 => "an IPv6 address such as 2001:db8::1",
            Field::U8 => "a number from 0 to 255",
            Field::U16 => "a number from 0 to 65535",
            Field::U32 => "a number from 0 to 4294967295",
            Field::Time => "seconds, or a time such as 1h30m",
            Field::Name => "a domain name",
            Field::String | Field::Strings => "a character string",
            Field::Tag => "a tag of letters and digits",
            Field::Rest => "a value",
            Field::Params => "parameters such as alpn=h2",
        }
    }
}

type Fields = &'static [(&'static str, Field)];

/// A row of the table: type number, mnemonic, fields. Types without fields are not read from text.
struct Row(u16, &'static str, Fields);

/// Record types with special rules.
pub mod rtype {
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
}

const STRINGS: Fields = &[("text", Field::Strings)];
const TARGET: Fields = &[("target", Field::Name)];
const HOST: Fields = &[("preference", Field::U16), ("host", Field::Name)];
const SERVICE: Fields =
    &[("priority", Field::U16), ("target", Field::Name), ("parameters", Field::Params)];

/// Sorted by their frequency in zone files, because the table is searched from the start.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row(1, "A", &[("address", Field::Ipv4)]), // RFC 1035 section 3.4.1
    Row(28, "AAAA", &[("address", Field::Ipv6)]), // RFC 3596 section 2.2
    Row(5, "CNAME", TARGET), // RFC 1035 section 3.3.1
    Row(12, "PTR", TARGET), // RFC 1035 section 3.3.12
    Row(33, "SRV", &[ // RFC 2782
        ("priority", Field::U16), ("weight", Field::U16), ("port", Field::U16),
        ("target", Field::Name),
    ]),
    Row(16, "TXT", STRINGS), // RFC 1035 section 3.3.14
    Row(15, "MX", HOST), // RFC 1035 section 3.3.9
    Row(2, "NS", &[("server", Field::Name)]), // RFC 1035 section 3.3.11
    Row(6, "SOA", &[ // RFC 1035 section 3.3.13
        ("mname", Field::Name), ("rname", Field::Name), ("serial", Field::U32),
        ("refresh", Field::Time), ("retry", Field::Time), ("expire", Field::Time),
        ("minimum", Field::Time),
    ]),
    Row(257, "CAA", &[ // RFC 8659 section 4.1
        ("flags", Field::U8), ("tag", Field::Tag), ("value", Field::Rest),
    ]),
    Row(64, "SVCB", SERVICE), // RFC 9460 section 2
    Row(65, "HTTPS", SERVICE), // RFC 9460 section 9
    Row(99, "SPF", STRINGS), // RFC 4408 section 3.1.1
    Row(39, "DNAME", TARGET), // RFC 6672 section 2.1
    Row(35, "NAPTR", &[ // RFC 3403 section 4.1
        ("order", Field::U16), ("preference", Field::U16), ("flags", Field::String),
        ("services", Field::String), ("regexp", Field::String), ("replacement", Field::Name),
    ]),
    Row(13, "HINFO", &[("cpu", Field::String), ("os", Field::String)]), // RFC 1035 section 3.3.2
    Row(17, "RP", &[("mailbox", Field::Name), ("text", Field::Name)]), // RFC 1183 section 2.2
    Row(18, "AFSDB", HOST), // RFC 1183 section 1
    Row(21, "RT", HOST), // RFC 1183 section 3.3
    Row(23, "NSAP-PTR", TARGET), // RFC 1706 section 6
    Row(26, "PX", &[ // RFC 2163 section 4
        ("preference", Field::U16), ("map822", Field::Name), ("mapx400", Field::Name),
    ]),
    Row(36, "KX", HOST), // RFC 2230 section 3.1
    Row(107, "LP", HOST), // RFC 6742 section 2.4
    Row(7, "MB", &[("host", Field::Name)]), // RFC 1035 section 3.3.3
    Row(8, "MG", &[("mailbox", Field::Name)]), // RFC 1035 section 3.3.6
    Row(9, "MR", &[("mailbox", Field::Name)]), // RFC 1035 section 3.3.8
    Row(14, "MINFO", &[ // RFC 1035 section 3.3.7
        ("requests", Field::Name), ("errors", Field::Name),
    ]),
    // Not read from text here (IANA registry "Resource Record (RR) TYPEs").
    Row(10, "NULL", &[]), Row(11, "WKS", &[]), Row(19, "X25", &[]), Row(20, "ISDN", &[]), Row(22, "NSAP", &[]),
    Row(24, "SIG", &[]), Row(25, "KEY", &[]), Row(27, "GPOS", &[]), Row(29, "LOC", &[]),
    Row(37, "CERT", &[]), Row(42, "APL", &[]), Row(43, "DS", &[]), Row(44, "SSHFP", &[]),
    Row(45, "IPSECKEY", &[]), Row(46, "RRSIG", &[]), Row(47, "NSEC", &[]),
    Row(48, "DNSKEY", &[]), Row(49, "DHCID", &[]), Row(50, "NSEC3", &[]),
    Row(51, "NSEC3PARAM", &[]), Row(52, "TLSA", &[]), Row(53, "SMIMEA", &[]), Row(55, "HIP", &[]),
    Row(56, "NINFO", &[]), Row(59, "CDS", &[]), Row(60, "CDNSKEY", &[]),
    Row(61, "OPENPGPKEY", &[]), Row(62, "CSYNC", &[]), Row(63, "ZONEMD", &[]),
    Row(66, "DSYNC", &[]), Row(67, "HHIT", &[]), Row(68, "BRID", &[]), Row(104, "NID", &[]),
    Row(105, "L32", &[]), Row(106, "L64", &[]), Row(108, "EUI48", &[]), Row(109, "EUI64", &[]),
    Row(256, "URI", &[]), Row(258, "AVC", &[]), Row(260, "AMTRELAY", &[]),
    Row(261, "RESINFO", &[]), Row(262, "WALLET", &[]), Row(32769, "DLV", &[]),
];

/// A record type with its row of the table.
#[derive(Clone, Copy)]
pub struct Kind {
    pub code: u16,
    row: Option<&'static Row>,
}

impl Kind {
    /// Returns the type with a number.
    pub fn from_code(code: u16) -> Kind {
        let row = TABLE.iter().find(|row| row.0 == code);
        Kind { code, row }
    }

    /// Returns the type of a mnemonic or of `TYPEnnn` (RFC 3597 section 5), in any case.
    pub fn from_text(text: &[u8]) -> Option<Kind> {
        if let Some(row) = TABLE.iter().find(|row| row.1.as_bytes().eq_ignore_ascii_case(text)) {
            let code = row.0;
            return Some(Kind { code, row: Some(row) });
        }
        let (prefix, digits) = text.split_at_checked(4)?;
        if !prefix.eq_ignore_ascii_case(b"TYPE") {
            return None;
        }
        super::number(digits, u32::from(u16::MAX)).map(|code| Kind::from_code(code as u16))
    }

    /// Returns the fields in order, if the type is read from text.
    pub(super) fn fields(&self) -> Option<Fields> {
        self.row.map(|row| row.2).filter(|fields| !fields.is_empty())
    }

    /// Returns whether only the name of the type is known. The caller reads its text form.
    pub fn is_foreign(&self) -> bool {
        self.row.is_some_and(|row| row.2.is_empty())
    }

    /// Returns whether the type can't be in a zone: reserved types, OPT, and the meta and question types
    /// (RFC 6895 section 3.1).
    pub fn is_meta(&self) -> bool {
        matches!(self.code, 0 | 41 | 128..=255 | u16::MAX)
    }

    /// Returns whether an owner has at most one record of the type: CNAME (RFC 2181 section 10.1), SOA (RFC 1035
    /// section 5.2), DNAME (RFC 6672 section 2.4).
    pub fn is_singleton(&self) -> bool {
        matches!(self.code, rtype::CNAME | rtype::SOA | rtype::DNAME)
    }

    /// Returns whether the type is allowed at an owner with a CNAME: SIG, KEY, NXT (RFC 2181 section 10.1), RRSIG, NSEC
    /// (RFC 4034 sections 3 and 4).
    pub fn is_allowed_with_cname(&self) -> bool {
        matches!(self.code, 24 | 25 | 30 | 46 | 47)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self.row {
            Some(row) => out.write_str(row.1),
            None => write!(out, "TYPE{}", self.code),
        }
    }
}
