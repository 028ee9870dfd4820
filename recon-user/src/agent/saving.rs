//! The agent's state over a restart.
//!
//! In: the folder of `--state`, the rows of each poll, its lines. Out: a snapshot and a journal
//! ([`crate::state`]); at the start, the pipeline as it was, and the lines perhaps not written.
//! The decisions held here:
//! - A poll is recorded before the kernel forgets it, and marked once its lines are written. There
//!   is a snapshot before the first one: without it, no journal can be read.
//! - With a state, the end of recon ends no incident.
//! - The polls of the journal are judged again, by the same pipeline that live polls take: so a
//!   reload saves a snapshot, or the new rules would judge polls that the old ones have judged.
//! - After a boot, what is saved of processes is forgotten: their pids are those of others.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Agent;
use super::calls::Calls;
use super::clock::AgentClock;
use super::output::WRITE_WAIT;
use crate::blind::Blind;
use crate::drain::{Commit, CountMaps};
use crate::incident::Notification;
use crate::pipeline::{Pipeline, PipelineSettings, Reconfigured};
use crate::row::{Interval, Row};
use crate::state::{
    LoadedState, PollHead, PollRecorder, Record, SnapshotHead, StateError, StateStore,
};

/// Where the agent saves what it knows.
#[derive(Debug)]
pub(super) struct Saving {
    store: StateStore,
    recorder: PollRecorder,
    /// The number of the last poll.
    poll: u64,
    /// Whether polls since the last mark have lines.
    has_unmarked: bool,
    /// What the kernel has given up to the last poll.
    commit: Option<Commit>,
    /// Whether the machine has booted since the state was saved.
    has_booted: bool,
    /// Whether the rules have changed since the last snapshot.
    has_new_rules: bool,
}

/// What the agent knows besides the pipeline.
#[derive(Debug, Serialize, Deserialize)]
struct AgentState {
    calls: Calls,
    blind: Blind,
    clock: AgentClock,
}

/// The pipeline as it was, and what goes with it.
#[derive(Debug)]
struct Restored {
    pipeline: Pipeline,
    calls: Option<Calls>,
    blind: Option<Blind>,
    /// The time of the last poll.
    last: Timestamp,
    /// What may not have been written.
    notifications: Vec<Notification>,
}

/// What is read of polls that are judged again.
#[derive(Debug, Default)]
struct Replayed {
    polls: u64,
    /// The lines of each poll, by its number.
    lines: Vec<(u64, Vec<Notification>)>,
    marked: u64,
    agent: Option<AgentState>,
}

/// Opens the folder of the state, if there is one, and reads what an earlier process left there.
///
/// # Errors
/// The folder can't be used.
pub(super) fn open(
    folder: Option<&Path>,
) -> Result<(Option<Saving>, Option<LoadedState>), StateError> {
    let Some(folder) = folder else {
        return Ok((None, None));
    };
    let (store, loaded) = StateStore::open(folder)?;
    let mut saving = Saving::new(store, loaded.as_ref());
    let agent = loaded.as_ref().and_then(agent_state);
    if let (Some(loaded), Some(agent)) = (&loaded, agent) {
        saving.has_booted = !AgentClock::resume(&agent.clock, loaded.last_time());
    }
    Ok((Some(saving), loaded))
}

/// What the agent knew besides the pipeline.
fn agent_state(loaded: &LoadedState) -> Option<AgentState> {
    postcard::from_bytes(&loaded.head.agent).ok()
}

/// Notes a row of the poll that goes on, if it is to be recorded.
pub(super) fn note_row(saving: &mut Option<Saving>, row: &Row<'_>) {
    if let Some(saving) = saving {
        saving.recorder.add(row);
    }
}

impl Saving {
    fn new(store: StateStore, loaded: Option<&LoadedState>) -> Self {
        Self {
            store,
            recorder: PollRecorder::default(),
            poll: loaded.map_or(0, LoadedState::last_poll),
            has_unmarked: false,
            commit: loaded.and_then(LoadedState::commit).cloned(),
            has_booted: false,
            has_new_rules: false,
        }
    }
}

