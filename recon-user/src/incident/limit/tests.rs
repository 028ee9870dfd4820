//! Which findings are written, and what is reported about the suppressed ones.

use std::sync::atomic::{AtomicU64, Ordering};

use recon_common::{Address, Signal};
use serde_json::{Value, json};

use super::*;
use crate::alert::AlertLines;
use crate::alert::tests::{finding, parsed};
use crate::incident::Phase;
use crate::stable_hash::StableHash;

mod shares;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("in range")
}

fn limiter(lines: Option<u64>) -> LineLimiter {
    LineLimiter::new(LineLimit {
        lines,
        per: Duration::from_secs(60),
        informational_per_hour: Some(1),
    })
}

/// A finding like another, about an incident of its own.
fn another(of: &Finding, count: u64) -> Finding {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Finding {
        query: Arc::clone(&of.query),
        incident: StableHash::EMPTY.with(&number.to_be_bytes()),
        count,
        ..of.clone()
    }
}

/// Findings of one rule with these counts.
fn findings(of: &Finding, counts: &[u64]) -> Vec<Finding> {
    counts.iter().map(|&count| another(of, count)).collect()
}

/// Gives each finding a source in a network of its own.
fn apart(mut findings: Vec<Finding>) -> Vec<Finding> {
    for (number, finding) in findings.iter_mut().enumerate() {
        finding.remote = Some(spread(number));
    }
    findings
}

fn spread(number: usize) -> Address {
    Address::v4([198, 18, number as u8, 1])
}

/// The counts that are written, and how many findings each line says were suppressed.
fn counts(written: &[Notification]) -> Vec<(u64, Option<u64>)> {
    let count = |line: &Notification| match line {
        Notification::Found(finding) => (finding.count, None),
        Notification::Suppressed { first, suppressed } => (first.count, Some(suppressed.count)),
        Notification::Digest(digest) => panic!("{digest:?}"),
    };
    written.iter().map(count).collect()
}

fn plain(counts: &[u64]) -> Vec<(u64, Option<u64>)> {
    counts.iter().map(|&count| (count, None)).collect()
}

#[test]
fn the_greatest_findings_are_written_in_their_order() {
    // (lines, counts of one poll, written counts, number and greatest of the suppressed)
    for (lines, found, written, suppressed) in [
        (Some(3), &[][..], &[][..], None),
        (Some(3), &[21, 22, 23], &[21, 22, 23], None),
        (Some(3), &[21, 22, 23, 24], &[22, 23, 24], Some((1, 21))),
        (
            Some(3),
            &[30, 21, 1000, 22, 25],
            &[30, 1000, 25],
            Some((2, 22)),
        ),
        (Some(3), &[21, 21, 21, 21], &[21, 21, 21], Some((1, 21))),
        (Some(1), &[21, 22], &[22], Some((1, 21))),
        (None, &[21, 22, 23, 24], &[21, 22, 23, 24], None),
    ] {
        let mut limiter = limiter(lines);
        let of = finding("port-scan", &[Signal::Syn]);
        let lines_written = limiter.limit_findings(findings(&of, found), at(0));
        assert_eq!(
            counts(&lines_written),
            plain(written),
            "{lines:?} {found:?}"
        );
        let ended = counts(&limiter.finish(at(1)));
        let expected = suppressed.map(|(count, greatest)| (greatest, Some(count)));
        assert_eq!(ended, Vec::from_iter(expected), "{lines:?} {found:?}");
        let total = suppressed.map_or(0, |(count, _)| count);
        assert_eq!(limiter.suppressed(), total, "{lines:?} {found:?}");
        assert!(limiter.finish(at(2)).is_empty(), "reported once");
    }
}

/// A finding by its verdict, whether the source is proven, and its count.
type Ranked = (Verdict, bool, u64);

fn ranked(of: &Finding, findings: &[Ranked]) -> Vec<Finding> {
    let finding = |&(verdict, is_proven, count): &Ranked| Finding {
        verdict,
        is_proven,
        ..another(of, count)
    };
    findings.iter().map(finding).collect()
}

