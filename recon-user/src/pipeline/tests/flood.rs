//! Floods: which groups are kept, which are evicted or refused, and how much memory they take.

use proptest::prelude::*;

use super::*;
use crate::incident::INCIDENT_BYTES;
use crate::stream::EvictionStats;

const NOW: u64 = 7200;
const SCANNER: Address = Address::v4([198, 51, 100, 1]);
const SERVER: Address = Address::v4(LOCAL);
const MIB: u64 = 1 << 20;

/// A pipeline whose rule reports more than 20 ports.
fn ports(memory: u64) -> Pipeline {
    pipeline_of(
        "DeviceNetworkEvents\n| summarize n = dcount(LocalPort) by RemoteIP\n| where n > 20",
        memory,
    )
}

/// The source with the given number. None of them is the scanner.
fn source(number: u32) -> Address {
    Address::v4((0x1400_0000 + number).to_be_bytes())
}

fn hit(pipeline: &mut Pipeline, remote: Address, port: u16, second: u64) {
    let key = key(Signal::Syn, remote, SERVER, port, 0);
    observe(pipeline, &key, 1, at(Duration::from_secs(second)), false);
}

/// Ends a poll and returns the count and the lower bound of each finding about the scanner.
fn of_scanner(pipeline: &mut Pipeline, second: u64) -> Vec<(u64, bool)> {
    let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
    findings
        .iter()
        .filter(|finding| finding.remote == Some(SCANNER))
        .map(|finding| (finding.count, finding.lower_bound))
        .collect()
}

/// The number of sources and groups in memory.
fn held(pipeline: &Pipeline) -> usize {
    pipeline.stream.held(None) + pipeline.stream.held_sources()
}

#[test]
fn a_flood_of_sources_does_not_evict_a_scanner() {
    let mut pipeline = ports(MIB);
    (1..=11).for_each(|port| hit(&mut pipeline, SCANNER, port, NOW));
    assert_eq!(of_scanner(&mut pipeline, NOW), []);
    let sources = 100_000;
    for number in 0..sources {
        let second = NOW + u64::from(number / 10_000);
        hit(&mut pipeline, source(number), 80, second);
        if number % 10_000 == 9_999 {
            assert_eq!(of_scanner(&mut pipeline, second), []);
        }
    }
    let EvictionStats { evicted, refused } = pipeline.take_eviction_stats();
    assert_eq!(evicted + held(&pipeline) as u64, u64::from(sources) + 1);
    assert_eq!(refused, 0);
    (12..=21).for_each(|port| hit(&mut pipeline, SCANNER, port, NOW + 60));
    assert_eq!(of_scanner(&mut pipeline, NOW + 60), [(21, false)]);
    // A source that appears after the flood may have been evicted during it.
    (1..=21).for_each(|port| hit(&mut pipeline, OTHER, port, NOW + 61));
    let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(NOW + 61)), false);
    let [other] = &findings[..] else {
        panic!("{findings:?}")
    };
    assert_eq!((other.count, other.lower_bound), (21, true));
}

#[test]
fn the_oldest_small_groups_go_and_suspicious_ones_by_chance() {
    // (ports of each source: at or over half the threshold; whether some of the oldest are kept)
    for (hits, is_kept) in [(10, false), (11, true)] {
        let mut pipeline = ports(MIB);
        // Each in a network of its own.
        let oldest = |number| Address::v4([198, 18, number, 1]);
        let hit_all = |pipeline: &mut Pipeline, ports: std::ops::RangeInclusive<u16>, second| {
            for number in 0..100 {
                let ports = ports.clone();
                ports.for_each(|port| hit(pipeline, oldest(number), port, second));
            }
        };
        hit_all(&mut pipeline, 1..=hits, NOW);
        of_scanner(&mut pipeline, NOW);
        for number in 0..10_000 {
            (1..=hits).for_each(|port| hit(&mut pipeline, source(number << 8), port, NOW + 1));
        }
        of_scanner(&mut pipeline, NOW + 1);
        let EvictionStats { evicted, refused } = pipeline.take_eviction_stats();
        assert_eq!((evicted > 100, refused), (true, 0), "{hits}: {evicted}");
        hit_all(&mut pipeline, hits + 1..=21, NOW + 2);
        let now = at(Duration::from_secs(NOW + 2));
        let reported = pipeline.end_poll_unlimited(now, false);
        let reported = reported.iter().filter(|finding| finding.count == 21);
        assert_eq!(reported.count() > 0, is_kept, "{hits}");
        // There is room for whoever comes next.
        (1..=21).for_each(|port| hit(&mut pipeline, SCANNER, port, NOW + 3));
        assert_eq!(of_scanner(&mut pipeline, NOW + 3), [(21, true)], "{hits}");
    }
}

#[test]
fn a_flood_that_one_rule_suspects_leaves_room_for_the_others() {
    let text = "// id: any\nDeviceNetworkEvents\n| summarize n = count() by RemoteIP\n| where n > 0;\n\n\
        // id: ports\nDeviceNetworkEvents\n| summarize n = dcount(LocalPort) by RemoteIP\n| where n > 20";
    let mut pipeline = pipeline_of(text, MIB);
    for number in 0..20_000 {
        hit(&mut pipeline, source(number), 80, NOW);
    }
    pipeline.end_poll_unlimited(at(Duration::from_secs(NOW)), false);
    let evictions = pipeline.take_eviction_stats();
    assert!(evictions.evicted > 10_000, "{evictions:?}");
    (1..=21).for_each(|port| hit(&mut pipeline, SCANNER, port, NOW + 1));
    let mut findings = pipeline.end_poll_unlimited(at(Duration::from_secs(NOW + 1)), false);
    findings.retain(|finding| finding.query.id() == "ports");
    let found = findings
        .iter()
        .map(|finding| (finding.remote, finding.count));
    assert_eq!(found.collect::<Vec<_>>(), [(Some(SCANNER), 21)]);
}

