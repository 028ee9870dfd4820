//! Sources under memory pressure: what a flood must not hide.

use super::*;

const NOW: u64 = 7200;
const SCANNER: Address = Address::v4([198, 51, 100, 1]);
const MIB: u64 = 1 << 20;
const PORTS: &str = "// id: ports\nDeviceNetworkEvents\n| summarize n = dcount(LocalPort) by RemoteIP\n| where n > 20";

fn source(number: u32) -> Address {
    Address::v4((0x1400_0000 + number).to_be_bytes())
}

fn hit(pipeline: &mut Pipeline, remote: Address, port: u16, second: u64, count: u64) {
    let key = key(Signal::Syn, remote, Address::v4(LOCAL), port, 0);
    observe(
        pipeline,
        &key,
        count,
        at(Duration::from_secs(second)),
        false,
    );
}

/// The remotes that the rule of that id reports at the end of a poll.
fn reported(pipeline: &mut Pipeline, id: &str, second: u64) -> Vec<Address> {
    let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
    let of_rule = findings.iter().filter(|finding| finding.query.id() == id);
    of_rule.filter_map(|finding| finding.remote).collect()
}

#[test]
fn a_slow_scanner_is_reported_whatever_flood_surrounds_it() {
    // Each poll brings one port of the scanner, and so many sources of one packet.
    for sources in [500, 1_000, 2_000, 3_000] {
        let mut pipeline = pipeline_of(PORTS, MIB);
        let mut reported_at = Vec::new();
        for poll in 0..30_u16 {
            let second = NOW + u64::from(poll);
            hit(&mut pipeline, SCANNER, poll, second, 1);
            for number in 0..sources {
                let number = u32::from(poll) * sources + number;
                hit(&mut pipeline, source(number), 80, second, 1);
            }
            if reported(&mut pipeline, "ports", second).contains(&SCANNER) {
                reported_at.push(poll + 1);
            }
        }
        assert_eq!(reported_at, [21], "{sources} sources a poll");
    }
}

#[test]
fn promoting_one_source_loses_no_other() {
    let more = (0..5).map(|number| {
        format!(";\n\n// id: count-{number}\nDeviceNetworkEvents\n| summarize n = count() by RemoteIP, LocalPort\n| where n > {}", 20 + number)
    });
    let text = format!("{PORTS}{}", more.collect::<String>());
    for flood in [2_000, 3_500, 5_000, 7_000] {
        let mut pipeline = pipeline_of(&text, MIB);
        let (many, few) = (1_000_000, 2_000_000);
        let scan =
            |pipeline: &mut Pipeline, first, ports: std::ops::RangeInclusive<u16>, second| {
                for number in first..first + 20 {
                    for port in ports.clone() {
                        hit(pipeline, source(number), port, second, 1);
                    }
                }
            };
        scan(&mut pipeline, few, 1..=1, NOW);
        scan(&mut pipeline, many, 1..=11, NOW);
        reported(&mut pipeline, "ports", NOW);
        for number in 0..flood {
            hit(&mut pipeline, source(number), 80, NOW + 1, 1);
        }
        scan(&mut pipeline, many, 12..=25, NOW + 1);
        scan(&mut pipeline, few, 2..=25, NOW + 1);
        let found = reported(&mut pipeline, "ports", NOW + 1);
        let of = |first| (first..first + 20).filter(|&number| found.contains(&source(number)));
        assert_eq!((of(many).count(), of(few).count()), (20, 20), "{flood}");
    }
}

#[test]
fn what_one_rule_suspects_blinds_no_other() {
    let web = "// id: web\nDeviceNetworkEvents\n| where LocalPort == 80\n| summarize n = count() by RemoteIP\n| where n > 20;\n\n";
    let mut pipeline = pipeline_of(&format!("{web}{PORTS}"), MIB);
    for number in 0..20_000 {
        hit(&mut pipeline, source(number), 80, NOW, 11);
    }
    reported(&mut pipeline, "ports", NOW);
    (1..=100).for_each(|port| hit(&mut pipeline, SCANNER, port, NOW + 1, 1));
    assert_eq!(reported(&mut pipeline, "ports", NOW + 1), [SCANNER]);
}

#[test]
fn what_is_suspicious_is_no_longer_once_it_has_left_the_window() {
    let long = "// id: long\n// window: 1d\nDeviceNetworkEvents\n| where LocalPort == 9\n| summarize n = count() by RemoteIP\n| where n > 100;\n\n";
    let short = PORTS.replace("// id: ports", "// id: ports\n// window: 1m");
    let mut pipeline = pipeline_of(&format!("{long}{short}"), MIB);
    for number in 0..5_000 {
        (100..111).for_each(|port| hit(&mut pipeline, source(number), port, NOW, 1));
    }
    reported(&mut pipeline, "ports", NOW);
    for hour in 1..5 {
        let (second, scanner) = (NOW + hour * 3600, source(60_000_000 + hour as u32));
        (1..=100).for_each(|port| hit(&mut pipeline, scanner, port, second, 1));
        assert_eq!(
            reported(&mut pipeline, "ports", second),
            [scanner],
            "{hour} h"
        );
    }
}

#[test]
fn logs_that_stay_turn_a_bounded_number_of_times() {
    let count = "DeviceNetworkEvents\n| summarize n = count() by RemoteIP\n| where n > 20";
    let mut pipeline = pipeline_of(count, 4 * MIB);
    // Nearly all memory is suspicious, and newcomers have a few places.
    let mut number = 0;
    while pipeline.stream.bytes() as u64 <= 3 * MIB {
        hit(&mut pipeline, source(number), 80, NOW, 11);
        number += 1;
    }
    reported(&mut pipeline, "", NOW);
    for poll in 1..4 {
        let before = pipeline.stream.held_sources();
        for newcomer in 0..20_000 {
            hit(
                &mut pipeline,
                source(poll as u32 * 1_000_000 + newcomer),
                80,
                NOW + poll,
                1,
            );
        }
        let moved = pipeline.stream.moved_sources();
        let held = pipeline.stream.held_sources().max(before);
        assert!(moved <= 2 * held + 128, "{moved} of {held}");
        reported(&mut pipeline, "", NOW + poll);
    }
}

#[test]
fn answers_stay_within_the_budget() {
    let memory = 4 * MIB;
    let mut pipeline = pipeline_of(PORTS, memory);
    let sources = 12_000;
    for number in 0..sources {
        hit(&mut pipeline, source(number), 80, NOW, 1);
    }
    for number in 0..sources {
        for port in 100..116 {
            let key = key(
                Signal::AnsweredTcp,
                source(number),
                Address::v4(LOCAL),
                port,
                0,
            );
            observe(&mut pipeline, &key, 1, at(Duration::from_secs(NOW)), false);
        }
    }
    reported(&mut pipeline, "ports", NOW);
    let bytes = pipeline.stream.bytes() as u64;
    assert!(bytes <= memory, "{bytes}");
}

#[test]
fn rows_of_no_event_and_of_too_many_are_counted() {
    let count =
        "// id: count\nDeviceNetworkEvents\n| summarize n = count() by RemoteIP\n| where n > 20";
    for (text, id, ports, events) in [(PORTS, "ports", 25, 0), (count, "count", 2, u64::MAX)] {
        let mut pipeline = pipeline_of(text, MIB);
        (1..=ports).for_each(|port| hit(&mut pipeline, SCANNER, port, NOW, events));
        assert_eq!(reported(&mut pipeline, id, NOW), [SCANNER], "{id}");
    }
}
