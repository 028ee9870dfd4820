//! Rows that aggregate many sources, and estimates of the number of sources.

use serde_json::json;

use super::*;
use crate::seed::hash_secrets;
use recon_common::Registers;

const NOW: u64 = 7200;
const SERVER: Address = Address::v4(LOCAL);

fn pipeline_of(text: &str) -> Pipeline {
    let loaded = Loader::default().load("test.kql", text.as_bytes());
    assert!(!loaded.plans.is_empty(), "{:?}", loaded.diagnostics);
    Pipeline::new(settings(plain(loaded.plans)))
}

/// The rows of sources in one poll.
enum Seen {
    /// One row for each source: the first source, and how many.
    Named(u32, u32),
    /// One row with a sketch of the sources: the first source, and how many.
    Sketched(u32, u32),
    /// One row with a number of events, and no sketch.
    Counted(u64),
}

fn source(number: u32) -> Address {
    Address::v4((0x1400_0000 + number).to_be_bytes())
}

fn push_rows(pipeline: &mut Pipeline, second: u64, seen: &Seen) {
    let interval = at(Duration::from_secs(second));
    let mut row = |remote, count, sources: Option<&Registers>| {
        let row = Row {
            device: "web1",
            sources,
            ..Row::bare(
                RowKey::unpack(&key(Signal::Syn, remote, SERVER, 443, 0)).expect("a signal"),
                count,
                interval.to,
            )
        };
        pipeline.push(&row, interval);
    };
    match *seen {
        Seen::Named(first, count) => {
            (first..first + count).for_each(|number| row(source(number), 1, None));
        }
        Seen::Sketched(first, count) => {
            let mut registers = Registers::default();
            let hashes = (first..first + count).map(|number| source(number).hash(hash_secrets()));
            hashes.for_each(|hash| registers.add_source(hash));
            row(Address::UNSPECIFIED, count.into(), Some(&registers));
        }
        Seen::Counted(count) => row(Address::UNSPECIFIED, count, None),
    }
}

#[test]
fn a_second_aggregate_counts_few_sources_exactly_and_estimates_many() {
    const ERROR: f64 = 3.0 * 0.0325;
    // (rows, SYNs, sources, whether their number is exact, whether the count is a lower bound)
    for (polls, count, sources, is_exact, lower_bound) in [
        (vec![Seen::Named(0, 100)], 100, 100, true, false),
        (
            vec![Seen::Named(0, 100), Seen::Named(50, 50)],
            150,
            100,
            true,
            false,
        ),
        (vec![Seen::Named(0, 50_000)], 50_000, 50_000, false, false),
        (
            vec![Seen::Sketched(0, 50_000)],
            50_000,
            50_000,
            false,
            false,
        ),
        (
            vec![Seen::Named(0, 20_000), Seen::Sketched(10_000, 20_000)],
            40_000,
            30_000,
            false,
            false,
        ),
        (
            vec![Seen::Named(0, 30), Seen::Counted(1_000)],
            1_030,
            30,
            true,
            true,
        ),
    ] {
        let mut pipeline = pipeline_of(
            "DeviceNetworkEvents\n| summarize syns = countif(ActionType == 'SYN'), sources = dcount(RemoteIP) by LocalIP, LocalPort\n\
             | where syns > 10 and sources > 10",
        );
        for poll in &polls {
            push_rows(&mut pipeline, NOW, poll);
        }
        let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(NOW)), false);
        let [finding] = &findings[..] else {
            panic!("{findings:?}")
        };
        assert_eq!((finding.count, finding.lower_bound), (count, lower_bound));
        assert!(!finding.remotes.contains(&Address::UNSPECIFIED));
        let shown = finding
            .columns
            .iter()
            .find(|(name, _)| &**name == "sources");
        let shown = json!(shown.expect("a column").1)
            .as_f64()
            .expect("a number");
        let off = (shown - f64::from(sources)).abs();
        let allowed = if is_exact {
            0.0
        } else {
            ERROR * f64::from(sources)
        };
        assert!(off <= allowed, "{shown} of {sources}");
    }
}

#[test]
fn a_measure_of_sources_is_exact_and_a_lower_bound_with_aggregated_sources() {
    // (rows, sources, whether the count is a lower bound)
    for (polls, count, lower_bound) in [
        (vec![Seen::Named(0, 20_000)], 20_000, false),
        (
            vec![Seen::Named(0, 30), Seen::Sketched(0, 20_000)],
            30,
            true,
        ),
        (vec![Seen::Named(0, 30), Seen::Counted(9)], 30, true),
    ] {
        let mut pipeline = pipeline_of(
            "DeviceNetworkEvents\n| summarize n = dcount(RemoteIP) by LocalPort\n| where n > 10",
        );
        for poll in &polls {
            push_rows(&mut pipeline, NOW, poll);
        }
        let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(NOW)), false);
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.count, finding.lower_bound))
            .collect();
        assert_eq!(found, [(count, lower_bound)]);
    }
}

#[test]
fn groups_by_remote_do_not_count_rows_without_a_remote() {
    for by in ["RemoteIP", "RemoteIP, LocalPort"] {
        let mut pipeline = pipeline_of(&format!(
            "DeviceNetworkEvents\n| summarize n = count() by {by}\n| where n > 0"
        ));
        push_rows(&mut pipeline, NOW, &Seen::Sketched(0, 100));
        push_rows(&mut pipeline, NOW, &Seen::Counted(100));
        assert!(
            pipeline
                .end_poll_unlimited(at(Duration::from_secs(NOW)), false)
                .is_empty(),
            "{by}"
        );
    }
}
