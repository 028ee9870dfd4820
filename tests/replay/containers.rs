//! Captures that are made packet by packet: what happens over hours, in one direction only, at
//! times that make no sense, and in files that are cut, split or corrupt.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use recon_tests::frame::{Path, segment};
use recon_tests::lab::{ATTACKER, HOST};
use recon_tests::rows;

use crate::made::{Packet, START, header, pcap, records, scan};
use crate::recording::{Replayed, replay_files};

/// The address of a name server.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);

/// What a resolver answers to clients' ports, with the queries or without.
fn answers(has_queries: bool) -> Result<Vec<Packet>> {
    /// One query for a name, and its answer.
    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
    let mut packets = Vec::new();
    for number in 0..60 {
        let port = 1100 + 1000 * number;
        let second = START + u32::from(number);
        if has_queries {
            let query = Path::new(HOST, RESOLVER).udp([port, 53], QUERY)?;
            packets.push((second, query));
        }
        let mut answer = QUERY.to_vec();
        answer[2] = 0x81;
        packets.push((second, Path::new(RESOLVER, HOST).udp([53, port], &answer)?));
    }
    Ok(packets)
}

/// Connections of a client to a server, from the SYN to the last FIN, one direction of them only.
fn clients_only() -> Result<Vec<Packet>> {
    let path = Path::new(ATTACKER, HOST);
    let mut packets = Vec::new();
    for number in 0..200_u16 {
        let second = START + u32::from(number);
        let ports = [41_000 + number, 2000 + number % 5];
        let mut hello = segment(ports);
        hello.syn = true;
        let mut data = segment(ports);
        data.sequence_number += 1;
        data.acknowledgment_number = 1;
        data.ack = true;
        let mut end = data.clone();
        end.sequence_number += 5;
        end.fin = true;
        packets.push((second, path.tcp(hello, &[])?));
        packets.push((second, path.tcp(data.clone(), &[])?));
        packets.push((second, path.tcp(data, b"hello")?));
        packets.push((second, path.tcp(end, &[])?));
    }
    Ok(packets)
}

/// Packets among those of two hosts of which both directions are captured.
fn among_others(packets: Vec<Packet>) -> Result<Vec<Packet>> {
    let other = Ipv4Addr::new(203, 0, 113, 77);
    let mut all = vec![
        (
            START,
            Path::new(other, ATTACKER).tcp(segment([443, 50_000]), &[])?,
        ),
        (
            START,
            Path::new(ATTACKER, other).tcp(segment([50_000, 443]), &[])?,
        ),
    ];
    all.extend(packets);
    Ok(all)
}

/// Data of a server on connections from before the capture, which its client resets.
fn resets_by_client() -> Result<Vec<Packet>> {
    let mut packets = Vec::new();
    for number in 0..60 {
        let port = 41_000 + number;
        let second = START + u32::from(number);
        let mut data = segment([443, port]);
        data.ack = true;
        let mut reset = segment([port, 443]);
        reset.rst = true;
        packets.push((second, Path::new(ATTACKER, HOST).tcp(data, b"hello")?));
        packets.push((second, Path::new(HOST, ATTACKER).tcp(reset, &[])?));
    }
    Ok(packets)
}

struct Row {
    name: &'static str,
    /// The bytes of files, and of stdin if the arguments name it.
    files: fn() -> Result<Vec<Vec<u8>>>,
    /// Arguments besides the files.
    arguments: &'static str,
    code: i32,
    /// Rules that fire; no others do.
    expected: &'static [&'static str],
    /// The most polls that this may take: hours and years take no longer than seconds.
    polls: u64,
    /// Parts of what stderr says, and what it must not say with a leading `!`.
    log: &'static [&'static str],
}

const ROW: Row = Row {
    name: "",
    files: || Ok(Vec::new()),
    arguments: "--profile source --local 198.51.100.1",
    code: 0,
    expected: SCAN,
    polls: 100,
    log: &[],
};

const SCAN: &[&str] = &["port-scan"];

fn shifted(mut packets: Vec<Packet>, number: usize, by: i64) -> Vec<Packet> {
    for (second, _) in packets.iter_mut().skip(number) {
        let time = i64::from(*second) + by;
        *second = u32::try_from(time.max(0)).unwrap_or(u32::MAX);
    }
    packets
}

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

