//! What a scraper reads: names, sums, and what the documentation and the files for Grafana and
//! Prometheus say of them. `RECON_WRITE_DOCS=1` rewrites docs/metrics.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use recon_common::{Direction, FrameClass, Ignored, Loss, Signal};

use super::*;
use crate::blind::BlindPart;
use crate::hook::{HookCount, ProgramRuns};
use crate::incident::Phase;
use crate::metrics::own::OwnUsage;
use crate::metrics::{LineCounts, LineKind, Published, SinkCounts, Snapshot};

impl Family {
    /// The name that `# TYPE` of OpenMetrics has.
    fn full_name(&self) -> String {
        let unit = self
            .unit
            .map_or_else(String::new, |unit| format!("_{}", unit.name()));
        format!("{PREFIX}_{}{unit}", self.name)
    }

    /// The name of its samples. A histogram's have further endings.
    fn sample_name(&self) -> String {
        self.full_name() + self.kind.suffix()
    }
}

/// A snapshot in which everything has happened.
fn snapshot() -> Snapshot {
    let mut lines = LineCounts::default();
    lines.add_line("port-scan", LineKind::Phase(Phase::Began));
    lines.add_line("port-scan", LineKind::Phase(Phase::Began));
    lines.add_line("a \"quoted\" id\\", LineKind::LeftOut);
    lines.add_digest();
    let mut snapshot = Snapshot {
        polls: 9,
        drained_at: Some(Timestamp::UNIX_EPOCH + Duration::from_millis(1500)),
        lines: Arc::new(lines),
        sinks: vec![SinkCounts {
            name: "stdout".to_owned(),
            queued: 1,
            written: 2,
            dropped: 3,
        }],
        blind: vec![
            BlindPart::Table,
            BlindPart::Interface("eth8".to_owned()),
            BlindPart::Interface("eth9".to_owned()),
            BlindPart::Hook("eth9".to_owned(), "XDP"),
        ],
        blind_began: BTreeMap::from([("table", 4)]),
        hooks: vec![HookCount {
            name: "tcx_egress",
            attached: 2,
            missing: 1,
        }],
        programs: [("recon_xdp", 5), ("recon_exec", 0)]
            .map(|(name, runs)| ProgramRuns {
                name: name.to_owned(),
                runs,
                time: Duration::from_millis(runs),
            })
            .into(),
        ..Snapshot::default()
    };
    snapshot.durations.add(Duration::from_millis(3));
    let tally = &mut snapshot.tally;
    for (direction, class, frames) in [
        (Direction::In, FrameClass::Signal, 10),
        (Direction::In, FrameClass::Ignored(Ignored::NotIp), 3),
        (Direction::Out, FrameClass::Lost(Loss::TooDeep), 5),
    ] {
        tally.add_frames(direction, class, frames);
    }
    tally.lost[Loss::TableFull as usize] = 1;
    for (signal, count) in [(Signal::DnsQueryUdp, 2), (Signal::DnsQueryTcp, 3)] {
        tally.by_signal.add_signals(signal, count);
        tally.keys += 1;
    }
    snapshot
}

/// The snapshot as text.
fn text(format: Format) -> String {
    let published = Published::new(Duration::from_secs(1));
    let scrape = Scrape {
        snapshot: &snapshot(),
        published: &published,
        own: OwnUsage {
            cpu: Some(Duration::from_millis(250)),
            resident: Some(4096),
        },
    };
    write_text(&scrape, format).expect("text")
}

