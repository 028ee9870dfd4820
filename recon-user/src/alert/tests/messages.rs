//! The message of an alert, for each kind of finding.

use super::*;

#[test]
fn answers_are_in_the_fields_and_the_message() {
    let mut finding = finding("port-scan", &[Signal::Syn]);
    // (open ports, not answered, with a socket, recon.outcomes, what the message says of it)
    for (open_ports, silent, silent_with_listener, outcomes, said) in [
        (
            vec![22, 80],
            5,
            0,
            json!({"accepted": 0, "refused": 30, "half_open": 2, "silent": 5, "open_ports": [22, 80]}),
            "open to it 22, 80; of 37 targets 0 accepted, 2 half-open, 30 refused, 5 not answered yet",
        ),
        (
            vec![],
            0,
            0,
            json!({"accepted": 0, "refused": 30, "half_open": 0, "silent": 0, "open_ports": []}),
            "nothing open to it; of 30 targets 0 accepted, 0 half-open, 30 refused, 0 not answered",
        ),
        (
            vec![],
            5,
            0,
            json!({"accepted": 0, "refused": 30, "half_open": 0, "silent": 5, "open_ports": []}),
            "of 35 targets 0 accepted, 0 half-open, 30 refused, 5 not answered yet",
        ),
        (
            vec![],
            5,
            2,
            json!({"accepted": 0, "refused": 30, "half_open": 0, "silent": 5, "silent_with_listener": 2, "open_ports": []}),
            "of 35 targets 0 accepted, 0 half-open, 30 refused, 5 not answered yet (2 of them though a socket waits there)",
        ),
    ] {
        finding.outcomes = Some(Outcomes {
            accepted: 0,
            half_open: open_ports.len() as u64,
            refused: 30,
            silent,
            silent_with_listener,
            open_ports,
        });
        let alert = parsed(&finding, &[]);
        assert_eq!(alert["recon"]["outcomes"], outcomes);
        let message = alert["message"].as_str().expect("text");
        let begin = "over 20 in 1h; ";
        assert!(message.ends_with(&format!("{begin}{said}")), "{message}");
    }
}

#[test]
fn no_message_of_a_built_in_rule_names_a_column() {
    let profiles = [Profile::Outcomes, Profile::Source];
    let plans = profiles.map(|profile| [defaults(profile), captured(profile), mirrored(profile)]);
    let mut found = finding("port-scan", &[Signal::Syn]);
    for plan in plans.into_iter().flatten().flatten() {
        found.query = Query::new(Configured::plain(plan)).into();
        let unit = unit(&found).to_string();
        assert!(!unit.contains('_'), "{}: {unit}", found.query.rule_id());
    }
}

#[test]
fn targets_may_be_answered_until_the_incident_ends() {
    let mut finding = finding("port-scan", &[Signal::Syn]);
    // (phase, not answered, end of the message)
    for (phase, silent, end) in [
        (
            Phase::Began,
            1,
            "of 1 target 0 accepted, 0 half-open, 0 refused, 1 not answered yet",
        ),
        (
            Phase::Grew,
            2,
            "of 2 targets 0 accepted, 0 half-open, 0 refused, 2 not answered yet",
        ),
        (
            Phase::Ended,
            2,
            "of 2 targets 0 accepted, 0 half-open, 0 refused, 2 not answered",
        ),
        (
            Phase::Began,
            0,
            "of 0 targets 0 accepted, 0 half-open, 0 refused, 0 not answered",
        ),
    ] {
        finding.phase = phase;
        finding.outcomes = Some(Outcomes {
            silent,
            ..Outcomes::default()
        });
        let alert = parsed(&finding, &[]);
        let message = alert["message"].as_str().expect("text");
        assert!(message.ends_with(end), "{message}");
    }
}

