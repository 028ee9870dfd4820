//! Scanning tools: a label on what is reported, which changes nothing else.

use recon_common::ending::SECOND;
use recon_common::{Ending, Tool};

use super::*;
use crate::row::{ToolSet, Verdict};

fn pipeline() -> Pipeline {
    Pipeline::new(settings(plain(defaults(Profile::Outcomes))))
}

fn set(tools: &[Tool]) -> ToolSet {
    let mut set = ToolSet::default();
    tools.iter().for_each(|&tool| set.insert(tool));
    set
}

/// An event: signal, port, and the tool of a probe.
type Event = (Signal, u16, Option<Tool>);

/// The findings of a remote's events of one poll, in that poll and the two after it.
fn found(mut pipeline: Pipeline, events: &[Event]) -> Vec<Finding> {
    for &(signal, port, tool) in events {
        let key = key(signal, REMOTE, Address::v4(LOCAL), port, 0).with_tool(signal, tool);
        observe(&mut pipeline, &key, 1, at(Duration::from_secs(7200)), false);
    }
    let polls = (7200..7203).map(|second| at(Duration::from_secs(second)));
    polls
        .flat_map(|poll| pipeline.end_poll_unlimited(poll, false))
        .collect()
}

/// SYNs to ports that are closed, each with the next of these tools.
fn scan(tools: &[Option<Tool>]) -> Vec<Event> {
    let tools = tools.iter().cycle();
    let ports = (1000..1060).zip(tools);
    ports
        .flat_map(|(port, &tool)| [(Signal::Syn, port, tool), (Signal::RefusedTcp, port, None)])
        .collect()
}

#[test]
fn tools_are_listed_and_change_nothing_else() {
    let all = Tool::ALL.map(Some);
    let unlabelled = scan(&[None]);
    for pipeline in [pipeline, || built_in_pipeline(false)] {
        let plain = found(pipeline(), &unlabelled);
        assert!(!plain.is_empty());
        for (tools, expected) in [
            (&[Some(Tool::Nmap)][..], &[Tool::Nmap][..]),
            (
                &[Some(Tool::Zmap), None, Some(Tool::Masscan)],
                &[Tool::Masscan, Tool::Zmap],
            ),
            (&all, &Tool::ALL),
        ] {
            // Each port again, with another tool: more keys of the same contacts.
            let mut events = scan(tools);
            events.extend(tools.iter().map(|&tool| (Signal::Syn, 1000, tool)));
            let mut others = unlabelled.clone();
            others.extend(tools.iter().map(|_| (Signal::Syn, 1000, None)));
            let labelled = found(pipeline(), &events);
            let plain = found(pipeline(), &others);
            let shown = |findings: &[Finding]| -> Vec<(String, u64, Verdict, String)> {
                let all = findings.iter();
                all.map(|finding| {
                    let name = finding.query.plan().name.clone();
                    let outcomes = format!("{:?}", finding.outcomes);
                    (name, finding.count, finding.verdict, outcomes)
                })
                .collect()
            };
            assert_eq!(shown(&labelled), shown(&plain));
            for finding in &labelled {
                assert_eq!(finding.tools, set(expected), "{}", finding.query.id());
            }
            assert!(plain.iter().all(|finding| finding.tools == set(&[])));
        }
    }
}

#[test]
fn what_a_scanner_does_later_has_the_tool_of_its_scan() {
    let mut events = scan(&[Some(Tool::Masscan)]);
    let ended = Ending::new(2_000, 2_000, 2 * SECOND);
    let found_open = (Signal::Syn, 22, Some(Tool::Masscan));
    events.extend([
        found_open,
        (Signal::Syn, 22, None),
        (Signal::Accepted, 22, None),
    ]);
    let mut pipeline = pipeline();
    let end = key(Signal::Ended, REMOTE, Address::v4(LOCAL), 22, ended.pack());
    observe(&mut pipeline, &end, 1, at(Duration::from_secs(7200)), false);
    let found = found(pipeline, &events);
    let came_back = found
        .iter()
        .find(|finding| finding.query.id() == "scan-then-connect")
        .expect("it came back");
    assert_eq!(came_back.tools, set(&[Tool::Masscan]));
}

#[test]
fn pings_have_a_tool_too() {
    let pings: Vec<Event> = vec![(Signal::EchoRequest, 0, Some(Tool::Zmap)); 60];
    let found = found(built_in_pipeline(false), &pings);
    let [sweep] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(sweep.tools, set(&[Tool::Zmap]));
}

#[test]
fn rules_read_the_tool() {
    let with_tool = scan(&[Some(Tool::Zmap), Some(Tool::Nmap), None]);
    // (query, count)
    for (query, expected) in [
        (
            "DeviceNetworkEvents | where RemoteTool == 'zmap' | summarize n = dcount(LocalPort) by RemoteIP | where n > 10",
            Some(20),
        ),
        (
            "DeviceNetworkEvents | where isempty(RemoteTool) and ActionType == 'SYN' | summarize n = dcount(LocalPort) by RemoteIP | where n > 10",
            Some(20),
        ),
        (
            "DeviceNetworkEvents | summarize n = countif(RemoteTool in ('zmap', 'nmap')) by RemoteIP | where n > 10",
            Some(40),
        ),
        (
            "ReconEvents | where Outcome == 'refused' and RemoteTool == 'nmap' | summarize n = count() by RemoteIP | where n > 10",
            Some(20),
        ),
        (
            "DeviceNetworkEvents | where RemoteTool == 'mirai' | summarize n = count() by RemoteIP | where n > 0",
            None,
        ),
    ] {
        let file =
            format!("// name: A tool\n// id: tool\n// severity: low\n// window: 1h\n{query}\n");
        let found = found(pipeline_of(&file, DEFAULT_MEMORY), &with_tool);
        let count = found.first().map(|finding| finding.count);
        assert_eq!(count, expected, "{query}");
    }
}

#[test]
fn crafted_syns_are_a_flood_where_a_stacks_are_a_client() {
    const NAME: &str = "High number of SYN packets that no stack sends";
    let closed = (Signal::Syn, Signal::RefusedTcp);
    let open = (Signal::Syn, Signal::Accepted);
    // (tool, SYNs and what comes of them, how many, whether they are a flood)
    for (tool, (syn, outcome), count, is_flood) in [
        (Some(Tool::Crafted), closed, 500, false),
        (Some(Tool::Crafted), closed, 501, true),
        (Some(Tool::Hping), closed, 501, true),
        (None, closed, 720, false),
        (Some(Tool::Crafted), open, 501, false),
    ] {
        let one = [(syn, 3389, tool), (outcome, 3389, None)];
        let events: Vec<_> = one.into_iter().cycle().take(2 * count).collect();
        let found = found(pipeline(), &events);
        let is_it = |finding: &Finding| finding.query.plan().name == NAME;
        assert_eq!(
            found.iter().any(is_it),
            is_flood,
            "{count} {tool:?}: {outcome:?}"
        );
        let above = found
            .iter()
            .filter(|of| of.query.severity() > Severity::Informational);
        assert_eq!(above.count() > 0, is_flood, "{count} {tool:?}: {outcome:?}");
    }
}
