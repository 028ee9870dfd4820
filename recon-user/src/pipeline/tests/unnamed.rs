//! Rows of aggregated sources, which have no remote.

use super::*;

fn rules(text: &str) -> Vec<Configured> {
    let loaded = Loader::default().load("test.kql", text.as_bytes());
    assert_eq!(loaded.plans.len(), 1, "{text}: {:?}", loaded.diagnostics);
    plain(loaded.plans)
}

/// The findings of `rules` for rows without a remote, and for one row with a remote if `is_named`.
fn found(rules: Vec<Configured>, include_private: bool, is_named: bool) -> Vec<Finding> {
    let mut pipeline = Pipeline::new(PipelineSettings {
        include_private,
        ..settings(rules)
    });
    let now = at(Duration::from_secs(7200));
    let row = |remote, port| key(Signal::Syn, remote, Address::v4(LOCAL), port, 0);
    for port in 0..30 {
        observe(
            &mut pipeline,
            &row(Address::UNSPECIFIED, port),
            9,
            now,
            false,
        );
    }
    if is_named {
        observe(&mut pipeline, &row(REMOTE, 0), 1, now, false);
    }
    pipeline.end_poll_unlimited(now, false)
}

#[test]
fn rows_without_a_remote_count_if_the_query_needs_no_remote() {
    for (query, counts) in [
        ("| summarize n = count() by RemoteIP", false),
        ("| summarize n = dcount(LocalPort) by RemoteIP", false),
        ("| summarize n = count() by RemoteNetwork", false),
        ("| summarize n = count() by RemoteIP, LocalPort", false),
        (
            "| where RemoteIPType == 'Public' | summarize n = count() by LocalIP",
            false,
        ),
        (
            "| where RemoteIPType in ('Public', 'Private') | summarize n = count() by LocalIP",
            false,
        ),
        (
            "| where RemoteIP startswith '198.' | summarize n = count() by LocalIP",
            false,
        ),
        (
            "| where isnotempty(RemoteIP) | summarize n = count() by LocalIP",
            false,
        ),
        ("| summarize n = count() by LocalIP", true),
        ("| summarize n = count() by LocalIP, LocalPort", true),
        (
            "| where isempty(RemoteNetwork) and isempty(RemoteIPType) | summarize n = count() by LocalIP",
            true,
        ),
        // KQL evaluates these to true for an empty value.
        (
            "| where RemoteIPType != 'Private' | summarize n = count() by LocalIP",
            true,
        ),
        (
            "| where not(ipv4_is_private(RemoteIP)) | summarize n = count() by LocalIP",
            true,
        ),
    ] {
        for include_private in [false, true] {
            let rules = rules(&format!("DeviceNetworkEvents {query} | where n > 8"));
            let found = found(rules, include_private, false);
            assert_eq!(!found.is_empty(), counts, "{query} {include_private}");
            for finding in found {
                assert_eq!((finding.remote, finding.network), (None, None), "{query}");
                assert!(finding.remotes.is_empty(), "{query}");
            }
        }
    }
}

#[test]
fn a_remote_among_rows_without_one_is_not_the_only_remote() {
    let rules = rules("DeviceNetworkEvents | summarize n = count() by LocalIP | where n > 8");
    let found = found(rules, false, true);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].count, 30 * 9 + 1);
    assert_eq!(
        (found[0].remote, &found[0].remotes[..]),
        (None, &[REMOTE][..])
    );
}

#[test]
fn rows_without_a_remote_are_not_a_scan() {
    for include_private in [false, true] {
        let found = found(plain(defaults(Profile::Source)), include_private, false);
        assert!(found.is_empty(), "{include_private} {found:?}");
    }
}