#[test]
fn samples_have_their_names_and_labels() {
    let [open, plain] = Format::ALL.map(text);
    for (is_in_both, line) in [
        (true, "recon_polls_total 9"),
        (true, "recon_last_poll_timestamp_seconds 1.5"),
        (true, "recon_poll_interval_seconds 1.0"),
        (true, "recon_poll_duration_seconds_bucket{le=\"0.0025\"} 0"),
        (true, "recon_poll_duration_seconds_bucket{le=\"0.005\"} 1"),
        (true, "recon_poll_duration_seconds_bucket{le=\"+Inf\"} 1"),
        (true, "recon_poll_duration_seconds_count 1"),
        (
            true,
            "recon_frames_total{direction=\"in\",class=\"signal\",kind=\"signal\"} 10",
        ),
        (
            true,
            "recon_frames_total{direction=\"in\",class=\"ignored\",kind=\"not_ip\"} 3",
        ),
        (
            true,
            "recon_frames_total{direction=\"out\",class=\"lost\",kind=\"too_deep\"} 5",
        ),
        (true, "recon_losses_total{reason=\"too_deep\"} 5"),
        (true, "recon_losses_total{reason=\"table_full\"} 1"),
        (true, "recon_signals_total{kind=\"dns-query\"} 5"),
        (true, "recon_signals_total{kind=\"syn\"} 0"),
        (true, "recon_drained_rows_total 2"),
        (true, "recon_verdicts_total{verdict=\"scanner\"} 0"),
        (
            true,
            "recon_alerts_total{rule=\"port-scan\",phase=\"began\"} 2",
        ),
        (
            true,
            "recon_alerts_total{rule=\"port-scan\",phase=\"ended\"} 0",
        ),
        (
            true,
            "recon_alerts_total{rule=\"a \\\"quoted\\\" id\\\\\",phase=\"left_out\"} 1",
        ),
        (true, "recon_digests_total 1"),
        (true, "recon_sink_queued_lines{sink=\"stdout\"} 1"),
        (true, "recon_sink_written_lines_total{sink=\"stdout\"} 2"),
        (true, "recon_sink_dropped_lines_total{sink=\"stdout\"} 3"),
        (true, "recon_blind{part=\"table\"} 1"),
        (true, "recon_blind{part=\"interface\"} 2"),
        (true, "recon_blind{part=\"signals\"} 0"),
        (true, "recon_tampered{part=\"hook\"} 1"),
        (true, "recon_tampered{part=\"pins\"} 0"),
        (true, "recon_blind_reports_total{part=\"table\"} 4"),
        (true, "recon_hooks{hook=\"tcx_egress\"} 2"),
        (true, "recon_missing_hooks{hook=\"tcx_egress\"} 1"),
        (true, "recon_program_runs_total{program=\"recon_xdp\"} 5"),
        (
            true,
            "recon_program_run_seconds_total{program=\"recon_xdp\"} 0.005",
        ),
        (true, "recon_cpu_seconds_total 0.25"),
        (true, "recon_resident_memory_bytes 4096"),
        (false, "# TYPE recon_polls counter"),
        (false, "# TYPE recon_build info"),
        (false, "# UNIT recon_cpu_seconds seconds"),
        (false, "# EOF"),
    ] {
        let has = |text: &str| text.lines().any(|found| found == line);
        assert!(has(&open), "no {line} in {open}");
        assert_eq!(has(&plain), is_in_both, "{line} in {plain}");
    }
    for line in [
        "# TYPE recon_polls_total counter",
        "# HELP recon_polls_total Polls, including failed ones",
        "# TYPE recon_build_info gauge",
        "# TYPE recon_poll_duration_seconds histogram",
    ] {
        assert!(
            plain.lines().any(|found| found == line),
            "no {line} in {plain}"
        );
    }
    assert!(open.ends_with("# EOF\n"));
    let never = "program=\"recon_exec\"";
    assert!(
        !open.contains(never),
        "a program that nobody has counted: {open}"
    );
    let build = format!("recon_build_info{{version=\"{}", env!("CARGO_PKG_VERSION"));
    assert!(open.contains(&build), "{open}");
}

/// Names and texts that `promtool check metrics` and the format accept.
#[test]
fn names_are_those_of_the_conventions() {
    let mut names = BTreeSet::new();
    for family in FAMILIES {
        let name = family.full_name();
        assert!(names.insert(name.clone()), "{name} twice");
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        assert!(name.chars().all(is_plain), "{name}");
        for ending in [
            "_total", "_count", "_sum", "_bucket", "_info", "_counter", "_gauge",
        ] {
            assert!(!name.ends_with(ending), "{name}");
        }
        let help = family.help;
        assert!(!help.contains(['"', '\\', '\n', '|']), "{name}: {help}");
        assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help}");
        for label in family.labels {
            assert!(label.chars().all(is_plain), "{name}: {label}");
        }
    }
}

/// Label values are built-in names, the ids of the operator's rules and the names of the operator's
/// sinks: a new label needs the same.
#[test]
fn labels_are_the_reviewed_ones() {
    let labels: BTreeSet<_> = FAMILIES.iter().flat_map(|family| family.labels).collect();
    let known = [
        "class",
        "direction",
        "hook",
        "kind",
        "outcome",
        "part",
        "phase",
        "program",
        "reason",
        "rule",
        "sink",
        "verdict",
        "version",
    ];
    assert_eq!(labels, known.iter().collect());
}

