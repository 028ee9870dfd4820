//! The state of a pipeline as data: over a reload, and over a restart.
//!
//! In: a pipeline between two polls, other settings. Out: a pipeline that goes on under them; bytes
//! that hold its state, and a pipeline from such bytes.
//! The decisions held here:
//! - One mechanism for both: a saved state has its rules with it, so that it is first what it was,
//!   and is then reconfigured like a pipeline that runs.
//! - A query keeps its state as long as that means the same ([`Query::counts_like`]). The incidents
//!   of a query that is gone end, and those of a remote that a query no longer counts.
//! - After a boot, queries that group by the process begin anew: a pid is another process's then.

use std::io::{self, Write};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Pipeline, PipelineSettings, contact_needs};
use crate::contact::Contacts;
use crate::incident::{IncidentsState, LineLimiter, Notification, SavedIncidents};
use crate::kql::Severity;
use crate::stream::{GroupKey, KeyColumn, Moves, PlacedQuery, Query, SavedStream, StreamState};

/// What became of the rules of a pipeline under other settings.
#[derive(Debug)]
pub struct Reconfigured {
    /// What is written about rules that are gone.
    pub notifications: Vec<Notification>,
    /// The rules that begin without a state, each with its measure.
    pub fresh: Vec<String>,
    /// The rules whose state is dropped, each with its measure.
    pub gone: Vec<String>,
}

/// The state of a pipeline.
#[derive(Deserialize)]
struct PipelineState {
    rules: Vec<Query>,
    contacts: Contacts,
    stream: StreamState,
    incidents: IncidentsState,
    limiter: LineLimiter,
}

/// What a reference to a pipeline is saved as: the same as [`PipelineState`].
#[derive(Serialize)]
struct SavedPipeline<'a> {
    rules: Vec<&'a Query>,
    contacts: &'a Contacts,
    stream: SavedStream<'a>,
    incidents: SavedIncidents<'a>,
    limiter: &'a LineLimiter,
}

impl Pipeline {
    /// Goes on under other settings. What unchanged rules have counted stays, and so do their
    /// incidents. To be called between two polls.
    pub fn reconfigure(&mut self, settings: PipelineSettings, now: Timestamp) -> Reconfigured {
        self.change(settings, now, |_| true)
    }

    /// Forgets processes: after a boot, pids are those of others. Returns what is written about
    /// incidents by process, which are over. To be called between two polls.
    pub(crate) fn forget_processes(
        &mut self,
        settings: PipelineSettings,
        now: Timestamp,
    ) -> Vec<Notification> {
        let keeps = |query: &Query| !query.key.has(KeyColumn::Pid);
        let changed = self.change(settings, now, keeps);
        self.stream.forget_processes();
        self.contacts.forget_processes();
        changed.notifications
    }

    /// Goes on under other settings, with the state of those queries that `keeps` names.
    fn change(
        &mut self,
        settings: PipelineSettings,
        now: Timestamp,
        keeps: impl Fn(&Query) -> bool,
    ) -> Reconfigured {
        let lines = settings.lines;
        let mut old = std::mem::replace(self, Self::new(settings));
        let mut moves = Moves::between(old.queries(), self.queries());
        moves.retain(old.queries(), keeps);
        let fresh = self.queries().enumerate();
        let fresh = fresh.filter(|&(index, _)| !moves.has_state(index));
        let fresh = fresh.map(|(_, query)| query.rule_id().to_owned()).collect();
        let gone = old.queries().enumerate();
        let gone = gone.filter(|&(index, _)| moves.of(index).is_none());
        let gone = gone.map(|(_, query)| query.rule_id().to_owned()).collect();
        let mut notifications = old.end_gone(&moves, self.stream.queries(), now);
        let successors = self.stream.queries();
        let ended = old.limiter.reconfigure(lines, &successor(successors), now);
        notifications.extend(ended);
        self.limiter = old.limiter;
        let needs = contact_needs(successors.iter().map(|placed| &*placed.query), &self.stream);
        self.contacts = old.contacts;
        self.contacts.reconfigure(needs);
        let released = self.stream.adopt(old.stream.into_state(), &moves, now);
        let before = old.incidents.stats();
        let incidents = old.incidents.into_state();
        self.incidents
            .adopt(incidents, &moves, released, &self.stream);
        self.incidents.keep_totals(before);
        Reconfigured {
            notifications,
            fresh,
            gone,
        }
    }