#[test]
fn a_million_groups_stay_within_the_budget() {
    const SOURCES: u32 = 1_000_000;
    let memory = 16 * MIB;
    let mut pipeline = Pipeline::new(PipelineSettings {
        memory,
        ..settings(plain(defaults(Profile::Source)))
    });
    let mut most = 0;
    for number in 0..SOURCES {
        let second = NOW + u64::from(number / 100_000);
        hit(&mut pipeline, source(number), 80, second);
        most = most.max(pipeline.stream.bytes());
        if number % 100_000 == 99_999 {
            pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
        }
    }
    assert!(most as u64 <= memory, "{most}");
    assert!(
        most as u64 > memory / 2,
        "{most}: the budget is hardly used"
    );
    let EvictionStats { evicted, refused } = pipeline.take_eviction_stats();
    // A source is a log of one row. Its network sends so many that it is promoted, and the rule on
    // networks has a group for it. The rule on the port has one.
    const OF_NETWORK: u32 = 256;
    let held_or_evicted = evicted + held(&pipeline) as u64;
    let expected = SOURCES + SOURCES.div_ceil(OF_NETWORK) + 1;
    assert_eq!((held_or_evicted, refused), (expected.into(), 0));
}

#[test]
fn members_count_towards_the_budget_and_missing_ones_are_reported() {
    let mut pipeline = ports(MIB);
    // Each source has over half the threshold, and many ports: more than there is room for.
    let mut scanners = 0;
    while pipeline.take_eviction_stats() == EvictionStats::default() {
        scanners += 1;
        assert!(scanners < 100, "no group was evicted");
        (0..20_000).for_each(|port| hit(&mut pipeline, source(scanners), port, NOW));
    }
    let total = pipeline.stream.bytes();
    assert!(total as u64 <= MIB, "{total}");
    let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(NOW)), false);
    assert!(findings.len() > 1);
    for finding in findings {
        assert_eq!(finding.lower_bound, finding.count < 20_000, "{finding:?}");
    }
}

#[test]
fn the_incidents_of_a_flood_stay_within_the_budget() {
    let memory = 2 * MIB;
    let mut pipeline = ports(memory);
    for number in 0..10_000 {
        (1..=21).for_each(|port| hit(&mut pipeline, source(number), port, NOW));
    }
    let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(NOW)), false);
    assert!(findings.len() > 500, "{}", findings.len());
    let total = pipeline.stream.bytes();
    assert!(total as u64 <= memory, "{total}");
    // What incidents take is reserved by their groups.
    let reserved = findings.len() * INCIDENT_BYTES;
    assert!(
        total > reserved,
        "{total} of which {reserved} for incidents"
    );
    assert_eq!(pipeline.stream.reserved(), reserved);
}

#[test]
fn a_reported_group_is_kept_though_its_count_falls() {
    const MINUTE: u64 = 60;
    let mut pipeline = ports(MIB);
    (1..=20).for_each(|port| hit(&mut pipeline, SCANNER, port, NOW));
    of_scanner(&mut pipeline, NOW);
    let crossed = NOW + 50 * MINUTE;
    hit(&mut pipeline, SCANNER, 21, crossed);
    assert_eq!(of_scanner(&mut pipeline, crossed), [(21, false)]);
    // A quarter of an hour later one port is left, and sources that send much to one port need
    // room for their groups.
    let flood = crossed + 15 * MINUTE;
    for second in flood..flood + 40 {
        (0..5_000).for_each(|number| hit(&mut pipeline, source(number), 80, second));
        assert_eq!(of_scanner(&mut pipeline, second), []);
    }
    assert!(pipeline.take_eviction_stats().evicted > 0);
    // It goes on, and does not begin again.
    (31..=50).for_each(|port| hit(&mut pipeline, SCANNER, port, flood + 60));
    assert_eq!(of_scanner(&mut pipeline, flood + 60), []);
}

/// Rules with every kind of state.
const ALL_KINDS: &str = "// id: a\nDeviceNetworkEvents\n| summarize n = count() by RemoteIP, LocalPort\n| where n > 4;\n
// id: b\n// window: 1m\nDeviceNetworkEvents\n| summarize n = dcount(LocalPort) by RemoteIP\n| where n > 8;\n
// id: c\nDeviceNetworkEvents\n| summarize n = dcount(RemoteIP) by LocalPort, x = strcat(ActionType, RemoteIP)\n| where n > 4;\n
// id: d\nDeviceNetworkEvents\n| summarize n = countif(LocalPort > 9), s = dcount(RemoteIP), t = make_set(RemoteIP), l = min(RemoteIP), m = arg_max(Count, RemoteIP) by LocalIP\n| where n > 6";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The accounted memory is the memory in use, as groups are added, expire, are reported,
    /// evicted and refused.
    #[test]
    fn accounted_memory_equals_memory_in_use(
        memory in prop::sample::select(vec![0, 1 << 16, 1 << 18, 1 << 19, MIB]),
        steps in prop::collection::vec((0_u64..1200, 0_u32..400, 1_u16..20, 1_u16..60), 1..120),
    ) {
        let mut pipeline = pipeline_of(ALL_KINDS, memory);
        let mut second = NOW;
        for (ahead, first, sources, ports) in steps {
            // Most polls have the time of the previous one.
            second += ahead.saturating_sub(1000);
            for number in first..first + u32::from(sources) {
                (1..=ports).for_each(|port| hit(&mut pipeline, source(number), port, second));
            }
            pipeline.end_poll_unlimited(at(Duration::from_secs(second)), false);
            pipeline.stream.check_accounting();
        }
    }
}