#[test]
fn scanners_come_first_then_proven_sources_then_the_greatest() {
    use Verdict::{Client, Scanner, Undecided};
    // (lines, findings of one poll, written counts, number and count of the suppressed)
    for (lines, found, written, suppressed) in [
        (
            2,
            &[
                (Undecided, false, 900),
                (Client, true, 5_000),
                (Scanner, false, 21),
                (Scanner, false, 22),
            ][..],
            &[21, 22][..],
            Some((2, 900)),
        ),
        (
            2,
            &[
                (Undecided, false, 900),
                (Undecided, true, 21),
                (Undecided, false, 901),
            ],
            &[21, 901],
            Some((1, 900)),
        ),
        (
            1,
            &[
                (Client, true, 5_000),
                (Undecided, true, 900),
                (Scanner, true, 30),
                (Scanner, false, 90),
            ],
            &[30],
            Some((3, 90)),
        ),
        (
            3,
            &[
                (Scanner, false, 5),
                (Scanner, true, 1),
                (Client, true, 7),
                (Undecided, true, 3),
                (Scanner, true, 2),
            ],
            &[5, 1, 2],
            Some((2, 3)),
        ),
        // A quarter of 3 is none.
        (3, &[(Client, true, 21)], &[], Some((1, 21))),
        (4, &[(Client, true, 21)], &[21], None),
        (
            4,
            &[(Client, true, 21), (Client, true, 22)],
            &[22],
            Some((1, 21)),
        ),
    ] {
        let mut limiter = limiter(Some(lines));
        let of = finding("port-scan", &[Signal::Syn]);
        let found = ranked(&of, found);
        let lines_written = limiter.limit_findings(found, at(0));
        assert_eq!(counts(&lines_written), plain(written), "{lines}");
        let ended = counts(&limiter.finish(at(1)));
        let expected = suppressed.map(|(count, first)| (first, Some(count)));
        assert_eq!(ended, Vec::from_iter(expected), "{lines}");
    }
}

#[test]
fn clients_leave_lines_to_scanners_that_come_later() {
    use Verdict::{Client, Scanner, Undecided};
    let mut limiter = limiter(Some(20));
    let of = finding("port-scan", &[Signal::Syn]);
    // (second, findings, how many are written)
    for (second, found, written) in [
        (0, vec![(Client, true, 1_000); 3], 3),
        (1, vec![(Client, true, 1_000); 3], 2),
        (2, vec![(Client, true, 1_000)], 0),
        (3, vec![(Undecided, false, 21); 10], 10),
        // A quarter of the lines is for those who come later.
        (4, vec![(Scanner, false, 21); 6], 0),
        (10, vec![], 1),
        (49, vec![], 3),
        // What is left, the line about the suppressed, and the next period's five.
        (60, vec![(Client, true, 1_000); 6], 1 + 1 + 5),
    ] {
        let lines = limiter.limit_findings(apart(ranked(&of, &found)), at(second));
        assert_eq!(lines.len(), written, "at {second} s");
    }
    let unlimited = vec![(Client, true, 1_000); 30];
    let mut limiter = self::limiter(None);
    let lines = limiter.limit_findings(apart(ranked(&of, &unlimited)), at(0));
    assert_eq!(lines.len(), 30);
}

#[test]
fn default_limits_are_twenty_a_minute() {
    for (found, suppressed) in [(20, 0), (21, 1)] {
        let mut limiter = LineLimiter::new(LineLimit::default());
        let of = finding("port-scan", &[Signal::Syn]);
        let found = apart(findings(&of, &vec![21; found]));
        let written = limiter.limit_findings(found, at(0)).len();
        // A quarter is released later.
        assert_eq!((written, limiter.suppressed()), (15, 0));
        let late = limiter.finish(at(59)).len();
        assert_eq!(
            (late as u64, limiter.suppressed()),
            (5 + suppressed, suppressed)
        );
    }
}

