//! Which informational findings get a line, and what the digest says of the others.

use std::time::Duration;

use recon_common::{Address, Signal};

use super::*;
use crate::alert::tests::{REMOTE, finding};
use crate::incident::{LineLimit, LineLimiter, Notification};

/// 22:13:20, 2,800 seconds before the end of an hour.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("in range")
}

fn limiter(informational_per_hour: Option<u64>) -> LineLimiter {
    LineLimiter::new(LineLimit {
        lines: Some(1),
        per: Duration::from_secs(60),
        informational_per_hour,
    })
}

fn visits() -> Finding {
    let finding = finding("http-flood", &[Signal::Accepted]);
    assert_eq!(finding.query.severity().name(), "informational");
    finding
}

/// The `number`th remote.
fn remote(number: u32) -> Address {
    Address::from_v4_word((0x1400_0000 + number).to_be())
}

/// Findings of that query, each of a remote of its own from `first` on.
fn of_remotes(of: &Finding, first: u32, number: u32) -> Vec<Finding> {
    let finding = |number| Finding {
        remote: Some(remote(number)),
        ..of.clone()
    };
    (first..first + number).map(finding).collect()
}

/// How many findings are written, and the digests.
fn written(lines: Vec<Notification>) -> (usize, Vec<Digest>) {
    let mut found = 0;
    let mut digests = Vec::new();
    for line in lines {
        match line {
            Notification::Found(_) => found += 1,
            Notification::Digest(digest) => digests.push(*digest),
            Notification::Suppressed { .. } => panic!("{line:?}"),
        }
    }
    (found, digests)
}

#[test]
fn so_many_findings_have_lines_and_the_others_are_in_the_digest() {
    // (lines an hour, findings, written, in the digest)
    for (lines, found, expected, in_digest) in [
        (LineLimit::default().informational_per_hour, 20, 20, None),
        (LineLimit::default().informational_per_hour, 21, 20, Some(1)),
        (Some(2), 2, 2, None),
        (Some(2), 7, 2, Some(5)),
        (Some(0), 1, 0, Some(1)),
        (None, 100, 100, None),
    ] {
        let mut limiter = limiter(lines);
        let findings = of_remotes(&visits(), 0, found);
        let (found, digests) = written(limiter.limit_findings(findings, at(0)));
        assert_eq!((found, digests.len()), (expected, 0), "{lines:?}");
        let (found, digests) = written(limiter.finish(at(90)));
        assert_eq!(found, 0);
        let counted: Vec<_> = digests.iter().map(Digest::findings).collect();
        assert_eq!(counted, Vec::from_iter(in_digest), "{lines:?}");
        for digest in digests {
            assert_eq!((digest.start, digest.end), (at(0), at(90)));
            assert_eq!(digest.rules[0].sources.undecided, digest.findings());
        }
        assert_eq!(limiter.suppressed(), in_digest.unwrap_or(0));
        assert!(limiter.finish(at(91)).is_empty(), "written once");
    }
}

#[test]
fn an_hour_of_the_clock_has_its_lines_and_its_digest() {
    let mut limiter = limiter(Some(2));
    let visits = visits();
    // (second, findings, written, start, end and findings of a digest)
    for (second, found, expected, digest) in [
        (0, 0, 0, None),
        (10, 1, 1, None),
        (20, 4, 1, None),
        (2_799, 1, 0, None),
        (2_800, 3, 2, Some((0, 2_800, 4))),
        // An hour with lines and nothing else has none.
        (6_400, 2, 2, Some((2_800, 6_400, 1))),
        (10_000, 2, 2, None),
        (10_001, 5, 0, None),
        // Hours without polls.
        (90_000, 3, 2, Some((10_000, 13_600, 5))),
        // The clock is set back, and the hour begins again.
        (80_000, 4, 2, Some((89_200, 90_000, 1))),
    ] {
        let findings = of_remotes(&visits, 0, found);
        let (found, digests) = written(limiter.limit_findings(findings, at(second)));
        assert_eq!(found, expected, "at {second} s");
        let times = digests.iter().map(|digest| {
            let second = |time: Timestamp| time.as_second() - at(0).as_second();
            (second(digest.start), second(digest.end), digest.findings())
        });
        assert_eq!(
            Vec::from_iter(times),
            Vec::from_iter(digest),
            "at {second} s"
        );
    }
    let (_, digests) = written(limiter.finish(at(80_001)));
    assert_eq!((digests[0].start, digests[0].end), (at(80_000), at(80_001)));
    assert_eq!(digests[0].findings(), 2);
}

#[test]
fn each_rule_has_its_own_lines_and_clients_a_quarter_of_them() {
    let mut limiter = limiter(Some(4));
    let mut findings = of_remotes(&visits(), 0, 6);
    findings.extend(of_remotes(&finding("common-ports", &[Signal::Syn]), 0, 6));
    for finding in &mut findings[..6] {
        finding.verdict = Verdict::Client;
    }
    let (found, _) = written(limiter.limit_findings(findings, at(0)));
    assert_eq!(found, 1 + 4);
    let (_, digests) = written(limiter.finish(at(1)));
    let rules = digests[0].rules.iter();
    let rules: Vec<_> = rules.map(|rule| (rule.query.id(), rule.findings)).collect();
    assert_eq!(rules, [("http-flood", 5), ("common-ports", 2)]);
}

