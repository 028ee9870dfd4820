//! What the page does not know.
//!
//! In: what lines say was lost, what could not be read, what the page has no room for. Out:
//! [`LossEntry`]s: a number, and what it means for the reader.

use super::gather::{Gathered, GatheredIncident, MOST_INCIDENTS};
use super::model::LossEntry;

/// The losses, without what is 0.
pub(super) fn losses(
    gathered: &Gathered,
    incidents: &[GatheredIncident],
    unreadable: u64,
    places: Vec<String>,
    unjudged: Vec<(String, u64)>,
) -> Vec<LossEntry> {
    let bounded = incidents.iter().filter(|it| it.entry.lower_bound).count();
    let suppressed: u64 = incidents.iter().map(|it| it.entry.suppressed).sum();
    let digest = match gathered.digest_is_bounded {
        true => {
            "Informational findings without a line, by the digests, at least. Their sources are not here."
        }
        false => {
            "Informational findings without a line, by the digests. Their sources are not here."
        }
    };
    let room = format!(
        "Lines about incidents beyond the {MOST_INCIDENTS} that this page has room for. The least severe are left out; --min-severity chooses."
    );
    let mut losses = vec![
        LossEntry {
            places,
            ..loss(
                "unreadable lines",
                unreadable,
                "Nothing of them is on this page.",
            )
        },
        loss(
            "missing lines",
            gathered.missing_lines,
            "event.sequence has gaps: the input lacks lines that recon has written.",
        ),
        loss(
            "incidents with lower bounds",
            bounded as u64,
            "recon lost something while it counted them: the real counts may be higher.",
        ),
        loss(
            "suppressed findings",
            gathered.suppressed_findings,
            "They got no line of their own: the limit on lines was reached.",
        ),
        loss(
            "polls over a threshold without a line",
            suppressed,
            "They belong to incidents on this page, which had lines.",
        ),
        loss("findings in digests", gathered.digest_findings, digest),
        loss("lines left out here", gathered.lines_without_room, &room),
    ];
    let blind = gathered.blind.values().map(|(message, lost)| LossEntry {
        what: "recon was blind or tampered with".to_owned(),
        count: *lost,
        means: message.clone(),
        places: Vec::new(),
    });
    losses.extend(unjudged.into_iter().map(|(name, count)| LossEntry {
        what: name,
        count,
        means:
            "The reader counts these as not judged, or only in part; see recon replay.".to_owned(),
        places: Vec::new(),
    }));
    losses.retain(|loss| loss.count > 0);
    losses.extend(blind);
    losses
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
