//! Who and what a line names, as texts for the page.
//!
//! In: an [`AlertLine`]. Out: its source, its target and its processes.
//! The decision held here: all texts are somebody else's. They are clipped, lists are cut, and
//! control characters are escaped.

use super::alert_line::{AlertLine, EndFields, ProcessOf};
use super::model::{ProcessEntry, SourceEntry};
use crate::diagnostic::visible;

/// Processes of an incident that are shown.
pub(super) const MOST_PROCESSES: usize = 16;
/// Ports, addresses and tools of an incident that are kept. recon lists fewer.
pub(super) const MOST_LISTED: usize = 64;
/// What a process is called whose name is unknown.
pub(super) const UNNAMED: &str = "a process";
/// Bytes of a text that are shown.
const LONGEST: usize = 300;
/// The same of a command line or a message.
const LONGEST_LINE: usize = 1000;

/// A text for the page.
pub(super) fn clip(text: &str) -> String {
    clip_to(text, LONGEST)
}

/// A command line or a message for the page.
pub(super) fn clip_line(text: &str) -> String {
    clip_to(text, LONGEST_LINE)
}

fn clip_to(text: &str, longest: usize) -> String {
    let clipped = &text[..text.floor_char_boundary(longest)];
    let mut shown = visible(clipped.as_bytes());
    if clipped.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Who did it, and by what it is the same in other lines.
pub(super) fn source_of(line: &AlertLine, is_outbound: bool) -> (String, SourceEntry) {
    let own = &line.recon;
    let (kind, name) = match (&line.source.ip, &own.source_network, &line.process) {
        (_, _, Some(process)) if is_outbound => {
            let name = process.name.as_deref().unwrap_or(UNNAMED);
            ("process", format!("{} (pid {})", clip(name), process.pid))
        }
        _ if is_outbound => ("several", "several processes".to_owned()),
        (Some(ip), _, _) => ("remote", ip.to_string()),
        (None, Some(network), _) => ("network", clip(network)),
        (None, None, _) => ("several", "several sources".to_owned()),
    };
    let key = match (kind, &line.process) {
        // Not by its name, which a line may lack.
        ("process", Some(process)) => {
            let host = line.host.name.as_deref().map(clip).unwrap_or_default();
            format!("process {host} {}", process.pid)
        }
        _ => format!("{kind} {name}"),
    };
    // What lines say of the remote end is about the source only if that is the remote.
    let nobody = EndFields::default();
    let remote = if is_outbound { &nobody } else { &line.source };
    let system = remote.r#as.number.map(|number| {
        let name = remote.r#as.organization.name.as_deref().map(clip);
        format!("AS{number} {}", name.unwrap_or_default())
    });
    let known = SourceEntry {
        name,
        kind,
        label: own.label.as_deref().filter(|_| !is_outbound).map(clip),
        domain: remote.domain.as_deref().map(clip),
        domain_by: own.domain_by.as_deref().filter(|_| !is_outbound).map(clip),
        network: system.map(|system| system.trim().to_owned()),
        country: remote.geo.country_iso_code.as_deref().map(clip),
        verdict: own.verdict.as_deref().map(clip),
        is_proven: own.source_proven,
        tools: own
            .tool
            .iter()
            .take(MOST_LISTED)
            .map(|tool| clip(tool))
            .collect(),
        ..SourceEntry::default()
    };
    (key, known)
}

/// What it was done to.
pub(super) fn target_of(line: &AlertLine) -> String {
    let own = &line.recon;
    if let Some(ip) = line.destination.ip {
        return ip.to_string();
    }
    if let Some(network) = &own.destination_network {
        return clip(network);
    }
    match &own.destinations[..] {
        [] => String::new(),
        several => {
            let several = several.iter().take(MOST_LISTED);
            let several: Vec<String> = several.map(ToString::to_string).collect();
            several.join(", ")
        }
    }
}

pub(super) fn processes_of(line: &AlertLine, is_sender: bool) -> Vec<ProcessEntry> {
    let own = &line.recon;
    let mut remotes: Vec<String> = line
        .destination
        .ip
        .iter()
        .map(ToString::to_string)
        .collect();
    let destinations = own.destinations.iter().take(MOST_LISTED);
    remotes.extend(destinations.map(ToString::to_string));
    remotes.extend(own.destination_network.as_deref().map(clip));
    let mut ports: Vec<u16> = own.ports.iter().take(MOST_LISTED).copied().collect();
    ports.extend(line.destination.port);
    let entry = |process: &ProcessOf| ProcessEntry {
        entity: process.entity_id.as_deref().map(clip),
        host: line.host.name.as_deref().map(clip),
        pid: process.pid,
        parent: process.parent.as_ref().map(|parent| parent.pid),
        name: process.name.as_deref().map(clip),
        executable: process.executable.as_deref().map(clip),
        command_line: process.command_line.as_deref().map(clip_line),
        user: None,
        unit: None,
        container: None,
        remotes: remotes.clone(),
        ports: ports.clone(),
        is_sender,
    };
    match &line.process {
        Some(process) => {
            let name = line.user.name.as_deref().map(clip);
            let id = line.user.id.as_deref().map(clip);
            vec![ProcessEntry {
                user: name.or(id.map(|id| format!("uid {id}"))),
                unit: own.unit.as_deref().map(clip),
                container: line.container.id.as_deref().map(clip),
                ..entry(process)
            }]
        }
        None => own
            .processes
            .iter()
            .take(MOST_PROCESSES)
            .map(entry)
            .collect(),
    }
}
