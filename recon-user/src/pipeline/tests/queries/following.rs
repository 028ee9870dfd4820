//! Queries that follow a rule.

use super::*;

#[test]
fn a_rule_can_follow_a_rule_that_groups_by_the_remote() {
    let accepted = |port| (key(Signal::Accepted, REMOTE, SERVER, port, 0), 1);
    let ports = "n = dcount(LocalPort) by RemoteIP";
    // (id of the first rule, its aggregate and groups, whether the second reports)
    for (id, summary, is_reported) in [
        ("probes", ports, true),
        ("others", ports, false),
        (
            "probes",
            "n = dcount(LocalPort) by RemoteIP, LocalIP",
            false,
        ),
        ("probes", "n = count() by RemoteIP, LocalPort", false),
        ("probes", "n = count() by RemoteIP", true),
    ] {
        let mut pipeline = pipeline_of(rules(&format!(
            "// id: {id}\n// name: first\nDeviceNetworkEvents\n| where ActionType == 'SYN'\n| summarize {summary}\n| where n > 1;\n\n\
             // id: visit\n// name: second\n// after: probes\nDeviceNetworkEvents\n| where ActionType == 'ConnectionSuccess'\n\
             | summarize n = count() by RemoteIP\n| where n > 0"
        )));
        poll(
            &mut pipeline,
            NOW,
            &[hit(REMOTE, 22, 1), hit(REMOTE, 80, 1)],
        );
        let found = poll(&mut pipeline, NOW + 60, &[accepted(22)]);
        let names: Vec<_> = found
            .iter()
            .map(|finding| &finding.query.plan().name[..])
            .collect();
        let expected: &[&str] = if is_reported { &["second"] } else { &[] };
        assert_eq!(names, expected, "{id}: {summary}");
    }
}
