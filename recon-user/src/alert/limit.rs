//! How many lines are written of a rule, so that alerts which somebody forges don't drown the others.
//!
//! In: each poll's findings, and the time. Out: those that are told of, and what was left out.
//! The decisions held here:
//! - The limit is a rule's own: what is forged for one does not cost another's alerts. So no rule is silent that has something to say.
//! - Of one poll's findings the greatest are told of. A true scan is drowned by those alone that are as large as itself, each of which takes
//!   as many packets.
//! - What is left out is told of when its time is over: how much, and the greatest of it in full.
//! - A rule's time begins with its first line, so that nothing is kept of rules that have nothing to say.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::judge::Finding;
use crate::rule::Rule;

/// How many lines of a rule are written in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The lines, 1 or more. All where there is none.
    pub lines: Option<u64>,
    /// The time.
    pub per: Duration,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            lines: Some(20),
            per: Duration::from_secs(60),
        }
    }
}

/// What a line is written of.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was found. Of what was left out the greatest.
    pub finding: Finding,
    /// Set where it stands for all that was left out.
    pub left_out: Option<LeftOut>,
}

/// Findings of one rule that no line was written of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// When it is told of.
    pub at: Timestamp,
    /// How many.
    pub count: u64,
    /// No event of them is older.
    pub start: Timestamp,
    /// None is younger.
    pub end: Timestamp,
    /// In how long a time.
    pub per: Duration,
}

/// The limit, and what was written and left out of each rule.
#[derive(Debug)]
pub struct Limiter {
    limit: Limit,
    /// Rules whose time is running, in the order in which it began.
    running: Vec<Running>,
    left_out: u64,
}

#[derive(Debug)]
struct Running {
    rule: Arc<Rule>,
    since: Timestamp,
    written: u64,
    left_out: Option<Told>,
}

impl Limiter {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            running: Vec::new(),
            left_out: 0,
        }
    }

    /// What is told of at `now`: first of what was left out in times that are over, then those of the findings that there is room for, in
    /// their order.
    pub fn take(&mut self, findings: Vec<Finding>, now: Timestamp) -> Vec<Told> {
        let mut told = self.end_due(now);
        let is_left_out = match self.limit.lines {
            Some(lines) => self.choose(&findings, lines, now),
            None => vec![None; findings.len()],
        };
        for (finding, of) in findings.into_iter().zip(is_left_out) {
            match of {
                Some(rule) => {
                    self.left_out += 1;
                    self.running[rule].leave_out(finding, self.limit.per);
                }
                None => told.push(Told {
                    finding,
                    left_out: None,
                }),
            }
        }
        told
    }

    /// Ends all times: what was left out.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Told> {
        let running = std::mem::take(&mut self.running).into_iter();
        running.filter_map(|rule| rule.end(now)).collect()
    }

    /// How many findings were left out in all.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn end_due(&mut self, now: Timestamp) -> Vec<Told> {
        let per = SignedDuration::try_from(self.limit.per).unwrap_or(SignedDuration::MAX);
        // Over too where the clock was set back.
        let is_over = |rule: &mut Running| {
            !(SignedDuration::ZERO..per).contains(&now.duration_since(rule.since))
        };
        let over = self.running.extract_if(.., is_over);
        over.filter_map(|rule| {
            let end = rule.since.checked_add(per).unwrap_or(now);
            rule.end(end.min(now))
        })
        .collect()
    }

    /// For each finding the position of its rule, where it is left out.
    fn choose(&mut self, findings: &[Finding], lines: u64, now: Timestamp) -> Vec<Option<usize>> {
        let mut by_rule: Vec<Vec<usize>> = vec![Vec::new(); self.running.len()];
        for (position, finding) in findings.iter().enumerate() {
            let rule = self.running(&finding.rule, now);
            if rule == by_rule.len() {
                by_rule.push(Vec::new());
            }
            by_rule[rule].push(position);
        }
        let mut left_out = vec![None; findings.len()];
        for (rule, mut positions) in by_rule.into_iter().enumerate() {
            let running = &mut self.running[rule];
            let room = usize::try_from(lines - running.written).unwrap_or(usize::MAX);
            // Of those as great the first stay.
            positions.sort_by_key(|&position| Reverse(findings[position].count));
            running.written += positions.len().min(room) as u64;
            for position in positions.into_iter().skip(room) {
                left_out[position] = Some(rule);
            }
        }
        left_out
    }

    /// Where the rule is among those whose time is running.
    fn running(&mut self, rule: &Arc<Rule>, now: Timestamp) -> usize {
        let is_it = |running: &Running| Arc::ptr_eq(&running.rule, rule);
        self.running.iter().position(is_it).unwrap_or_else(|| {
            self.running.push(Running {
                rule: Arc::clone(rule),
                since: now,
                written: 0,
                left_out: None,
            });
            self.running.len() - 1
        })
    }
}

impl Running {
    fn leave_out(&mut self, finding: Finding, per: Duration) {
        let Finding { at, start, end, .. } = finding;
        let Some(Told {
            finding: greatest,
            left_out: Some(all),
        }) = &mut self.left_out
        else {
            let count = 1;
            let left_out = Some(LeftOut {
                at,
                count,
                start,
                end,
                per,
            });
            self.left_out = Some(Told { finding, left_out });
            return;
        };
        all.count += 1;
        all.start = all.start.min(start);
        all.end = all.end.max(end);
        if finding.count > greatest.count {
            *greatest = finding;
        }
    }

    /// What was left out, at its end.
    fn end(self, now: Timestamp) -> Option<Told> {
        let mut told = self.left_out?;
        if let Some(left_out) = &mut told.left_out {
            left_out.at = now;
        }
        Some(told)
    }
}