    /// Ends the incidents of rules that are gone, and of remotes that a rule no longer counts.
    fn end_gone(
        &mut self,
        moves: &Moves,
        successors: &[PlacedQuery],
        now: Timestamp,
    ) -> Vec<Notification> {
        if self.limiter.ends_hour(now) {
            self.end_hour(now);
        }
        let ends = |index: usize, key: &GroupKey| {
            let successor = moves.of(index).map(|new| &successors[new].query);
            successor.is_none_or(|query| {
                let remote = key.remote.filter(|_| query.key.has(KeyColumn::Remote));
                remote.is_some_and(|remote| query.rule.allows(remote.to_ip()))
            })
        };
        let Self {
            stream,
            contacts,
            incidents,
            ..
        } = self;
        let mut findings = incidents.end_groups(stream, contacts, now, ends);
        self.describe(&mut findings);
        self.drop_lesser(&mut findings);
        self.limiter.limit_findings(findings, now)
    }

    /// The state, after what `to` holds.
    ///
    /// # Errors
    /// What `to` says, such as that it is full.
    pub fn save(&self, to: impl Write) -> io::Result<()> {
        let saved = SavedPipeline {
            rules: self.queries().collect(),
            contacts: &self.contacts,
            stream: self.stream.saved(),
            incidents: self.incidents.saved(),
            limiter: &self.limiter,
        };
        postcard::to_io(&saved, to)
            .map(drop)
            .map_err(io::Error::other)
    }

    /// A pipeline that goes on from saved bytes, under settings that may be others, and what is
    /// left of the bytes.
    ///
    /// # Errors
    /// The bytes are no state of this build.
    pub fn restore(
        bytes: &[u8],
        settings: PipelineSettings,
        now: Timestamp,
    ) -> Result<(Self, Reconfigured, &[u8]), postcard::Error> {
        let (state, rest) = postcard::take_from_bytes::<PipelineState>(bytes)?;
        let mut pipeline = Self::of_state(state, &settings, now);
        let reconfigured = pipeline.reconfigure(settings, now);
        Ok((pipeline, reconfigured, rest))
    }

    /// What a saved pipeline was.
    fn of_state(state: PipelineState, settings: &PipelineSettings, now: Timestamp) -> Self {
        let PipelineState {
            rules,
            contacts,
            stream,
            incidents,
            limiter,
        } = state;
        let mut pipeline = Self::new(PipelineSettings {
            rules: rules.into_iter().map(|query| query.rule).collect(),
            min_severity: Severity::Informational,
            // That is part of each rule.
            include_private: false,
            ..settings.clone()
        });
        let same = Moves((0..pipeline.stream.queries().len()).map(Some).collect());
        pipeline.contacts = contacts;
        let released = pipeline.stream.adopt(stream, &same, now);
        pipeline
            .incidents
            .adopt(incidents, &same, released, &pipeline.stream);
        pipeline.limiter = limiter;
        let queries = pipeline.stream.queries();
        // It knows the queries by their identity in memory. None of them is gone yet.
        let _ = pipeline
            .limiter
            .reconfigure(settings.lines, &successor(queries), now);
        pipeline
    }

    fn queries(&self) -> impl Iterator<Item = &Query> {
        self.stream.queries().iter().map(|placed| &*placed.query)
    }
}

/// Finds the query in whose place another is now.
fn successor(queries: &[PlacedQuery]) -> impl Fn(&Query) -> Option<Arc<Query>> {
    move |of| {
        let found = queries.iter().find(|placed| placed.query.counts_like(of));
        found.map(|placed| Arc::clone(&placed.query))
    }
}
