//! Random sets of rows, as `recon run --events` writes them.
//!
//! The decision held here: few remotes, ports and processes, and counts around every threshold, so
//! that groups collide and cross it. All times are in one hour of the clock, where sliding windows
//! and windows of the clock are the same.

use serde_json::{Value, json};

/// The row's action, its protocol, and whose port the row has.
const KINDS: [(&str, &str, Port); 16] = [
    ("SYN", "Tcp", Port::Local),
    ("SYN", "Tcp", Port::Local),
    ("FinProbe", "Tcp", Port::Local),
    ("Datagram", "Udp", Port::Local),
    ("Query", "Udp", Port::Local),
    ("EchoRequest", "ICMP", Port::None),
    ("HttpGet", "Tcp", Port::Local),
    ("ConnectionFailed", "Tcp", Port::Local),
    ("ConnectionFailed", "", Port::Local),
    ("ConnectionSuccess", "Tcp", Port::Local),
    ("ConnectionRequest", "Tcp", Port::Remote),
    ("DatagramSent", "Udp", Port::Remote),
    ("EchoSent", "ICMP", Port::None),
    ("Query", "Udp", Port::Remote),
    ("Query", "Tcp", Port::Remote),
    ("ConnectionFailed", "Tcp", Port::Remote),
];

#[derive(Clone, Copy, PartialEq)]
enum Port {
    Local,
    Remote,
    None,
}

/// The remotes of a set, which no other set has, so that one engine can judge many sets at once.
fn remotes(set: u64) -> [(String, &'static str); 8] {
    let [high, low] = [set / 256, set % 256];
    [
        (format!("20.{high}.{low}.7"), "Public"),
        (format!("30.{high}.{low}.9"), "Public"),
        (format!("2001:db8:{:x}::7", set + 1), "Public"),
        (format!("10.{high}.{low}.9"), "Private"),
        (format!("100.10.{high}.{low}"), "Public"),
        (format!("172.16.{high}.{low}"), "Private"),
        (format!("172.20.{high}.{low}"), "Private"),
        (format!("192.168.{high}.{low}"), "Private"),
    ]
}

const LOCALS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
const PORTS: [u16; 6] = [22, 53, 80, 443, 445, 8080];
const PROCESSES: [(&str, u32); 3] = [("nmap", 700), ("curl", 701), ("Nmap", 702)];
/// Counts at, above and below the thresholds of the source, and parts of them.
const COUNTS: [u64; 14] = [1, 1, 1, 2, 2, 3, 5, 9, 10, 11, 20, 21, 50, 51];
const LARGE_COUNTS: [u64; 4] = [100, 101, 200, 300];
/// One row in this many has a large count.
const LARGE: u64 = 24;
/// The time span, less than an hour, in seconds.
const SPAN: u64 = 3_000;
/// The start, a full hour.
const START: u64 = 1_767_225_600;

/// The rows of one set, in the order of their times.
pub(crate) fn rows(set: u64) -> Vec<Value> {
    let mut random = Random(set + 1);
    let remotes = remotes(set);
    let count = 10 + random.below(60);
    let mut second = 0;
    (0..count)
        .map(|_| {
            second += random.below(1 + SPAN / count);
            row(&mut random, &remotes, START + second)
        })
        .collect()
}

fn row(random: &mut Random, remotes: &[(String, &str)], second: u64) -> Value {
    let (action, protocol, port) = *random.of(&KINDS);
    let (remote, kind) = random.of(remotes);
    let time = clock(second);
    let count = match random.below(LARGE) {
        0 => *random.of(&LARGE_COUNTS),
        _ => *random.of(&COUNTS),
    };
    let mut row = json!({
        "Type": "DeviceNetworkEvents",
        "TimeGenerated": time,
        "Timestamp": time,
        "DeviceName": "host",
        "ActionType": action,
        "Protocol": protocol,
        "RemoteIP": remote,
        "LocalIP": random.of(&LOCALS),
        "RemoteIPType": kind,
        "InitiatingProcessIsScanner": false,
        "Count": count,
    });
    let number = match (action, port) {
        ("Query", _) => 53,
        ("HttpGet", _) => 80,
        _ => *random.of(&PORTS),
    };
    let is_outbound = port == Port::Remote || action == "EchoSent";
    match port {
        Port::Local => row["LocalPort"] = number.into(),
        Port::Remote => row["RemotePort"] = number.into(),
        Port::None => {}
    }
    if is_outbound {
        let (name, pid) = *random.of(&PROCESSES);
        row["InitiatingProcessFileName"] = name.into();
        row["InitiatingProcessFolderPath"] = format!("/usr/bin/{name}").into();
        row["InitiatingProcessId"] = pid.into();
        row["InitiatingProcessIsScanner"] = (name == "nmap").into();
    }
    row
}

/// A time of the day that begins at [`START`].
fn clock(second: u64) -> String {
    let of_day = second - START;
    format!(
        "2026-01-01T{:02}:{:02}:{:02}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// xorshift64*, after Vigna, "An experimental exploration of Marsaglia's xorshift generators"
/// (2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
