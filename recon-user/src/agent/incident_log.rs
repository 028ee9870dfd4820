//! The incidents of which this process has written lines, for whoever asks what one rests on.
//!
//! In: notifications as they are written. Out: the lines of an incident, by its id.
//! The decisions held here: it is bounded, and the incident whose first line is oldest goes first.
//! Lines are limited themselves, so that it holds hours of most hosts and minutes of a flood. It is
//! filled as lines are written: no row and no poll without lines costs anything. It takes the
//! findings that nobody needs any more, so that a line costs no copy of one.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::clock::to_wall;
use crate::incident::{Finding, Notification};
use crate::process::Process;
use crate::stable_hash::StableHash;

/// Incidents that are remembered, of 1 to 2 KiB each.
const REMEMBERED: usize = 1 << 10;
/// Lines of one that are remembered: the last ones.
const LINES: usize = 16;
/// `recon.phase` of a line about several findings.
const LEFT_OUT: &str = "left_out";

/// The incidents with lines.
#[derive(Debug, Default)]
pub(super) struct IncidentLog {
    incidents: HashMap<StableHash, LoggedIncident>,
    /// In the order of their first lines.
    order: VecDeque<StableHash>,
}

/// An incident with lines.
#[derive(Debug)]
pub(super) struct LoggedIncident {
    /// What the last line is about, by the agent's clock.
    pub(super) finding: Box<Finding>,
    /// The processes of that line.
    pub(super) who: Vec<Process>,
    /// The last lines, the newest last.
    pub(super) lines: VecDeque<LoggedLine>,
    /// All lines.
    pub(super) written: u64,
}

/// A line.
#[derive(Clone, Debug)]
pub(super) struct LoggedLine {
    pub(super) phase: &'static str,
    /// By the wall clock.
    pub(super) at: Timestamp,
    pub(super) count: u64,
    pub(super) severity: &'static str,
    pub(super) suppressed: u64,
    /// The file with the headers of its packets.
    pub(super) evidence: Option<String>,
}

impl IncidentLog {
    /// Notes a line. `offset` is how far the wall clock is ahead, `who` are the processes in it.
    pub(super) fn note(
        &mut self,
        notification: Notification,
        offset: SignedDuration,
        who: Vec<Process>,
    ) {
        let (finding, left_out_at) = match notification {
            Notification::Found(finding) => (finding, None),
            Notification::Suppressed { first, suppressed } => (first, Some(suppressed.at)),
            Notification::Digest(_) => return,
        };
        let phase = match left_out_at {
            Some(_) => LEFT_OUT,
            None => finding.phase.name(),
        };
        let line = LoggedLine {
            phase,
            at: to_wall(left_out_at.unwrap_or(finding.at), offset),
            count: finding.count,
            severity: finding.severity.name(),
            suppressed: finding.suppressed,
            evidence: finding.evidence.as_ref().map(|it| it.file.clone()),
        };
        let id = finding.incident;
        if let Some(known) = self.incidents.get_mut(&id) {
            known.finding = finding;
            known.who = who;
            known.written += 1;
            if known.lines.len() == LINES {
                known.lines.pop_front();
            }
            known.lines.push_back(line);
            return;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.incidents.remove(&oldest);
        }
        self.order.push_back(id);
        let logged = LoggedIncident {
            finding,
            who,
            lines: [line].into(),
            written: 1,
        };
        self.incidents.insert(id, logged);
    }

    /// An incident, by its id on this host.
    pub(super) fn get(&self, id: StableHash) -> Option<&LoggedIncident> {
        self.incidents.get(&id)
    }

    /// The incident of which `is_it` accepts the id.
    pub(super) fn find(&self, is_it: impl Fn(StableHash) -> bool) -> Option<&LoggedIncident> {
        let id = self.order.iter().find(|&&id| is_it(id))?;
        self.get(*id)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &LoggedIncident> {
        self.incidents.values()
    }
}
