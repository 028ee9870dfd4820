//! The built-in rules at their thresholds, without a kernel: rows in, findings out, the clock
//! passed in.

mod after;
mod ends;
mod fair;
mod flood;
mod floods;
mod interfaces;
mod logins;
mod nursery;
mod outcomes;
mod pressure;
mod processes;
mod queries;
mod sources;
mod split;
mod spread;
mod state;
mod strays;
mod tools;
mod unnamed;

use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::incident::{DEFAULT_QUIET, Finding, Phase};
use crate::kql::{Loader, Plan};
use crate::row::RowKey;
use crate::rule::{Profile, defaults};
use crate::stream::{DEFAULT_MEMORY, KeyColumn, Measure};
use recon_common::{Address, Key};

const REMOTE: Address = Address::v4([198, 51, 100, 7]);
const OTHER: Address = Address::v4([198, 51, 100, 8]);
const PRIVATE: Address = Address::v4([10, 0, 0, 9]);
const LOCAL: [u8; 4] = [203, 0, 113, 1];
const PROCESS: u32 = 4000;

/// The built-in rules.
static BUILT_IN: LazyLock<Vec<Query>> = LazyLock::new(|| {
    plain(defaults(Profile::Source))
        .into_iter()
        .map(Query::new)
        .collect()
});

fn plain(plans: Vec<Plan>) -> Vec<Configured> {
    plans.into_iter().map(Configured::plain).collect()
}

fn observe(pipeline: &mut Pipeline, key: &Key, count: u64, interval: Interval, is_scanner: bool) {
    pipeline.push(
        &Row {
            device: "web1",
            is_scanner,
            ..Row::bare(RowKey::unpack(key).expect("a signal"), count, interval.to)
        },
        interval,
    );
}

/// Settings under which all `rules` are in force and private remotes do not count.
fn settings(rules: Vec<Configured>) -> PipelineSettings {
    PipelineSettings {
        rules,
        min_severity: Severity::Informational,
        include_private: false,
        local_networks: Vec::new(),
        ignored: SignalSet::default(),
        memory: DEFAULT_MEMORY,
        quiet: DEFAULT_QUIET,
        lines: LineLimit::default(),
        labels: Labels::default(),
    }
}

/// A pipeline with the rules of a file and a memory budget.
fn pipeline_of(text: &str, memory: u64) -> Pipeline {
    let loaded = Loader::default().load("test.kql", text.as_bytes());
    assert!(!loaded.plans.is_empty(), "{:?}", loaded.diagnostics);
    Pipeline::new(PipelineSettings {
        memory,
        ..settings(plain(loaded.plans))
    })
}

fn built_in_pipeline(include_private: bool) -> Pipeline {
    Pipeline::new(PipelineSettings {
        include_private,
        ..settings(plain(defaults(Profile::Source)))
    })
}

fn at(time: Duration) -> Interval {
    let to = Timestamp::UNIX_EPOCH + time;
    Interval {
        from: to - Duration::from_secs(1),
        to,
    }
}

fn key(signal: Signal, remote: Address, local: Address, port: u16, process: u32) -> Key {
    Key {
        remote,
        local,
        detail: process,
        port,
        signal: signal as u8,
        tool: 0,
    }
}

/// The `number`th event from or to `remote` that `rule` measures. If the rule measures remotes,
/// they are neighbours of `remote`, and each has a process of its own.
fn event(rule: &Query, remote: Address, number: u64) -> Key {
    let number = number as u16;
    let signal = rule
        .filter
        .signals
        .iter()
        .next()
        .expect("every rule has signals");
    let near = |word: u32| Address::v4((u32::from_be(word) + u32::from(number)).to_be_bytes());
    let word = remote.to_v4().expect("IPv4");
    let [.., last] = word.to_ne_bytes();
    let [a, b, c, d] = LOCAL;
    let (local, neighbour) = match rule.measure {
        Measure::DistinctAddresses => (Address::v4([a, b, c, d + number as u8]), remote),
        Measure::DistinctRemotes => (Address::v4(LOCAL), near(word)),
        _ => (Address::v4(LOCAL), remote),
    };
    let port = match (&rule.filter.ports[..], rule.measure) {
        ([port, ..], _) => *port,
        (_, Measure::DistinctPorts) => 1000 + number,
        _ if matches!(signal, Signal::EchoRequest | Signal::EchoSent) => 0,
        _ => 53,
    };
    let process = match signal.is_outbound() {
        true => PROCESS + u32::from(last),
        false => 0,
    };
    key(signal, neighbour, local, port, process)
}