#[test]
fn messages_end_with_what_is_at_stake_until_the_incident_ends() {
    const STAKE: &str = " - scanners come back for what they found open";
    let plans = defaults(Profile::Outcomes).into_iter();
    let mut plans = plans.filter(|plan| plan.id == "port-scan");
    let plan = plans.next().expect("a built-in rule");
    let mut finding = finding("port-scan", &[Signal::Syn]);
    finding.query = Query::new(Configured::plain(plan)).into();
    for (phase, has_stake) in [
        (Phase::Began, true),
        (Phase::Grew, true),
        (Phase::Ended, false),
    ] {
        finding.phase = phase;
        let alert = parsed(&finding, &[]);
        let message = alert["message"].as_str().expect("text");
        assert_eq!(message.ends_with(STAKE), has_stake, "{message}");
    }
}

#[test]
fn tools_are_in_the_field_and_the_message() {
    let mut finding = finding("port-scan", &[Signal::Syn]);
    // (recon.tool, end of the message)
    for (tool, expected, end) in [
        (
            Tool::Zmap,
            json!(["zmap"]),
            "over 20 in 1h; looks like zmap",
        ),
        (
            Tool::Nmap,
            json!(["nmap", "zmap"]),
            "over 20 in 1h; looks like nmap, zmap",
        ),
        (
            Tool::Crafted,
            json!(["nmap", "zmap", "crafted"]),
            "over 20 in 1h; looks like nmap, zmap, a tool that crafts its SYNs",
        ),
    ] {
        finding.tools.insert(tool);
        let alert = parsed(&finding, &[]);
        assert_eq!(alert["recon"]["tool"], expected);
        let message = alert["message"].as_str().expect("a message");
        assert!(message.ends_with(end), "{message}");
    }
}

#[test]
fn messages_say_who_did_what_to_whom() {
    let port = |id, signal, port| {
        let mut finding = finding(id, &[signal]);
        finding.port = (port != 0).then_some(port);
        finding
    };
    let mut sweep = port("outbound-sweep", Signal::SynSent, 22);
    assert_eq!(sweep.query.measure, Measure::DistinctRemotes);
    sweep.remote = None;
    let mut pings = port("outbound-sweep", Signal::EchoSent, 0);
    (pings.remote, pings.local) = (None, None);
    let ended = Finding {
        phase: Phase::Ended,
        ..finding("port-scan", &[Signal::Syn])
    };
    for (finding, who, expected) in [
        (
            ended,
            vec![],
            "port-scan ended: 198.51.100.7 on 203.0.113.1: 37 distinct ports, over 20 in 1h",
        ),
        (
            port("scan-then-connect", Signal::Accepted, 22),
            vec![nmap()],
            "scan-then-connect: 198.51.100.7 on 203.0.113.1 port 22: scanned this host, then was accepted by nmap (pid 77)",
        ),
        (
            port("scan-then-connect", Signal::Accepted, 22),
            vec![],
            "scan-then-connect: 198.51.100.7 on 203.0.113.1 port 22: scanned this host, then was accepted",
        ),
        (
            finding("outbound-port-scan", &[Signal::SynSent]),
            vec![nmap()],
            "outbound-port-scan: nmap (pid 77) on 198.51.100.7: 37 distinct ports, over 20 in 1h",
        ),
        (
            sweep,
            vec![nmap()],
            "outbound-sweep: nmap (pid 77) on port 22: 37 distinct remotes, over 100 in 1h",
        ),
        (
            pings,
            vec![],
            "outbound-sweep: this host: 37 distinct remotes, over 100 in 1h",
        ),
        (
            port("failed-connections", Signal::ConnectFailed, 443),
            vec![nmap(), process_without_name()],
            "failed-connections: several processes to 198.51.100.7 port 443: 37 connect-failed, over 100 in 1h",
        ),
        (
            port("http-flood", Signal::Accepted, 80),
            vec![],
            "http-flood: 198.51.100.7 on 203.0.113.1 port 80: 37 accepted, over 100 in 1h",
        ),
    ] {
        assert_eq!(parsed(&finding, &who)["message"], expected);
    }
}