#[test]
fn numbers_are_exact() {
    use Verdict::{Client, Scanner, Undecided};
    let web = visits();
    let ports = finding("common-ports", &[Signal::Syn]);
    let mut resolver = finding("dns-flood", &[Signal::DnsSentUdp]);
    (resolver.pid, resolver.port) = (Some(77), Some(53));
    let by = |of: &Finding, number, verdict, ports: &[u16]| Finding {
        remote: Some(remote(number)),
        verdict,
        ports: ports.to_vec(),
        ..of.clone()
    };
    let mut hour = DigestHour::new(at(0));
    for finding in [
        by(&web, 1, Client, &[80]),
        by(&web, 1, Client, &[80, 443]),
        by(&web, 2, Undecided, &[443]),
        by(&web, 255, Client, &[]),
        by(&web, 256, Client, &[]),
        by(&ports, 2, Scanner, &[22, 23]),
        by(&ports, 600, Undecided, &[22]),
        // Its verdict stays the highest.
        by(&web, 2, Client, &[443]),
        resolver.clone(),
        resolver.clone(),
        Finding {
            remote: None,
            ..web.clone()
        },
    ] {
        hour.add(&finding);
    }
    let digest = hour.close(at(1)).expect("not empty");
    let counts = |client, undecided, scanner| SourceCounts {
        client,
        undecided,
        scanner,
    };
    let rules = digest.rules.iter();
    let rules: Vec<_> = rules
        .map(|rule| (rule.query.id(), rule.findings, rule.sources, rule.ports))
        .collect();
    assert_eq!(
        rules,
        [
            // The last finding is about ports 22 and 80.
            ("http-flood", 7, counts(3, 0, 1), 3),
            ("common-ports", 2, counts(0, 1, 1), 2),
            ("dns-flood", 2, counts(0, 1, 0), 1),
        ]
    );
    assert!(!digest.lower_bound);
    assert_eq!(digest.findings(), 11);
}

#[test]
fn sources_and_rules_beyond_the_bound_make_a_lower_bound() {
    // (sources, rules, sources counted, whether they are a lower bound)
    for (sources, rules, counted, lower_bound) in [
        (65_536, 1, 65_536, false),
        (65_537, 1, 65_536, true),
        (1, 64, 1, false),
        (1, 65, 1, true),
    ] {
        let mut hour = DigestHour::new(at(0));
        for _ in 0..rules {
            let mut finding = visits();
            finding.query = Arc::new((*finding.query).clone());
            for number in 0..sources {
                finding.remote = Some(remote(number));
                hour.add(&finding);
            }
            // A known one.
            finding.remote = Some(remote(0));
            hour.add(&finding);
        }
        let digest = hour.close(at(1)).expect("not empty");
        assert_eq!(digest.rules[0].sources.undecided, counted);
        assert_eq!(digest.lower_bound, lower_bound, "{sources} {rules}");
        assert_eq!(digest.findings(), rules * (u64::from(sources) + 1));
    }
}

#[test]
fn attempts_alone_make_a_digest() {
    let mut limiter = limiter(Some(20));
    assert!(!limiter.ends_hour(at(0)), "no hour goes on");
    limiter.limit_findings(Vec::new(), at(0));
    // (second, whether the hour is over)
    for (second, is_over) in [(0, false), (2_799, false), (2_800, true), (-1, true)] {
        assert_eq!(limiter.ends_hour(at(second)), is_over, "at {second} s");
    }
    let totals = ContactTotals {
        ports: 3,
        ..ContactTotals::default()
    };
    limiter.set_contacts(totals.clone(), at(2_800));
    let (_, digests) = written(limiter.limit_findings(Vec::new(), at(2_800)));
    assert_eq!((digests[0].start, digests[0].end), (at(0), at(2_800)));
    assert_eq!(digests[0].contacts, totals);
    assert_eq!(digests[0].findings(), 0);
    assert!(limiter.finish(at(2_801)).is_empty(), "nothing since");
}

#[test]
fn other_severities_have_no_digest() {
    let mut limiter = limiter(Some(1));
    let scan = finding("port-scan", &[Signal::Syn]);
    assert_eq!(scan.remote, Some(REMOTE));
    let lines = limiter.limit_findings(of_remotes(&scan, 0, 3), at(0));
    assert_eq!(lines.len(), 1);
    let lines = limiter.limit_findings(of_remotes(&visits(), 0, 3), at(2_800));
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| match line {
            Notification::Found(_) => "found",
            Notification::Suppressed { .. } => "suppressed",
            Notification::Digest(_) => "digest",
        })
        .collect();
    assert_eq!(kinds, ["suppressed", "found"]);
    assert_eq!(limiter.finish(at(2_801)).len(), 1);
}
