//! Small databases in MaxMind's format, for tests.
//!
//! In: networks and records. Out: the bytes of a file. It follows the specification, version 2.0:
//! <https://maxmind.github.io/MaxMind-DB/>.
//! The decision held here: of the crates that write the format, mmdb-writer has had one release and
//! brings four more crates, and maxminddb-writer is at 0.1 too. Tests need a map, a text and a
//! number.

use std::net::{IpAddr, Ipv6Addr};

/// Bits of one of the two records of a node.
const RECORD_BITS: u32 = 24;
const SEPARATOR: [u8; 16] = [0; 16];
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// 2026-01-01
const BUILT: u64 = 1_767_225_600;

/// A value of a record.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(u32),
    Map(Vec<(&'static str, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

pub(super) fn map<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Map(fields.into())
}

/// What a record of a node leads to.
#[derive(Clone, Copy, Debug)]
enum Target {
    Nothing,
    Node(usize),
    /// A place in the data.
    Data(usize),
}

/// What the last node of [`Tree::of_ways`] leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Nothing,
    /// The first node.
    First,
}

/// A tree of networks.
#[derive(Debug)]
pub(super) struct Tree {
    version: u16,
    nodes: Vec<[Target; 2]>,
    data: Vec<u8>,
}

impl Tree {
    pub(super) fn of_ipv4() -> Self {
        Self::of_version(4)
    }

    /// IPv4 is below ::/96.
    pub(super) fn of_ipv6() -> Self {
        Self::of_version(6)
    }

    fn of_version(version: u16) -> Self {
        Self {
            version,
            nodes: vec![[Target::Nothing; 2]],
            data: Vec::new(),
        }
    }

    /// A node for each bit, with two ways to the next one.
    pub(super) fn of_ways(end: End) -> Self {
        const BITS: usize = 128;
        let mut tree = Self::of_ipv6();
        let node = |number| [Target::Node(number); 2];
        tree.nodes = (1..BITS).map(node).collect();
        tree.nodes.push(match end {
            End::Nothing => [Target::Nothing; 2],
            End::First => node(0),
        });
        tree
    }

    pub(super) fn insert(&mut self, network: &str, record: Value) {
        let (address, length) = network.split_once('/').expect("a prefix length");
        let length: usize = length.parse().expect("a prefix length");
        let bits: u128 = match address.parse().expect("an address") {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => Ipv6Addr::to_bits(ip),
        };
        let is_ipv4 = !network.contains(':');
        let width: usize = if self.version == 4 { 32 } else { 128 };
        let length = if is_ipv4 { width - 32 + length } else { length };
        let bit = |depth: usize| usize::from(bits >> (width - 1 - depth) & 1 == 1);
        let mut node = 0;
        for depth in 0..length - 1 {
            node = match self.nodes[node][bit(depth)] {
                Target::Node(next) => next,
                _ => {
                    self.nodes.push([Target::Nothing; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][bit(depth)] = Target::Node(next);
                    next
                }
            };
        }
        self.nodes[node][bit(length - 1)] = Target::Data(self.data.len());
        encode(&record, &mut self.data);
    }

    /// The bytes of the file.
    pub(super) fn file(&self, kind: &str) -> Vec<u8> {
        let count = self.nodes.len();
        let mut file = Vec::new();
        for target in self.nodes.iter().flatten() {
            let number = match *target {
                Target::Nothing => count,
                Target::Node(node) => node,
                Target::Data(place) => count + SEPARATOR.len() + place,
            };
            let number = u32::try_from(number).expect("a small tree");
            file.extend_from_slice(&number.to_be_bytes()[1..]);
        }
        file.extend_from_slice(&SEPARATOR);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(MARKER);
        self.encode_metadata(kind, &mut file);
        file
    }

    fn encode_metadata(&self, kind: &str, file: &mut Vec<u8>) {
        const FIELDS: usize = 9;
        control(7, FIELDS, file);
        let number = |name: &str, kind: u8, value: u64, file: &mut Vec<u8>| {
            encode(&name.into(), file);
            let bytes = value.to_be_bytes();
            let first = bytes
                .iter()
                .position(|&byte| byte != 0)
                .unwrap_or(bytes.len());
            control(kind, bytes.len() - first, file);
            file.extend_from_slice(&bytes[first..]);
        };
        number("binary_format_major_version", 5, 2, file);
        number("binary_format_minor_version", 5, 0, file);
        number("build_epoch", 9, BUILT, file);
        number("ip_version", 5, self.version.into(), file);
        number("node_count", 6, self.nodes.len() as u64, file);
        number("record_size", 5, RECORD_BITS.into(), file);
        for (name, value) in [
            ("database_type", kind.into()),
            ("description", map([("en", "For tests".into())])),
        ] {
            encode(&name.into(), file);
            encode(&value, file);
        }
        encode(&"languages".into(), file);
        control(11, 0, file);
    }
}

/// Adds the type and the size of a value. Types above 7 have a byte of their own.
fn control(kind: u8, size: usize, to: &mut Vec<u8>) {
    /// From here on, sizes have another byte, and from the next bound on two.
    const ONE_MORE: usize = 29;
    const TWO_MORE: usize = ONE_MORE + 256;
    let (bits, more) = match size {
        0..ONE_MORE => (size, Vec::new()),
        ONE_MORE..TWO_MORE => (29, vec![size - ONE_MORE]),
        _ => {
            let rest = size - TWO_MORE;
            (30, vec![rest >> 8, rest & 0xff])
        }
    };
    let byte = |number: usize| u8::try_from(number).expect("a byte");
    match kind {
        1..=7 => to.push(kind << 5 | byte(bits)),
        _ => to.extend_from_slice(&[byte(bits), kind - 7]),
    }
    to.extend(more.into_iter().map(byte));
}

fn encode(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), to);
            to.extend_from_slice(text.as_bytes());
        }
        Value::Number(number) => {
            control(6, size_of::<u32>(), to);
            to.extend_from_slice(&number.to_be_bytes());
        }
        Value::Map(fields) => {
            control(7, fields.len(), to);
            for (name, value) in fields {
                encode(&(*name).into(), to);
                encode(value, to);
            }
        }
    }
}