/// Goes on with what was loaded, under settings that may be others. `None` if the pipeline can't be
/// read.
fn restore(
    loaded: LoadedState,
    settings: PipelineSettings,
    host: &str,
    has_booted: bool,
) -> Option<Restored> {
    let agent = agent_state(&loaded);
    let LoadedState {
        head,
        pipeline,
        records,
        ..
    } = loaded;
    let restored = Pipeline::restore(&pipeline, settings.clone(), head.at);
    let (mut pipeline, reconfigured, _) = match restored {
        Ok(restored) => restored,
        Err(error) => {
            tracing::warn!(
                "the saved state can't be read: {error}; recon begins without what was counted before, and keeps that state as snapshot.unusable"
            );
            return None;
        }
    };
    let mut last = head.at;
    let replayed = replay(&mut pipeline, &records, host, &mut last);
    let Reconfigured {
        notifications,
        fresh,
        gone,
    } = reconfigured;
    let unmarked = replayed.lines.into_iter();
    let unmarked = unmarked.filter(|&(number, _)| number > replayed.marked);
    let repeated: Vec<_> = unmarked.flat_map(|(_, lines)| lines).collect();
    tracing::info!(
        "the state of {last} goes on: {} polls of the journal judged again, {} alerts that may not have been written",
        replayed.polls,
        repeated.len()
    );
    let anew = "are new or have changed, and begin without what was counted before";
    for (rules, what) in [
        (fresh, anew),
        (gone, "are gone, and their incidents are over"),
    ] {
        if !rules.is_empty() {
            tracing::info!("rules that {what}: {}", rules.join(", "));
        }
    }
    let agent = replayed.agent.or(agent);
    let (calls, blind) = match agent {
        Some(AgentState { calls, blind, .. }) => (Some(calls), Some(blind.resume(settings.quiet))),
        None => (None, None),
    };
    let mut restored = Restored {
        pipeline,
        calls,
        blind,
        last,
        notifications: notifications.into_iter().chain(repeated).collect(),
    };
    if has_booted {
        restored.forget_processes(settings);
    }
    Some(restored)
}

impl Restored {
    /// Forgets the processes of another boot.
    fn forget_processes(&mut self, settings: PipelineSettings) {
        tracing::info!(
            "the machine has booted since the state was saved: what it says of processes is forgotten, and incidents by process are over"
        );
        let ended = self.pipeline.forget_processes(settings, self.last);
        self.notifications.extend(ended);
        for notification in &mut self.notifications {
            if let Some(finding) = notification.finding_mut() {
                finding.senders.clear();
            }
        }
        self.calls = None;
    }
}

/// The bytes of an [`AgentState`], in the order of its fields.
fn encode_agent(calls: &Calls, blind: &Blind) -> Vec<u8> {
    postcard::to_allocvec(&(calls, blind, AgentClock::current())).unwrap_or_default()
}

/// Judges the polls of the journal again.
fn replay(
    pipeline: &mut Pipeline,
    records: &[Record],
    host: &str,
    last: &mut Timestamp,
) -> Replayed {
    let mut replayed = Replayed::default();
    for record in records {
        match record {
            Record::Poll(poll) => {
                poll.for_each_row(host, |row, interval| pipeline.push(row, interval));
                let lines = pipeline.end_poll(poll.head.interval, poll.head.is_lossy);
                if !lines.is_empty() {
                    replayed.lines.push((poll.head.number, lines));
                }
                replayed.agent = postcard::from_bytes(&poll.head.agent).ok();
                replayed.polls += 1;
                *last = poll.time();
            }
            Record::Mark(number) => replayed.marked = replayed.marked.max(*number),
        }
    }
    replayed
}

impl<M: CountMaps> Agent<M> {
    /// Records the rows of a poll, before the kernel forgets them.
    pub(super) fn record_poll(&mut self, interval: Interval, is_lossy: bool) {
        let Some(saving) = &mut self.saving else {
            return;
        };
        // What is in the journal is not given again, so its rows must be with their reader.
        self.output.flush_rows(WRITE_WAIT);
        saving.poll += 1;
        let head = PollHead {
            number: saving.poll,
            interval,
            is_lossy,
            commit: self.drain.uncommitted().cloned(),
            agent: encode_agent(&self.calls, &self.blind),
        };
        let record = saving.recorder.end_poll(&head);
        saving.store.append_poll(record);
        saving.commit = head.commit.or(saving.commit.take());
    }