#[test]
fn the_header_accept_decides_on_the_format() {
    use Format::{OpenMetrics, Plain};
    for (accept, expected) in [
        (None, OpenMetrics),
        (Some(""), OpenMetrics),
        (Some("*/*"), OpenMetrics),
        (Some("text/plain"), Plain),
        (Some("text/plain;version=0.0.4"), Plain),
        (Some("TEXT/PLAIN; q=0.5"), Plain),
        (Some("application/openmetrics-text"), OpenMetrics),
        (
            Some("text/plain;q=0.4, application/openmetrics-text;q=0.5"),
            OpenMetrics,
        ),
        (
            Some("text/plain;q=0.6,application/openmetrics-text;q=0.5"),
            Plain,
        ),
        (Some("text/plain;q=0"), OpenMetrics),
        (Some("text/plain;q=many"), OpenMetrics),
        // Prometheus 2.42 and 3.
        (
            Some(
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ),
            OpenMetrics,
        ),
    ] {
        assert_eq!(Format::accepted_by(accept), expected, "{accept:?}");
    }
}

/// The lines before and after the generated table.
const BEGIN: &str =
    "<!-- from src/metrics/families.rs: RECON_WRITE_DOCS=1 cargo test -p recon-user docs -->\n";
const END: &str = "<!-- end -->\n";

/// The names, types, labels and meanings of what a scrape has, as the documentation shows them.
fn table() -> String {
    let text = text(Format::OpenMetrics);
    let mut rows = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    let [mut name, mut help] = ["", ""];
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", named, ..] => {
                name = named;
                help = &line[line.find(named).expect("a name") + named.len() + 1..];
            }
            ["#", "TYPE", typed, kind] => {
                assert_eq!(typed, name, "{line}");
                let family = FAMILIES.iter().find(|family| family.full_name() == name);
                let family = family.expect("a family");
                let labels: Vec<_> = family
                    .labels
                    .iter()
                    .map(|label| format!("`{label}`"))
                    .collect();
                rows += &format!(
                    "| `{}` | {kind} | {} | {help} |\n",
                    family.sample_name(),
                    labels.join(", ")
                );
            }
            _ => {}
        }
    }
    rows
}

/// The page has each metric that a scrape has, and no other.
#[test]
fn the_docs_have_the_metrics_of_a_scrape() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the table");
    let (found, after) = rest.split_once(END).expect("the end of the table");
    let expected = table();
    if std::env::var_os("RECON_WRITE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{expected}{END}{after}");
        return fs::write(&path, page).expect("the page can be written");
    }
    assert_eq!(found, expected, "run this test with RECON_WRITE_DOCS=1");
    // Text outside of the table names no metric that is not there.
    let names = sample_names();
    for word in words(before).chain(words(after)) {
        assert!(names.contains(word), "{word}");
    }
}

/// The names of all samples.
fn sample_names() -> BTreeSet<String> {
    let endings = |family: &Family| match family.kind {
        Kind::Histogram => vec!["_bucket", "_sum", "_count"],
        kind => vec![kind.suffix()],
    };
    let names = FAMILIES.iter().flat_map(|family| {
        let endings = endings(family).into_iter();
        endings
            .map(|ending| family.full_name() + ending)
            .collect::<Vec<_>>()
    });
    names.collect()
}

/// The words of a text that are names of metrics.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("recon_"))
}

/// The files for Grafana and Prometheus read metrics that are there, and each alert has what an
/// operator needs.
#[test]
fn the_installed_files_read_metrics_that_are_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("package/metrics");
    let names = sample_names();
    let read = |file: &str| fs::read_to_string(folder.join(file)).expect(file);
    let (rules, dashboard) = (read("recon-alerts.yml"), read("recon-dashboard.json"));
    for text in [&rules, &dashboard] {
        let found: BTreeSet<_> = words(text).collect();
        assert!(found.len() > 8, "{found:?}");
        for word in found {
            assert!(names.contains(word), "{word}");
        }
    }
    // Each part that somebody can tamper with, and no other.
    let parts = BlindPart::NAMES.iter();
    let parts: Vec<_> = parts
        .filter_map(|&(name, tampers)| tampers.then_some(name))
        .collect();
    let parts = format!("recon_blind_reports_total{{part=~\"{}\"}}", parts.join("|"));
    assert!(rules.contains(&parts), "{parts}");
    let alerts = rules.matches("- alert:").count();
    for part in ["expr:", "for:", "severity:", "summary:", "description:"] {
        assert_eq!(rules.matches(part).count(), alerts, "{part}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "an id twice");
}