#[test]
fn a_period_begins_with_the_first_line_and_ends_with_the_suppressed() {
    let mut limiter = limiter(Some(2));
    let of = finding("port-scan", &[Signal::Syn]);
    // (second, counts, written counts, each with the number of suppressed findings)
    for (second, found, expected) in [
        (5, &[21][..], plain(&[21])),
        (6, &[22, 90], plain(&[90])),
        // The ends of incidents are limited too.
        (30, &[99], vec![]),
        (64, &[30], vec![]),
        (
            65,
            &[23, 24, 25],
            vec![(99, Some(3)), (24, None), (25, None)],
        ),
        (124, &[], vec![]),
        (125, &[], vec![(23, Some(1))]),
        (300, &[26], plain(&[26])),
        // The clock is set back.
        (299, &[27, 28], plain(&[27, 28])),
    ] {
        let mut found = findings(&of, found);
        if second == 30 {
            found[0].phase = Phase::Ended;
        }
        let written = limiter.limit_findings(found, at(second));
        assert_eq!(counts(&written), expected, "at {second} s");
    }
}

#[test]
fn each_rule_has_its_own_limit() {
    let mut limiter = limiter(Some(2));
    let scan = finding("port-scan", &[Signal::Syn]);
    let flood = finding("syn-flood", &[Signal::Syn]);
    let mut found = findings(&scan, &[21, 22, 23]);
    found.extend(findings(&flood, &[501]));
    found.extend(findings(&scan, &[24]));
    let written = limiter.limit_findings(found, at(0));
    assert_eq!(counts(&written), plain(&[23, 501, 24]));
    let written = limiter.limit_findings(findings(&flood, &[502, 503]), at(1));
    assert_eq!(counts(&written), plain(&[503]));
    let ended = limiter.finish(at(2));
    let findings = ended.iter().filter_map(Notification::finding);
    let ids: Vec<_> = findings.map(|finding| finding.query.id()).collect();
    assert_eq!(ids, ["port-scan", "syn-flood"]);
    assert_eq!(counts(&ended), [(22, Some(2)), (502, Some(1))]);
}

#[test]
fn suppressed_findings_are_one_line_about_the_greatest() {
    let mut limiter = limiter(Some(1));
    let scan = finding("port-scan", &[Signal::Syn]);
    let mut found = findings(&scan, &[50, 21, 22]);
    found[1].remote = Some(spread(1));
    let greatest = found[2].clone();
    (found[1].start, found[1].end) = (at(-30), at(-20));
    limiter.limit_findings(found, at(0));
    let written = limiter.limit_findings(Vec::new(), at(60));
    let [suppressed] = &written[..] else {
        panic!("{written:?}")
    };
    let line = AlertLines::of("web1")
        .notification(suppressed, &[])
        .expect("plain data")
        .to_vec();
    let mut line: Value = serde_json::from_slice(&line).expect("JSON");
    let changed = [
        ("/@timestamp", json!("2023-11-14T22:14:20Z")),
        (
            "/message",
            json!(
                "port-scan: 2 more left out in 1m, the first of them: 198.51.100.7 on 203.0.113.1: 22 distinct ports, over 20 in 1h"
            ),
        ),
        ("/event/start", json!("2023-11-14T22:12:50Z")),
        ("/event/end", json!("2023-11-14T22:13:21Z")),
        ("/event/duration", json!(31_000_000_000_u64)),
        ("/event/action", json!("left_out")),
        (
            "/event/reason",
            json!("2 findings over the limit on lines in 1m"),
        ),
        ("/recon/phase", json!("left_out")),
        ("/recon/left_out", json!(2)),
        (
            "/recon/left_out_sources",
            json!([
                {"ip": "198.51.100.7", "count": 22, "verdict": "undecided"},
                {"ip": "198.18.1.1", "count": 21, "verdict": "undecided"},
            ]),
        ),
        ("/recon/left_out_unlisted", json!(0)),
    ];
    for (field, expected) in &changed {
        assert_eq!(line.pointer(field), Some(expected), "{field}");
    }
    // All other fields are those of the greatest.
    let mut own = parsed(&greatest, &[]);
    let recon = own["recon"].as_object_mut().expect("an object");
    for field in ["left_out", "left_out_sources", "left_out_unlisted"] {
        recon.insert(field.to_owned(), json!(null));
    }
    for (field, _) in &changed {
        *own.pointer_mut(field).expect(field) = json!(null);
        *line.pointer_mut(field).expect(field) = json!(null);
    }
    assert_eq!(line, own);
}
