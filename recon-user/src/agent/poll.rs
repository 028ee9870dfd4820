//! One poll: from the kernel's counts to lines.
//!
//! In: what the kernel has counted since the poll before, new logins. Out: rows for the rules, the
//! events and the journal; then alerts, and what could not be seen.
//! The decision held here: the order. Rows reach their readers before the journal has them, the
//! journal before the kernel forgets them, and lines before the mark that says so.

use jiff::SignedDuration;
use recon_common::{Key, Registers};

use super::Agent;
use super::actors::Actors;
use super::clock::{self, now, to_wall};
use super::listener::listener;
use super::logins::login_row;
use super::saving;
use crate::drain::{CountMaps, Drain, DrainError, Tally};
use crate::incident::Notification;
use crate::row::{Row, RowKey, Standing};
use crate::stream::Interval;

/// The callback for each row of a poll.
type ForEach<'a> = dyn FnMut(&Key, u64, Option<&Registers>) + 'a;

impl<M: CountMaps> Agent<M> {
    /// One poll: drains the counts, evaluates the rules, writes alerts. Returns whether the counts
    /// could be drained.
    pub(super) fn poll(
        &mut self,
        drain: impl FnOnce(&mut Drain<M>, &mut ForEach<'_>) -> Result<Tally, DrainError>,
    ) -> bool {
        let interval = Interval {
            from: self.last,
            to: now(),
        };
        self.last = interval.to;
        let offset = clock::report_offset();
        self.totals.polls += 1;
        let _in_poll = tracing::info_span!("poll", number = self.totals.polls).entered();
        self.actors.begin_poll();
        self.served.begin_poll();
        let drained = self.read_counts(interval, offset, drain);
        let tally = drained.unwrap_or_default();
        self.keep_headers();
        self.end_rows(interval, offset, &tally);
        self.judge(interval, &tally);
        self.commit_poll();
        self.output.report_overflows();
        drained.is_some()
    }

    /// Gives the rows of a poll to the rules, the events and the journal. `None` if the poll has
    /// failed.
    fn read_counts(
        &mut self,
        interval: Interval,
        offset: SignedDuration,
        drain: impl FnOnce(&mut Drain<M>, &mut ForEach<'_>) -> Result<Tally, DrainError>,
    ) -> Option<Tally> {
        let Self {
            pipeline,
            actors,
            calls,
            served,
            places,
            private,
            output,
            host,
            saving,
            ..
        } = self;
        let mut push = |key: RowKey, count, sources: Option<&Registers>| {
            private.add_row(&key, count);
            let has_rows = output.has_rows();
            let needs = pipeline.process_needs(key.signal);
            let is_tool =
                |actors: &mut Actors, sender| (needs.tool || has_rows) && actors.is_tool(sender);
            let row = Row {
                key,
                count,
                time: interval.to,
                device: host,
                is_scanner: key.sender().is_some_and(|sender| is_tool(actors, sender)),
                process: key
                    .sender()
                    .filter(|_| needs.process || needs.tool || has_rows)
                    .and_then(|sender| actors.processes.find_image(sender)),
                listener: listener(served, &key),
                standing: Standing::default(),
                sources,
            };
            pipeline.push(&row, interval);
            output.row(&clock::on_wall(row, offset));
            saving::note_row(saving, &row);
        };
        let result = drain(&mut self.drain, &mut |key, count, sources| {
            if let Some(key) = places.unpack(key).filter(|key| !calls.hold(key, count)) {
                push(key, count, sources);
            }
        });
        for (key, count) in calls.end_poll() {
            push(key, count, None);
        }
        for session in std::mem::take(&mut self.logins) {
            let row = login_row(session, host, interval.to);
            pipeline.push(&row, interval);
            output.row(&clock::on_wall(row, offset));
            saving::note_row(saving, &row);
        }
        result.map_err(|error| self.note_failed_poll(error)).ok()
    }

    /// Ends the rows: nothing of this poll is lost from here on.
    fn end_rows(&mut self, interval: Interval, offset: SignedDuration, tally: &Tally) {
        if tally.is_lower_bound() {
            let events = tally.sketched + tally.lost_total();
            let time = to_wall(interval.to, offset);
            self.output.loss(time, &self.host, events);
        }
        self.output.end_rows();
        self.record_poll(interval, tally.is_lower_bound());
    }

    /// Evaluates the rules, and writes what they find and what could not be seen.
    fn judge(&mut self, interval: Interval, tally: &Tally) {
        let notifications = self.pipeline.end_poll(interval, tally.is_lower_bound());
        let findings = notifications.iter().filter_map(Notification::finding);
        self.report(tally, findings.count());
        let has_lines = !notifications.is_empty();
        self.write(notifications);
        self.private.warn();
        self.note_losses(tally);
        let reports = self.blind.end_poll(interval.to);
        self.write_blind(&reports);
        self.end_saved_poll(has_lines || !reports.is_empty());
    }
}