/// The number of findings of `rule` for `events` events of each remote, all in one poll. Every
/// process is a scanning tool.
fn count_findings(
    pipeline: &mut Pipeline,
    rule: &Query,
    remotes: &[Address],
    events: u64,
    interval: Interval,
) -> usize {
    for &remote in remotes {
        for number in 0..events {
            observe(pipeline, &event(rule, remote, number), 1, interval, true);
        }
    }
    findings_of(&pipeline.end_poll_unlimited(interval, false), rule).count()
}

/// The findings of `rule`.
fn findings_of<'a>(findings: &'a [Finding], rule: &Query) -> impl Iterator<Item = &'a Finding> {
    findings
        .iter()
        .filter(move |finding| finding.query.plan().name == rule.plan().name)
}

/// The built-in rule with this id and measure.
fn rule(id: &str, measure: Measure) -> &'static Query {
    BUILT_IN
        .iter()
        .find(|rule| rule.id() == id && rule.measure == measure)
        .expect("a built-in rule")
}

#[test]
fn the_threshold_is_silent_and_one_more_is_reported() {
    let now = at(Duration::from_secs(7200));
    // Rules that follow another rule, and rules on several sources, have tests of their own:
    // `after`, `split` and `floods`.
    let has_one_source = |rule: &&Query| {
        rule.after().is_empty() && (rule.key.has(KeyColumn::Remote) || rule.key.has(KeyColumn::Pid))
    };
    for rule in BUILT_IN.iter().filter(has_one_source) {
        let n = rule.threshold();
        let private = usize::from(!rule.filter.only_public);
        // (remotes, events of each, include private, findings)
        for (remotes, events, include_private, expected) in [
            (&[REMOTE][..], n, false, 0),
            (&[REMOTE, OTHER], n, false, 0),
            (&[REMOTE], n + 1, false, 1),
            (&[REMOTE, OTHER], n + 1, false, 2),
            (&[PRIVATE], n + 1, false, private),
            (&[PRIVATE], n + 1, true, 1),
        ] {
            let mut pipeline = built_in_pipeline(include_private);
            let found = count_findings(&mut pipeline, rule, remotes, events, now);
            assert_eq!(
                found,
                expected,
                "{} {:?}, {events} events of {remotes:?}",
                rule.id(),
                rule.measure
            );
        }
    }
}

#[test]
fn a_scan_is_reported_when_it_begins_and_with_its_exact_count_when_it_ends() {
    /// All but port 0.
    const PORTS: u16 = u16::MAX;
    let rule = &BUILT_IN[0];
    let mut pipeline = built_in_pipeline(false);
    let mut hit = 0;
    // (second, ports hit by then, phase and count of the finding)
    for (second, ports, expected) in [
        (0, 20, None),
        (1, 15_000, Some((Phase::Began, 15_000))),
        (2, 40_000, None),
        (3, PORTS, None),
        (602, PORTS, None),
        (603, PORTS, Some((Phase::Ended, 65_535))),
        (604, PORTS, None),
    ] {
        let now = at(Duration::from_secs(7200 + second));
        for port in hit..ports {
            let key = Key {
                port: port + 1,
                ..event(rule, REMOTE, 0)
            };
            observe(&mut pipeline, &key, 1, now, false);
        }
        hit = ports;
        let findings = pipeline.end_poll_unlimited(now, false);
        let found = findings_of(&findings, rule).next();
        assert_eq!(
            found.map(|finding| (finding.phase, finding.count)),
            expected,
            "at {second} s"
        );
        if let Some(Finding {
            phase: Phase::Ended,
            at,
            end,
            ..
        }) = found
        {
            assert_eq!(at.duration_since(*end).as_secs(), 600, "since the last hit");
        }
    }
}

