//! Rows of many sources that they do not name, and estimates of how many there are.

use serde_json::json;

use super::*;
use crate::kql::Loader;
use crate::seed::seed;
use recon_common::Registers;

const NOW: u64 = 7200;
const SERVER: Address = Address::v4(LOCAL);

fn judge_of(text: &str) -> Pipeline {
    let loaded = Loader::default().load("test.kql", text.as_bytes());
    assert!(!loaded.plans.is_empty(), "{:?}", loaded.diagnostics);
    Pipeline::new(settings(plain(loaded.plans)))
}

/// What is seen of sources in one poll.
enum Seen {
    /// A row for each of that many, from the first.
    Named(u32, u32),
    /// One row with a sketch of them.
    Sketched(u32, u32),
    /// One row of so many events, of which nothing else is known.
    Counted(u64),
}

fn source(number: u32) -> Address {
    Address::v4((0x1400_0000 + number).to_be_bytes())
}

fn see(judge: &mut Pipeline, second: u64, seen: &Seen) {
    let interval = at(Duration::from_secs(second));
    let mut row = |remote, count, sources: Option<&Registers>| {
        let row = Row {
            key: RowKey::unpack(&key(Signal::Syn, remote, SERVER, 443, 0)).expect("a signal"),
            count,
            time: interval.to,
            device: "web1",
            process: None,
            is_scanner: false,
            sources,
        };
        judge.push(&row, interval);
    };
    match *seen {
        Seen::Named(first, count) => {
            (first..first + count).for_each(|number| row(source(number), 1, None));
        }
        Seen::Sketched(first, count) => {
            let mut registers = Registers::default();
            let hashes = (first..first + count).map(|number| source(number).hash(seed()));
            hashes.for_each(|hash| registers.add_source(hash));
            row(Address::UNSPECIFIED, count.into(), Some(&registers));
        }
        Seen::Counted(count) => row(Address::UNSPECIFIED, count, None),
    }
}

#[test]
fn sources_beside_a_measure_are_exact_while_few_and_estimated_then() {
    const ERROR: f64 = 3.0 * 0.0325;
    // (polls, SYNs, sources, exact, lower bound)
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
        let mut judge = judge_of(
            "DeviceNetworkEvents\n| summarize syns = countif(ActionType == 'SYN'), sources = dcount(RemoteIP) by LocalIP, LocalPort\n\
             | where syns > 10 and sources > 10",
        );
        for poll in &polls {
            see(&mut judge, NOW, poll);
        }
        let findings = judge.end_poll_unlimited(at(Duration::from_secs(NOW)), false);
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
fn sources_that_are_the_measure_are_exact_and_those_without_a_name_leave_a_lower_bound() {
    // (polls, sources, lower bound)
    for (polls, count, lower_bound) in [
        (vec![Seen::Named(0, 20_000)], 20_000, false),
        (
            vec![Seen::Named(0, 30), Seen::Sketched(0, 20_000)],
            30,
            true,
        ),
        (vec![Seen::Named(0, 30), Seen::Counted(9)], 30, true),
    ] {
        let mut judge = judge_of(
            "DeviceNetworkEvents\n| summarize n = dcount(RemoteIP) by LocalPort\n| where n > 10",
        );
        for poll in &polls {
            see(&mut judge, NOW, poll);
        }
        let findings = judge.end_poll_unlimited(at(Duration::from_secs(NOW)), false);
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.count, finding.lower_bound))
            .collect();
        assert_eq!(found, [(count, lower_bound)]);
    }
}

#[test]
fn no_group_of_a_remote_counts_rows_without_one() {
    for by in ["RemoteIP", "RemoteIP, LocalPort"] {
        let mut judge = judge_of(&format!(
            "DeviceNetworkEvents\n| summarize n = count() by {by}\n| where n > 0"
        ));
        see(&mut judge, NOW, &Seen::Sketched(0, 100));
        see(&mut judge, NOW, &Seen::Counted(100));
        assert!(
            judge
                .end_poll_unlimited(at(Duration::from_secs(NOW)), false)
                .is_empty(),
            "{by}"
        );
    }
}
