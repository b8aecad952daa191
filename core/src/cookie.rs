//! DNS cookies (RFC 7873). Server cookies follow RFC 9018 section 4, so that any server with the same
//! secret verifies them.
//!
//! ```text
//! client cookie 8 | version 1 | reserved 3 | time 4 | hash 8
//! hash = SipHash-2-4(secret, client cookie | version | reserved | time | client address)
//! ```

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::message::wire::u32_at;

/// A key that signs server cookies.
pub type Secret = [u8; 16];

/// Bytes of a client cookie and our server cookie.
pub const FULL: usize = 24;
/// Bytes of a client cookie.
const CLIENT: usize = 8;
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// A cookie is valid for an hour, and for five minutes before its time (RFC 9018 section 4.3). In s.
const MAX_AGE: i32 = 3600;
const MAX_AHEAD: i32 = 300;
/// Age in s from which the client gets a new cookie.
const REFRESH: i32 = 1800;

/// The result of checking a COOKIE option.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Verdict {
    /// The length is neither 8 nor 16 to 40 bytes: FORMERR (RFC 7873 section 5.2.2).
    Malformed,
    /// A client cookie alone, or a server cookie that is not ours or has expired.
    Unproven,
    /// The client has proven that it receives packets sent to its address.
    Proven { fresh: bool },
}

/// Checks the option sent by `client` at `now` (s since 1970).
pub fn check(secrets: &[Secret], option: &[u8], client: IpAddr, now: u32) -> Verdict {
    match option.len() {
        FULL => {}
        CLIENT | 16..=40 => return Verdict::Unproven,
        _ => return Verdict::Malformed,
    }
    // The reserved bytes are signed as received, but not enforced (RFC 9018 section 4.2).
    if option[CLIENT] != VERSION[0] {
        return Verdict::Unproven;
    }
    // Serial number arithmetic (RFC 1982), so that the overflow in 2106 does no harm.
    let age = now.wrapping_sub(u32_at(option, 12)) as i32;
    if !(-MAX_AHEAD..=MAX_AGE).contains(&age) {
        return Verdict::Unproven;
    }
    let good = |secret: &Secret| {
        let wanted = sign(secret, &option[..16], client);
        // Compares all bytes, so that the time taken reveals nothing.
        wanted.iter().zip(&option[16..]).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    };
    match secrets.iter().position(good) {
        Some(index) => Verdict::Proven { fresh: index == 0 && age < REFRESH },
        None => Verdict::Unproven,
    }
}

/// Returns a client cookie with a new server cookie for it.
pub fn make(secret: &Secret, client_cookie: &[u8], client: IpAddr, now: u32) -> [u8; FULL] {
    let mut cookie = [0; FULL];
    cookie[..CLIENT].copy_from_slice(&client_cookie[..CLIENT]);
    cookie[8..12].copy_from_slice(&VERSION);
    cookie[12..16].copy_from_slice(&now.to_be_bytes());
    let hash = sign(secret, &cookie[..16], client);
    cookie[16..].copy_from_slice(&hash);
    cookie
}

/// Returns the hash of a cookie, whose first 16 bytes are `start`.
fn sign(secret: &Secret, start: &[u8], client: IpAddr) -> [u8; 8] {
    let mut input = [0; 32];
    input[..16].copy_from_slice(&start[..16]);
    let length = match client {
        IpAddr::V4(v4) => {
            input[16..20].copy_from_slice(&v4.octets());
            20
        }
        IpAddr::V6(v6) => {
            input[16..].copy_from_slice(&v6.octets());
            32
        }
    };
    SipHasher24::new_with_key(secret).hash(&input[..length]).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    // RFC 9018 appendix A.1, A.2 and A.4.
    const CASES: [(&str, &str, &str, u32, &str); 2] = [
        (
            "e5e973e5a6b2a43f48e7dc849e37bfcf",
            "2464c4abcf10c957",
            "198.51.100.100",
            1559731985,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
        ),
        (
            "445536bcd2513298075a5d379663c962",
            "22681ab97d52c298",
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            1559741961,
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
        ),
    ];

    #[test]
    fn vectors_of_rfc_9018_are_verified() {
        for (secret, client_cookie, client, now, cookie) in CASES {
            let secret: Secret = hex(secret).try_into().unwrap();
            let client = client.parse().unwrap();
            assert_eq!(make(&secret, &hex(client_cookie), client, now).to_vec(), hex(cookie));
            let ages = [
                (0, Verdict::Proven { fresh: true }),
                (1800, Verdict::Proven { fresh: false }),
                (3600, Verdict::Proven { fresh: false }),
                (3601, Verdict::Unproven),
                (-300, Verdict::Proven { fresh: true }),
                (-301, Verdict::Unproven),
            ];
            for (age, verdict) in ages {
                let time = now.wrapping_add_signed(age);
                assert_eq!(check(&[secret], &hex(cookie), client, time), verdict, "{age}");
            }
            let old = Verdict::Proven { fresh: false };
            assert_eq!(check(&[[7; 16], secret], &hex(cookie), client, now), old, "rolled over");
            assert_eq!(check(&[[7; 16]], &hex(cookie), client, now), Verdict::Unproven);
            assert_eq!(
                check(&[secret], &hex(cookie), "10.0.0.1".parse().unwrap(), now),
                Verdict::Unproven
            );
        }
    }

    #[test]
    fn lengths_are_checked() {
        for length in 0..50 {
            let malformed = !(length == 8 || (16..=40).contains(&length));
            let verdict = check(&[[0; 16]], &vec![0; length], "::1".parse().unwrap(), 0);
            assert_eq!(verdict == Verdict::Malformed, malformed, "{length}");
        }
    }
}
