//! What the page does not know, or has no room for.
//!
//! In: what lines say was lost, what could not be read, what the page has no room for. Out:
//! [`LossEntry`]s: a number, and what it means for the reader.
//! The decision held here: each cause is a loss of its own.

use super::build::{MOST_ENDPOINTS, Unreadable};
use super::endpoints::{MOST_LISTED, MOST_PROCESSES};
use super::gather::{
    Gathered, GatheredIncident, MOST_BLIND, MOST_HOSTS, MOST_INCIDENTS, MOST_PHASES,
};
use super::learned::{Learned, MOST_FINDERS, MOST_LEARNED};
use super::model::LossEntry;

/// What the input lacks.
pub(super) fn of_input(
    gathered: &Gathered,
    unreadable: Unreadable,
    in_part: Unreadable,
    unjudged: Vec<(String, u64)>,
) -> Vec<LossEntry> {
    let digest = match gathered.digest_is_bounded {
        true => {
            "Informational findings without a line, by the digests, at least. Their sources are not here."
        }
        false => {
            "Informational findings without a line, by the digests. Their sources are not here."
        }
    };
    let mut losses = vec![
        LossEntry {
            places: unreadable.places,
            ..loss(
                "unreadable lines",
                unreadable.count,
                "Nothing of them is on this page.",
            )
        },
        LossEntry {
            places: in_part.places,
            ..loss(
                "files read in part",
                in_part.count,
                "Nothing after the place where they end or can't be read is on this page.",
            )
        },
        loss(
            "missing lines",
            gathered.missing_lines,
            "event.sequence has gaps: the input lacks lines that recon has written.",
        ),
        loss(
            "lines before the first",
            gathered.lines_before,
            "The input begins within a run of recon: earlier lines are in other files, or lost.",
        ),
        loss(
            "suppressed findings",
            gathered.suppressed_findings,
            "They got no line of their own: the limit on lines was reached.",
        ),
        loss("findings in digests", gathered.digest_findings, digest),
    ];
    let means = "The reader counts these as not judged, or only in part; see recon replay.";
    let unjudged = unjudged.into_iter();
    losses.extend(unjudged.map(|(name, count)| loss(&name, count, means)));
    losses
}

/// What is not known of the incidents of the page, or not shown.
pub(super) fn of_incidents(incidents: &[GatheredIncident]) -> [LossEntry; 5] {
    let count = |of: fn(&GatheredIncident) -> u64| incidents.iter().map(of).sum();
    [
        loss(
            "incidents with lower bounds",
            count(|it| it.entry.lower_bound.into()),
            "recon lost something while it counted them: the real counts may be higher.",
        ),
        loss(
            "polls over a threshold without a line",
            count(|it| it.entry.suppressed),
            "They belong to incidents on this page, which had lines.",
        ),
        loss(
            "phases not shown",
            count(|it| it.cuts.lines),
            &format!("Lines of incidents beyond {MOST_PHASES} of one. Their counts are in it."),
        ),
        loss(
            "processes not shown",
            count(|it| it.cuts.processes as u64),
            &format!("Processes of a line beyond {MOST_PROCESSES}."),
        ),
        loss(
            "incidents with ports not shown",
            count(|it| it.cuts.has_ports.into()),
            &format!("Their lines name more than {MOST_LISTED} ports; the least are shown."),
        ),
    ]
}

/// What the page has no room for.
pub(super) fn of_page(
    gathered: &Gathered,
    learned: &Learned,
    cut_processes: usize,
) -> [LossEntry; 7] {
    let room = gathered.without_room;
    [
        loss(
            "incidents not shown",
            gathered.hidden.count(),
            &format!(
                "This page has room for {MOST_INCIDENTS}: the most severe, and of equal ones the newest. Name fewer files, or a part of one, to see the others."
            ),
        ),
        loss(
            "lines not shown",
            room.incidents,
            "Lines about incidents that are not shown, or that were not for a while.",
        ),
        loss(
            "lines about blindness not shown",
            room.blindness,
            &format!("recon was blind or tampered with more than {MOST_BLIND} times."),
        ),
        loss(
            "lines of hosts not named",
            room.hosts,
            &format!(
                "{MOST_HOSTS} hosts are named. Gaps in event.sequence of the others are not counted."
            ),
        ),
        loss(
            "processes with remotes or ports not shown",
            cut_processes as u64,
            &format!("They sent to more than {MOST_ENDPOINTS} remotes or ports."),
        ),
        loss(
            "findings of open ports not shown",
            learned.without_room,
            &format!(
                "Times that a source found or used an open port beyond the {MOST_LEARNED} that are listed."
            ),
        ),
        loss(
            "open ports with sources not shown",
            learned.cut_ports(),
            &format!("More than {MOST_FINDERS} sources found or used them."),
        ),
    ]
}

/// The reports on blindness and tampering, also those that lost nothing.
pub(super) fn of_blindness(gathered: &Gathered) -> impl Iterator<Item = LossEntry> {
    let reports = gathered.blind.values();
    reports.map(|(message, lost)| loss("recon was blind or tampered with", *lost, message))
}

/// One loss.
pub(super) fn loss(what: &str, count: u64, means: &str) -> LossEntry {
    LossEntry {
        what: what.to_owned(),
        count,
        means: means.to_owned(),
        places: Vec::new(),
    }
}
