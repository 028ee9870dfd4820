//! Expectations against incidents, and what is learned from those.

use super::*;

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
            &["2 incidents, not 1"],
        ),
        ("[[alert]]\nrule = 'http-flood'\nincidents = 0", &[]),
        ("[[alert]]\nrule = 'http-flood'", &["http-flood: missing"]),
        (
            "[[alert]]\nrule = 'port-scan'\nincidents = 0",
            &["2 incidents, not 0"],
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