    /// Ends a poll: marks it once its lines are written, and saves a snapshot if one is due.
    pub(super) fn end_saved_poll(&mut self, has_lines: bool) {
        let Some(saving) = &mut self.saving else {
            return;
        };
        saving.has_unmarked |= has_lines;
        self.mark_written();
        self.save_state(false);
    }

    /// Marks the polls so far if their lines are written.
    fn mark_written(&mut self) {
        if let Some(saving) = &mut self.saving
            && saving.has_unmarked
            && self.output.flush(WRITE_WAIT)
        {
            saving.has_unmarked = !saving.store.append_mark(saving.poll);
        }
    }

    /// Saves a snapshot with the rules that are in force now: the journal is judged by these, and
    /// is not to have polls from before. Waits for the disk, but not for long.
    pub(super) fn save_reload(&mut self) {
        let Some(saving) = &mut self.saving else {
            return;
        };
        saving.has_new_rules = true;
        self.mark_written();
        self.save_state(false);
        if let Some(saving) = &mut self.saving {
            saving.store.follow_snapshot(WRITE_WAIT);
        }
    }

    /// Goes on with what an earlier process left, if it left anything.
    pub(super) fn restore(&mut self, loaded: Option<LoadedState>, settings: PipelineSettings) {
        let has_booted = self.saving.as_ref().is_some_and(|saving| saving.has_booted);
        let is_loaded = loaded.is_some();
        let restored = loaded.and_then(|loaded| restore(loaded, settings, &self.host, has_booted));
        let Some(restored) = restored else {
            if let Some(saving) = self.saving.as_mut().filter(|_| is_loaded) {
                saving.store.set_old_aside();
            }
            self.save_first();
            return;
        };
        let Restored {
            pipeline,
            calls,
            blind,
            last,
            notifications,
        } = restored;
        self.pipeline = pipeline;
        if let Some(calls) = calls {
            self.calls.resume(calls);
        }
        if let Some(blind) = blind {
            self.blind = blind;
        }
        let has_lines = !notifications.is_empty();
        self.write(notifications);
        if let Some(saving) = &mut self.saving {
            saving.has_unmarked |= has_lines;
            // Pinned programs have counted since then.
            if saving.commit.is_some() {
                self.last = last;
            }
        }
    }

    /// Saves a snapshot of nothing, if there is a folder for it. Without one the journal of the
    /// first polls would say nothing to the next process.
    fn save_first(&mut self) {
        self.save_state(true);
        if let Some(saving) = &mut self.saving {
            saving.store.wait_for_snapshot();
        }
    }

    /// Saves a snapshot if one is due, or `is_due` in any case.
    pub(super) fn save_state(&mut self, is_due: bool) {
        let Self {
            saving: Some(saving),
            pipeline,
            calls,
            blind,
            last,
            ..
        } = self
        else {
            return;
        };
        match is_due {
            // One that is being written lacks what came since.
            true => saving.store.wait_for_snapshot(),
            false => saving.store.follow_snapshot(Duration::ZERO),
        }
        // Lines that wait for their reader are in the journal alone.
        let waits = saving.has_unmarked && !saving.store.is_journal_long();
        let is_wanted = match saving.has_new_rules {
            true => !saving.store.is_saving(),
            false => saving.store.is_snapshot_due(),
        };
        if !is_due && (waits || !is_wanted) {
            return;
        }
        let head = SnapshotHead {
            poll: saving.poll,
            at: *last,
            commit: saving.commit.clone(),
            agent: encode_agent(calls, blind),
        };
        saving.store.save_snapshot(&head, |to| pipeline.save(to));
        saving.has_new_rules = false;
    }

    /// How often the state could not be saved.
    pub(super) fn state_failures(&self) -> u64 {
        let saving = self.saving.as_ref();
        saving.map_or(0, |saving| saving.store.failures())
    }

    /// Saves the state at the end, and waits for the disk. Without a folder for it, what is open
    /// ends.
    pub(super) fn save_or_finish(&mut self) {
        self.save_state(true);
        match self.saving.take() {
            Some(saving) => {
                saving.store.finish();
            }
            None => {
                let notifications = self.pipeline.finish(self.last);
                self.write(notifications);
                let reports = self.blind.finish(self.last);
                self.write_blind(&reports);
            }
        }
    }
}