#[test]
fn windows_slide_over_the_hour() {
    for rule in BUILT_IN
        .iter()
        .filter(|rule| rule.measure == Measure::Count && rule.threshold() > 0)
    {
        let half = rule.threshold() / 2 + 1;
        // (share of the window after which the second half comes, findings)
        for (share, expected) in [(0.9, 1), (1.1, 0)] {
            let mut pipeline = built_in_pipeline(false);
            // The two halves straddle the edge of a fixed bin.
            let start = Duration::from_secs(7200) - rule.window() / 2;
            assert_eq!(
                count_findings(&mut pipeline, rule, &[REMOTE], half, at(start)),
                0,
                "{}",
                rule.id()
            );
            let later = at(start + rule.window().mul_f64(share));
            assert_eq!(
                count_findings(&mut pipeline, rule, &[REMOTE], half, later),
                expected,
                "{} after {share}",
                rule.id()
            );
        }
    }
}

#[test]
fn a_finding_describes_what_was_seen() {
    let rule = &BUILT_IN[0];
    let mut pipeline = built_in_pipeline(false);
    for number in 0..30 {
        let now = at(Duration::from_secs(7200));
        observe(&mut pipeline, &event(rule, REMOTE, number), 2, now, false);
    }
    let findings = pipeline.end_poll_unlimited(at(Duration::from_secs(7200)), true);
    let finding = findings_of(&findings, rule).next().expect("30 ports");
    assert_eq!(
        (finding.count, finding.remote, finding.port),
        (30, Some(REMOTE), None)
    );
    assert_eq!(finding.local, Some(Address::v4(LOCAL)));
    assert_eq!(finding.ports, (1000..1016).collect::<Vec<u16>>());
    assert!(finding.lower_bound, "the kernel lost events");
    assert!(finding.start < finding.end);
}

#[test]
fn ignored_signals_and_lower_severities_are_not_reported() {
    let mut ignored = SignalSet::default();
    ignored.insert(Signal::Syn);
    let settings = |min_severity, ignored| PipelineSettings {
        min_severity,
        ignored,
        ..settings(plain(defaults(Profile::Source)))
    };
    let now = at(Duration::from_secs(7200));
    let count = |settings, rule, signal| {
        let mut pipeline = Pipeline::new(settings);
        for number in 0..99 {
            let mut key = event(rule, REMOTE, number);
            key.signal = signal as u8;
            observe(&mut pipeline, &key, 1, now, true);
        }
        findings_of(&pipeline.end_poll_unlimited(now, false), rule).count()
    };
    let rule = &BUILT_IN[0];
    for (signal, expected) in [(Signal::Syn, 0), (Signal::Datagram, 1)] {
        let settings = settings(Severity::Informational, ignored);
        assert_eq!(count(settings, rule, signal), expected, "{signal:?}");
    }
    // (rule of that severity, findings from each severity on)
    use Severity::{High, Informational, Low, Medium};
    let rapid_scan = self::rule("rapid-scan", Measure::Count);
    let smb_scan = self::rule("smb-scan", Measure::Count);
    for (rule, expected) in [
        (&BUILT_IN[1], [1, 0, 0, 0]),
        (rapid_scan, [1, 1, 0, 0]),
        (smb_scan, [1, 1, 1, 0]),
        (rule, [1, 1, 1, 1]),
    ] {
        let found = [Informational, Low, Medium, High]
            .map(|least| count(settings(least, SignalSet::default()), rule, Signal::Syn));
        assert_eq!(found, expected, "{} {:?}", rule.id(), rule.severity());
    }
}
