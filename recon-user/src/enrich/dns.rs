//! DNS messages: the question of a query, and what an answer says of addresses.
//!
//! In: the bytes of a message, which may be cut off. Out: its [`Question`]; the records of an
//! answer as far as they are there. The decisions held here: of crates, simple-dns, hickory-proto
//! and domain refuse a message that is cut off, as long ones are here, and read far more than three
//! kinds of records. A name is compared and kept in lower case; what is no plain letter, digit,
//! hyphen or underscore is escaped as in RFC 4343, so that no name can control a terminal or forge
//! a line.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use recon_common::protocol::DNS_HEADER;

/// The longest name, as text and as bytes of a message (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
const MAX_WIRE: usize = 255;
/// The longest label; a greater number is a pointer to the rest of the name.
const MAX_LABEL: u8 = 63;
const POINTER: u8 = 0b1100_0000;
/// Records of an answer that are read.
const MAX_RECORDS: u16 = 64;

const RESPONSE: u16 = 1 << 15;
const OPCODE: u16 = 0xf << 11;
const RESPONSE_CODE: u16 = 0xf;

/// Kinds of records and the class of the internet (IANA numbers).
const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const IN: u16 = 1;

/// What is asked. An answer repeats it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// The number of the query.
    pub(super) id: u16,
    name: String,
    kind: u16,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The name that was asked for has this address.
    Address(IpAddr),
    /// The address that was asked for has this name.
    Pointer(IpAddr, String),
}

/// A message with one question.
#[derive(Debug)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    pub(super) question: Question,
    pub(super) is_answer: bool,
    has_failed: bool,
    answers: u16,
    /// Where the answers begin.
    at: usize,
}

impl<'a> Message<'a> {
    /// Reads header and question, if the question is one that an address answers or asks for.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let word = |at| read_u16(bytes, at);
        let flags = word(2)?;
        let questions = word(4)?;
        let (name, end) = read_name(bytes, DNS_HEADER)?;
        let (kind, class) = (word(end)?, word(end + 2)?);
        let is_known = matches!(kind, A | AAAA | PTR) && class == IN;
        let is_standard = flags & OPCODE == 0 && questions == 1;
        (is_known && is_standard).then_some(Self {
            bytes,
            question: Question {
                id: word(0)?,
                name,
                kind,
            },
            is_answer: flags & RESPONSE != 0,
            has_failed: flags & RESPONSE_CODE != 0,
            answers: word(6)?,
            at: end + 4,
        })
    }

    /// The name that is asked for.
    pub(super) fn name(&self) -> &str {
        &self.question.name
    }

    /// What the answer says to its question, by way of other names (CNAME) that come before.
    pub(super) fn said(&self) -> Vec<Said> {
        /// Behind the owner of a record: kind, class, time to live and length.
        const FIXED: usize = 10;
        let mut said = Vec::new();
        if !self.is_answer || self.has_failed {
            return said;
        }
        let mut owner = self.question.name.clone();
        let mut at = self.at;
        for _ in 0..self.answers.min(MAX_RECORDS) {
            let Some((name, end)) = read_name(self.bytes, at) else {
                break;
            };
            let word = |at| read_u16(self.bytes, at);
            let (Some(kind), Some(class), Some(length)) = (word(end), word(end + 2), word(end + 8))
            else {
                break;
            };
            let start = end + FIXED;
            at = start + usize::from(length);
            let Some(data) = self.bytes.get(start..at) else {
                break;
            };
            if class != IN || name != owner {
                continue;
            }
            match kind {
                CNAME => match read_name(self.bytes, start) {
                    Some((next, _)) => owner = next,
                    None => break,
                },
                A | AAAA if kind == self.question.kind => {
                    said.extend(read_address(kind, data).map(Said::Address));
                }
                PTR if kind == self.question.kind => {
                    let asked = address_of_pointer(&self.question.name);
                    let name = read_name(self.bytes, start).map(|(name, _)| name);
                    let pair = asked.zip(name.filter(|name| !name.is_empty()));
                    said.extend(pair.map(|(asked, name)| Said::Pointer(asked, name)));
                }
                _ => {}
            }
        }
        said
    }
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*word))
}

fn read_address(kind: u16, data: &[u8]) -> Option<IpAddr> {
    match kind {
        A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        _ => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
    }
}

/// The name at a place, and where what follows it begins. Pointers lead backwards, each further
/// than the one before, so that there are no loops.
fn read_name(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let (mut at, mut earliest, mut end) = (at, at, None);
    let mut wire = 0;
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=MAX_LABEL => {
                let label = bytes.get(at + 1..=at + usize::from(length))?;
                wire += 1 + label.len();
                if !name.is_empty() {
                    name.push('.');
                }
                push_label(label, &mut name);
                if wire > MAX_WIRE || name.len() > MAX_NAME {
                    return None;
                }
                at += 1 + label.len();
            }
            length if length & POINTER == POINTER => {
                end = end.or(Some(at + 2));
                at = usize::from(read_u16(bytes, at)? & !(u16::from(POINTER) << u8::BITS));
                if at >= earliest {
                    return None;
                }
                earliest = at;
            }
            _ => return None,
        }
    }
}

fn push_label(label: &[u8], name: &mut String) {
    for byte in label {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(*byte)),
            b'A'..=b'Z' => name.push(char::from(byte.to_ascii_lowercase())),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(name, "\\{byte:03}");
            }
        }
    }
}

/// The address that a name below in-addr.arpa or ip6.arpa stands for.
fn address_of_pointer(name: &str) -> Option<IpAddr> {
    if let Some(numbers) = name.strip_suffix(".in-addr.arpa") {
        let numbers = numbers.rsplit('.').map(|number| number.parse().ok());
        let bytes: Vec<u8> = numbers.collect::<Option<_>>()?;
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let (mut bits, mut count) = (0_u128, 0);
    for digit in digits.rsplit('.') {
        let mut letters = digit.chars();
        let digit = letters.next()?.to_digit(16)?;
        bits = bits.checked_shl(4)? | u128::from(digit);
        count += 1;
        if letters.next().is_some() || count > 32 {
            return None;
        }
    }
    (count == 32).then(|| Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
pub(super) mod tests;
