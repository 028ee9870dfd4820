//! Expectations against incidents, and what is learned from those.

use super::*;
use crate::settings::{RuleOptions, in_force};

fn found(rule: &str, source: &str, count: u64) -> FinalIncident {
    FinalIncident {
        rule: format!("{rule}/count"),
        category: rule.to_owned(),
        source: Some(source.to_owned()),
        severity: "medium".to_owned(),
        count,
        ..FinalIncident::default()
    }
}

#[test]
fn expectations_are_filters_and_numbers() {
    let incidents = [
        found("port-scan", "198.51.100.2", 40),
        found("port-scan", "198.51.100.3", 21),
        found("syn-flood", "198.51.100.2", 900),
    ];
    // (expectation, parts of the reasons why it is not met)
    for (text, expected) in [
        ("", &[][..]),
        ("[[alert]]\nrule = 'port-scan'", &[]),
        ("[[alert]]\nrule = 'port-scan/count'\nincidents = 2", &[]),
        (
            "[[alert]]\nrule = 'port-scan'\nincidents = 1",
            &["incidents: 2, not 1"],
        ),
        ("[[alert]]\nrule = 'http-flood'\nincidents = 0", &[]),
        ("[[alert]]\nrule = 'http-flood'", &["http-flood: missing"]),
        (
            "[[alert]]\nrule = 'port-scan'\nincidents = 0",
            &["incidents: 2, not 0"],
        ),
        (
            "[[alert]]\nrule = 'port-scan'\nsource = '198.51.100.2'\ncount = 40",
            &[],
        ),
        ("[[alert]]\nrule = 'port-scan'\ncount = 40", &["21, not 40"]),
        (
            "[[alert]]\nrule = 'port-scan'\nat_least = 22",
            &["21, under 22"],
        ),
        (
            "[[alert]]\nrule = 'port-scan'\nat_most = 21",
            &["40, over 21"],
        ),
        (
            "[[alert]]\nrule = 'port-scan'\nseverity = 'high'",
            &["missing"],
        ),
        (
            "only = true\n[[alert]]\nrule = 'port-scan'",
            &["unexpected: syn-flood"],
        ),
    ] {
        let expectation: Expected = toml::from_str(text).expect(text);
        let reasons = expectation.reasons(&incidents);
        assert_eq!(reasons.len(), expected.len(), "{text}: {reasons:?}");
        for (reason, part) in reasons.iter().zip(expected) {
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}

#[test]
fn what_is_learned_is_met_by_what_came_and_by_nothing_else() {
    let scan = |count| found("port-scan", "198.51.100.2", count);
    let unnamed = FinalIncident {
        source: None,
        ..scan(300)
    };
    // (what came, how many entries describe it, what fails to meet that)
    for (name, came, entries, others) in [
        (
            "two sources",
            vec![scan(40), found("port-scan", "198.51.100.3", 21)],
            2,
            vec![scan(40)],
        ),
        (
            "one source twice",
            vec![scan(40), scan(21)],
            1,
            vec![scan(40), scan(20)],
        ),
        (
            "one source, and all of a network",
            vec![scan(40), unnamed.clone()],
            2,
            vec![unnamed, scan(301)],
        ),
        ("nothing", vec![], 0, vec![scan(40)]),
    ] {
        let learned = Expected::learn(&came, vec!["198.51.100.1/32".to_owned()]);
        let text = toml::to_string(&learned).expect("text");
        let learned: Expected = toml::from_str(&text).expect("what was written");
        assert_eq!(learned.alerts.len(), entries, "{name}: {text}");
        assert_eq!(learned.reasons(&came), [""; 0], "{name}: {text}");
        assert_ne!(learned.reasons(&others), [""; 0], "{name}: {text}");
    }
}

#[test]
fn a_case_that_checks_nothing_fails() {
    let rules = in_force(&RuleOptions::default(), crate::rule::mirrored).expect("no file");
    let rules = ReplayRules {
        of_hosts: &rules,
        of_mirror: &rules,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let case = folder.path().join("case");
    fs::create_dir(&case).expect("a folder");
    // A header, and no packet.
    let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes);
    fs::write(case.join("a.pcap"), header.as_flattened()).expect("a file");
    // (expectation, a part of the line, whether the case passes)
    for (text, expected, passes) in [
        ("", "ok ", true),
        ("[[alert]]\nrule = 'port-scan'\nincidents = 0", "ok ", true),
        (
            "[[alert]]\nrule = 'port-scan/distinct_ports'\nincidents = 0",
            "ok ",
            true,
        ),
        (
            "[[alert]]\nrule = 'recon-blind'\nincidents = 0",
            "ok ",
            true,
        ),
        (
            "[[alert]]\nrule = 'nonesuch'\nincidents = 0",
            "no rule nonesuch is in force",
            false,
        ),
        ("files = []", "there is no capture", false),
        ("files = ['expect.toml']", "is no capture", false),
    ] {
        fs::write(case.join(EXPECTED), text).expect("a file");
        let mut out = Vec::new();
        let passed = verify(folder.path(), false, &[], rules, &mut out).expect("a folder");
        let out = String::from_utf8(out).expect("text");
        assert_eq!(passed, passes, "{text}: {out}");
        assert!(out.contains(expected), "{text}: {out}");
    }
    fs::write(case.join("notes.txt"), "of a colleague").expect("a file");
    fs::write(case.join(EXPECTED), "").expect("a file");
    let mut out = Vec::new();
    assert!(!verify(folder.path(), false, &[], rules, &mut out).expect("a folder"));
    let out = String::from_utf8(out).expect("text");
    assert!(out.contains("files = [...]"), "{out}");
}
