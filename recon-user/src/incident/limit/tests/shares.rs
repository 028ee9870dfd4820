//! Forged findings and the true one: who gets a line, and who is named when there is none.

use super::*;

const TRUE: Address = Address::v4([203, 0, 113, 9]);

fn found(of: &Finding, remote: Address, count: u64) -> Finding {
    Finding {
        remote: Some(remote),
        verdict: Verdict::Scanner,
        ..another(of, count)
    }
}

/// The remotes of the written lines, and those that a line about suppressed findings lists.
fn named(written: &[Notification]) -> (Vec<Address>, Vec<Address>) {
    let mut own = Vec::new();
    let mut listed = Vec::new();
    for line in written {
        match line {
            Notification::Found(finding) => own.extend(finding.remote),
            Notification::Suppressed { suppressed, .. } => {
                let remotes = suppressed.sources.iter().map(|of| match of.source {
                    Source::Remote(remote) => remote,
                    other => panic!("{other:?}"),
                });
                listed.extend(remotes);
            }
            Notification::Digest(digest) => panic!("{digest:?}"),
        }
    }
    (own, listed)
}

#[test]
fn the_true_scanner_is_named_in_the_period_whoever_comes_before() {
    let of = finding("rapid-scan", &[Signal::Syn]);
    // (forged sources, their counts, the true count, whether the true one has a line of its own)
    for (what, forged, count, true_count, has_line) in [
        ("smaller ones", 25, 21, 1_000, true),
        ("larger ones", 25, 1_500, 1_000, false),
        ("decoys of the same scan", 40, 1_000, 1_000, false),
        ("so many that not all are listed", 400, 21, 1_000, true),
    ] {
        for neighbours in [false, true] {
            let mut limiter = LineLimiter::new(LineLimit::default());
            let remote = |number: usize| match neighbours {
                true => Address::v4([198, 51, (number / 250) as u8, (number % 250) as u8]),
                false => Address::v4([198, number as u8, (number / 250) as u8, 1]),
            };
            let decoys = (0..forged).map(|number| found(&of, remote(number), count));
            let mut written = limiter.limit_findings(decoys.collect(), at(0));
            let came = limiter.limit_findings(vec![found(&of, TRUE, true_count)], at(20));
            written.extend(came);
            for second in 21..=60 {
                written.extend(limiter.limit_findings(Vec::new(), at(second)));
            }
            let (own, listed) = named(&written);
            let what = format!("{what}, neighbours: {neighbours}");
            assert!(own.contains(&TRUE) || listed.contains(&TRUE), "{what}");
            assert!(own.contains(&TRUE) || !has_line, "{what}");
            assert_eq!(own.len(), 20, "{what}");
            let all = own.len() as u64 + limiter.suppressed();
            assert_eq!(all, forged as u64 + 1, "{what}");
            assert!(listed.len() <= 100, "{what}");
        }
    }
}

#[test]
fn all_sources_are_listed_up_to_a_bound_and_the_others_counted() {
    let of = finding("rapid-scan", &[Signal::Syn]);
    // (findings, listed sources, findings that are not listed)
    for (count, listed, unlisted) in [(21, 1, 0), (120, 100, 0), (121, 100, 1), (500, 100, 380)] {
        let mut limiter = LineLimiter::new(LineLimit::default());
        let remote = |number: usize| Address::v4([198, number as u8, (number / 250) as u8, 1]);
        let all = (0..count).map(|number| found(&of, remote(number), 1_000 - number as u64));
        limiter.limit_findings(all.collect(), at(0));
        let written = limiter.finish(at(59));
        let Some(Notification::Suppressed { suppressed, .. }) = written.last() else {
            panic!("{written:?}")
        };
        // Five of those that waited get the lines of those who did not come.
        let bound = listed.min(95);
        assert_eq!(
            (suppressed.sources.len(), suppressed.count),
            (bound, count as u64 - 20)
        );
        let expected = suppressed.count - bound as u64;
        assert_eq!(suppressed.unlisted, expected, "{count}: {unlisted}");
    }
}

#[test]
fn one_network_or_user_gets_half_of_the_lines() {
    let scan = finding("rapid-scan", &[Signal::Syn]);
    let tool = finding("outbound-scan-tool", &[Signal::SynSent]);
    let of_user = |user, pid| Finding {
        user: Some(user),
        pid: Some(pid),
        ..another(&tool, 1)
    };
    let of_site = |subnet: u8, host: u8| {
        let mut octets = [0x20; 16];
        (octets[6], octets[7], octets[15]) = (subnet, 1, host);
        found(&scan, Address::v6(octets), 21)
    };
    for (what, many, other) in [
        (
            "neighbours",
            (0..30)
                .map(|host| found(&scan, Address::v4([198, 51, 100, host]), 21))
                .collect(),
            found(&scan, TRUE, 21),
        ),
        (
            "a site",
            (0..30).map(|number| of_site(number, number)).collect(),
            found(&scan, TRUE, 21),
        ),
        (
            "a user",
            (0..30).map(|pid| of_user(1000, pid)).collect::<Vec<_>>(),
            of_user(0, 99),
        ),
    ] {
        let mut limiter = LineLimiter::new(LineLimit::default());
        let written = limiter.limit_findings(many, at(0));
        assert_eq!(written.len(), 10, "{what}");
        let written = limiter.limit_findings(vec![other], at(1));
        assert_eq!(written.len(), 1, "{what}");
        // At the end nobody else wants the lines.
        assert_eq!(limiter.finish(at(59)).len(), 9 + 1, "{what}");
        assert_eq!(limiter.suppressed(), 11, "{what}");
    }
}

#[test]
fn what_waits_is_reported_once_for_each_incident() {
    use Phase::{Began, Ended, Grew};
    let of = finding("rapid-scan", &[Signal::Syn]);
    for (phases, expected) in [
        (&[Began][..], Began),
        (&[Began, Grew], Began),
        (&[Grew, Grew], Grew),
        (&[Began, Grew, Ended], Ended),
    ] {
        let mut limiter = LineLimiter::new(LineLimit::default());
        limiter.limit_findings(apart(findings(&of, &[5_000; 20])), at(0));
        let waiting = found(&of, TRUE, 21);
        for (second, &phase) in phases.iter().enumerate() {
            let at = at(second as i64 + 1);
            let finding = Finding {
                phase,
                at,
                count: 21 + second as u64,
                verdict: Verdict::Client,
                ..waiting.clone()
            };
            limiter.limit_findings(vec![finding], at);
        }
        let written = limiter.limit_findings(Vec::new(), at(59));
        let of_true = written.iter().filter_map(Notification::finding);
        let of_true: Vec<_> = of_true
            .filter(|finding| finding.remote == Some(TRUE))
            .collect();
        assert_eq!(of_true.len(), 0, "{phases:?}: others come first");
        let written = limiter.limit_findings(Vec::new(), at(60));
        let last = written.iter().filter_map(Notification::finding).next_back();
        let last = last.map(|finding| (finding.remote, finding.phase, finding.count));
        let count = 20 + phases.len() as u64;
        assert_eq!(last, Some((Some(TRUE), expected, count)), "{phases:?}");
    }
}