const ROWS: &[Row] = &[
    Row {
        name: "a scan within a second",
        files: || Ok(vec![pcap(&scan(40, 0)?)]),
        polls: 1,
        log: &["packets=40 ", "span=0.000s", "alerts: port-scan"],
        ..ROW
    },
    Row {
        name: "a scan of an hour",
        files: || Ok(vec![pcap(&scan(40, 80)?)]),
        polls: 40 * 23,
        log: &["span=3120.000s"],
        ..ROW
    },
    Row {
        name: "a scan of a month",
        files: || Ok(vec![pcap(&scan(40, 86_000)?)]),
        expected: &[],
        polls: 40 * 33,
        log: &["alerts: none"],
        ..ROW
    },
    Row {
        name: "without the host's address",
        files: || Ok(vec![pcap(&scan(40, 0)?)]),
        arguments: "--profile source",
        ..ROW
    },
    Row {
        name: "another host",
        files: || Ok(vec![pcap(&scan(40, 0)?)]),
        arguments: "--profile source --local 198.51.100.77",
        expected: &[],
        log: &["foreign=40"],
        ..ROW
    },
    Row {
        name: "two files of one capture",
        files: || {
            let packets = scan(40, 1)?;
            Ok(vec![pcap(&packets[..20]), pcap(&packets[20..])])
        },
        ..ROW
    },
    Row {
        name: "half of them",
        files: || Ok(vec![pcap(&scan(15, 1)?)]),
        expected: &[],
        ..ROW
    },
    Row {
        name: "cut within a packet",
        files: || {
            let mut file = pcap(&scan(41, 1)?);
            file.truncate(file.len() - 7);
            Ok(vec![file])
        },
        log: &["packets=40 ", "cut_files=1", "ends within a packet"],
        ..ROW
    },
    Row {
        name: "corrupt",
        files: || {
            let mut file = pcap(&scan(40, 1)?);
            file.extend([0xff; 40]);
            Ok(vec![file])
        },
        code: 1,
        log: &["is corrupt at byte 2824", "packets=40 "],
        ..ROW
    },
    Row {
        name: "no capture",
        files: || Ok(vec![b"a line of text".to_vec()]),
        code: 1,
        expected: &[],
        log: &["is no capture"],
        ..ROW
    },
    Row {
        name: "another link layer",
        files: || Ok(vec![[header(147), records(&scan(40, 1)?)].concat()]),
        code: 1,
        expected: &[],
        log: &["does not read packets of link type 147", "link_type_147=40"],
        ..ROW
    },
    Row {
        name: "answers of a resolver",
        files: || Ok(vec![pcap(&answers(true)?)]),
        expected: &[],
        log: &["!one direction"],
        ..ROW
    },
    Row {
        name: "answers of a resolver, on the port of a switch",
        files: || Ok(vec![pcap(&answers(true)?)]),
        // The other profile counts queries, whoever sends them.
        arguments: "",
        expected: &[],
        log: &["!one direction"],
        ..ROW
    },
    Row {
        name: "answers without queries",
        files: || Ok(vec![pcap(&answers(false)?)]),
        expected: &[],
        log: &["one direction only", "withheld=60"],
        ..ROW
    },
    Row {
        name: "answers without queries, on the port of a switch",
        files: || Ok(vec![pcap(&answers(false)?)]),
        arguments: "--profile source",
        expected: &[],
        log: &["one direction only"],
        ..ROW
    },
    Row {
        name: "clients of which the server's side is missing",
        files: || Ok(vec![pcap(&clients_only()?)]),
        // By what became of attempts.
        arguments: "--local 198.51.100.1",
        expected: &[],
        polls: 250,
        ..ROW
    },
    Row {
        name: "answers without queries, on a link with asymmetric routes",
        files: || Ok(vec![pcap(&among_others(answers(false)?)?)]),
        arguments: "--profile source",
        expected: &[],
        log: &["withheld=60", "!one direction"],
        ..ROW
    },
    Row {
        name: "clients without the server's side, on a link with asymmetric routes",
        files: || Ok(vec![pcap(&among_others(clients_only()?)?)]),
        arguments: "",
        expected: &[],
        polls: 250,
        ..ROW
    },
    Row {
        name: "resets of connections from before the capture",
        files: || Ok(vec![pcap(&resets_by_client()?)]),
        arguments: "--local 198.51.100.1",
        expected: &[],
        log: &["withheld=60"],
        ..ROW
    },
    Row {
        name: "one time stamp of another century",
        files: || {
            let mut packets = scan(40, 1)?;
            packets[10].0 = u32::MAX;
            Ok(vec![pcap(&packets)])
        },
        log: &["times_broken=1"],
        ..ROW
    },
    Row {
        name: "a clock that goes back by a year",
        files: || Ok(vec![pcap(&shifted(scan(40, 1)?, 20, -YEAR))]),
        log: &["times_back=1"],
        ..ROW
    },
    Row {
        name: "files a year apart",
        files: || Ok(vec![pcap(&shifted(scan(30, 1)?, 15, YEAR))]),
        expected: &[],
        log: &["times_ahead=1"],
        ..ROW
    },
    Row {
        name: "times of all years",
        files: || {
            let mut packets = scan(40, 0)?;
            for (number, (second, _)) in packets.iter_mut().enumerate() {
                *second = u32::try_from(number * 7_919_993 % 4_294_967_291)?;
            }
            Ok(vec![pcap(&packets)])
        },
        log: &["times_"],
        ..ROW
    },
];

fn check(row: &Row) -> Result<()> {
    let replayed = replay_files(&(row.files)()?, row.arguments)?;
    let Replayed {
        code, alerts, log, ..
    } = &replayed;
    ensure!(*code == Some(row.code), "exit code {code:?}\n{log}");
    let mut fired: Vec<String> = alerts.iter().map(|alert| alert.fired().0).collect();
    fired.sort_unstable();
    fired.dedup();
    let unexpected = fired
        .iter()
        .find(|rule| !row.expected.contains(&rule.as_str()));
    ensure!(unexpected.is_none(), "{unexpected:?}: {alerts:#?}\n{log}");
    ensure!(fired.len() == row.expected.len(), "only {fired:?}\n{log}");
    if row.code == 0 {
        let polls = log.split(" polls=").nth(1);
        let polls = polls.and_then(|rest| rest.split(' ').next());
        let polls: u64 = polls.with_context(|| log.clone())?.parse()?;
        ensure!(polls <= row.polls, "{polls} polls\n{log}");
    }
    for part in row.log {
        let is_there = |part: &str| log.contains(part);
        let is_fine = match part.strip_prefix('!') {
            Some(part) => !is_there(part),
            None => is_there(part),
        };
        ensure!(is_fine, "{part:?}: {log}");
    }
    Ok(())
}

#[test]
fn each_capture_gives_its_alerts_and_no_others() {
    rows::check(ROWS, |row| row.name, check);
}
