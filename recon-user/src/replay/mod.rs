//! `recon replay`: what recon would have reported of a capture.
//!
//! In: captures, whose addresses are local, the rules in force. Out: the alerts that the agent
//! would have written, and a summary.
//!
//! | step | module |
//! |---|---|
//! | packets | [`files`], [`crate::capture`] |
//! | time | [`clock`], [`polls`] |
//! | counts, as in the kernel | [`engine`], over [`flows`] and [`connections`] |
//! | state, fetched a packet ahead | [`located`] |
//! | answers from other ports than were asked | [`waiting`] |
//! | answers whose questions were not captured | [`services`] |
//! | what one direction alone can't say | [`two_way`] |
//! | what began before the capture | [`old_ends`] |
//! | rows | [`served`] |
//! | rules, verdicts, alerts | [`crate::pipeline`] |
//! | what somebody expects | [`verify`], over [`incidents`] |
//! | what a report draws | [`kept`] |
//!
//! The decision held here: one engine for live and replayed packets. The parser, what a packet
//! means for a flow, rules and alerts are the agent's code; only the sources of packets, of time
//! and of what sockets know differ. What no packet shows is absent: processes, namespaces, logins.

mod clock;
mod connection;
mod connections;
mod engine;
mod files;
mod flows;
mod incidents;
mod located;
mod old_ends;
mod poll_counts;
mod polls;
mod progress;
mod segment;
mod served;
mod services;
mod summary;
mod two_way;
mod verify;
mod waiting;
mod with_attempts;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::num::NonZeroU16;

use jiff::Timestamp;
use recon_common::{Detail, Loss};

use crate::address::Network;
use crate::alert::{AlertLines, LineFormat, own_rule_id};
use crate::blind::{Blind, BlindReport};
use crate::capture::{CaptureContainer, Captured, Input, Link, LinkReader, Next, Unreadable};
use crate::incident::Notification;
use crate::pipeline::{Pipeline, PipelineSettings};
use crate::private_signals::PrivateSignals;
use crate::row::{Name, Row, RowKey, SignalSet, Standing};
use crate::settings::InForce;
use crate::stream::Interval;
use clock::CaptureClock;
use engine::{Engine, LocalAddresses};
pub use files::run;
use files::{Ended, judge_files, read_inputs};
use located::Located;
use polls::Polls;
use progress::Progress;
use served::Served;
use summary::{Summary, readable_links};
pub use verify::verify;
pub(crate) use with_attempts::{ReplayedCaptures, replay_with_attempts};

/// The rules in force, by whose packets a capture has.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRules<'a> {
    /// Those of local hosts.
    pub of_hosts: &'a InForce,
    /// Those of a network, in which everybody is local.
    pub of_mirror: &'a InForce,
}

impl<'a> ReplayRules<'a> {
    /// The rules for packets of these networks; those of everybody if there are none.
    #[must_use]
    pub fn of(self, local: &[Network]) -> &'a InForce {
        match local {
            [] => self.of_mirror,
            _ => self.of_hosts,
        }
    }
}

struct Replay {
    engine: Engine,
    /// The state of the packet that comes next, if that was found while the one before came.
    ahead: Option<Located>,
    clock: CaptureClock,
    /// The poll that is being read. `None` before the first packet.
    polls: Option<Polls>,
    pipeline: Pipeline,
    blind: Blind,
    lines: AlertLines,
    served: Served,
    private: PrivateSignals,
    summary: Summary,
}

impl Replay {
    fn new(local: &[Network], in_force: &InForce, format: LineFormat) -> Self {
        let locals = match local {
            [] => LocalAddresses::All,
            networks => LocalAddresses::Networks(networks.iter().copied().collect()),
        };
        Self {
            engine: Engine::new(locals),
            ahead: None,
            clock: CaptureClock::default(),
            polls: None,
            pipeline: Pipeline::new(PipelineSettings::new(in_force, SignalSet::default())),
            blind: Blind::new(in_force.settings.quiet.0),
            lines: AlertLines::of_unknown_host()
                .written_as(format)
                .enriched_by(in_force.settings.databases.clone()),
            served: Served::default(),
            private: PrivateSignals::new(in_force.settings.include_private),
            summary: Summary::default(),
        }
    }

    /// Reads a file to its end.
    fn read_file(&mut self, input: Input, out: &mut dyn Write) -> Result<(), Ended> {
        /// Packets between two looks at how far the file has been read.
        const BETWEEN: u64 = 4096;
        let (name, source) = (input.name.clone(), input.source.clone());
        let progress = Progress::new(&name, input.length);
        let mut container = CaptureContainer::open(input)?;
        let mut links = LinkReader::default();
        loop {
            match container.next()? {
                Next::Packet(packet) => self.count_packet(&packet, &mut links, &name, out)?,
                Next::End => return Ok(()),
                Next::Cut(position) => {
                    self.summary.cut_files += 1;
                    tracing::warn!(
                        "{name} ends within a packet or block that begins at byte {position}; the packets before it are judged"
                    );
                    return Ok(());
                }
            }
            if self.summary.packets.is_multiple_of(BETWEEN) {
                progress.show(source.read_bytes());
            }
        }
    }

    fn count_packet(
        &mut self,
        packet: &Captured<'_>,
        links: &mut LinkReader,
        name: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let link = Link::of(packet.link);
        let upcoming = packet.upcoming.zip(link);
        let upcoming = upcoming.and_then(|(bytes, link)| link.plain_frame(bytes));
        let ahead = upcoming.map(|frame| self.engine.locate(frame));
        let located = std::mem::replace(&mut self.ahead, ahead);
        self.summary.packets += 1;
        self.summary.bytes += u64::from(packet.length);
        let now = self.clock.advance(packet.time);
        self.summary.note_time(now);
        match &mut self.polls {
            Some(polls) if !polls.has_ended(now) => polls.note_packet(),
            _ => self.begin_poll(now, out)?,
        }
        let Some(link) = link else {
            if self.summary.note_unknown_link(packet.link) {
                tracing::error!(
                    "{name}: recon does not read packets of link type {}, only {}; skipping them",
                    packet.link,
                    readable_links()
                );
            }
            return Ok(());
        };
        let is_cut = packet.bytes.len() < packet.length as usize;
        self.summary.cut_packets += u64::from(is_cut);
        const NO_NAME: u32 = 0;
        let interface = packet
            .interface
            .map_or(NO_NAME, |name| name.number().get().into());
        let keys_before = self.engine.counts.rows.len();
        match links.read(link, packet.bytes) {
            Ok(frame) => {
                let located = located.unwrap_or_else(|| Located::of(frame));
                self.engine.observe(frame, located, interface, now);
            }
            Err(Unreadable::Cut) => self.engine.lose(Loss::Truncated),
            Err(Unreadable::NoNetwork) => self.summary.no_network += 1,
        }
        if let Some(log) = self.pipeline.attempt_log_mut() {
            let new = self.engine.counts.rows.iter().skip(keys_before);
            for key in new.filter_map(|(key, _)| RowKey::unpack(key)) {
                log.note_packet(&key, now);
            }
        }
        if self.engine.counts.is_full()
            && let Some(polls) = &mut self.polls
        {
            let cut = polls.cut(now);
            self.end_poll(cut, out)?;
        }
        Ok(())
    }

    /// Ends the polls before a packet of that time.
    fn begin_poll(&mut self, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        let mut polls = self.polls.unwrap_or_else(|| Polls::begin(now));
        while let Some(ended) = polls.end_before(now) {
            self.end_poll(ended, out)?;
        }
        polls.note_packet();
        self.polls = Some(polls);
        Ok(())
    }

    /// Judges what a poll has counted.
    fn end_poll(&mut self, interval: Interval, out: &mut dyn Write) -> io::Result<()> {
        self.summary.polls += 1;
        self.engine.resolve_old_ends(interval.to);
        if let Some(log) = self.pipeline.attempt_log_mut() {
            log.set_offset(self.clock.offset());
        }
        let Self {
            engine,
            pipeline,
            served,
            private,
            blind,
            ..
        } = self;
        let counts = &engine.counts;
        let rows = counts.rows.iter();
        for key in rows.filter_map(|(key, _)| RowKey::unpack(key)) {
            served.note_port(&key);
        }
        for (key, count) in &counts.rows {
            let Some((mut row, detail)) = RowKey::unpack_detail(key) else {
                continue;
            };
            if let Some(Detail::Interface(number)) = detail {
                row.interface = NonZeroU16::try_from(number).ok().map(Name::from_number);
            }
            private.add_row(&row, *count);
            let row = Row {
                listener: served.listener(&row),
                standing: Standing::default(),
                ..Row::bare(row, *count, interval.to)
            };
            pipeline.push(&row, interval);
            if let Some(answer) = served.answer_to_stream(&row.key, *count) {
                pipeline.push(&Row::bare(answer, 1, interval.to), interval);
            }
        }
        let mut notifications = pipeline.end_poll(interval, counts.lost > 0);
        blind.lose_signals(counts.signals, counts.lost);
        pipeline.note_blind(blind);
        private.warn();
        engine.counts.clear();
        let reports = blind.end_poll(interval.to);
        self.write(&mut notifications, &reports, out)
    }

    /// Ends all incidents, as there are no more packets.
    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(polls) = self.polls {
            let last = polls.current();
            // Nothing more answers.
            self.engine.resolve_old_ends(Timestamp::MAX);
            self.end_poll(last, out)?;
            let mut notifications = self.pipeline.finish(last.to);
            let reports = self.blind.finish(last.to);
            self.write(&mut notifications, &reports, out)?;
        }
        Ok(())
    }

    /// Logs what was read, and what was not judged.
    fn report(&self) {
        let two_way = &self.engine.two_way;
        if !two_way.is_shown() && self.summary.packets > 0 {
            tracing::warn!(
                "no two addresses of the capture send to each other: it shows one direction only, or nobody answered; packets that may be answers count as nothing (withheld={}), and what seems not answered may have been; capture both directions to judge them",
                two_way.withheld
            );
        }
        if !self.engine.has_local && self.engine.foreign > 0 {
            tracing::warn!(
                "no packet is from or to an address of --local, and foreign ones give no alert (foreign={}); name addresses that the capture has, or leave --local out to judge every destination",
                self.engine.foreign
            );
        }
        self.summary.report(&self.engine, &self.losses());
    }

    fn losses(&self) -> Vec<(String, u64)> {
        let suppressed = self.pipeline.suppressed();
        self.summary
            .losses(&self.engine, self.clock.faults, suppressed)
    }

    fn write(
        &mut self,
        notifications: &mut [Notification],
        reports: &[BlindReport],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let offset = self.clock.offset();
        for notification in notifications {
            if let Some(finding) = notification.finding() {
                self.summary.note_alert(finding.query.rule_id());
            }
            notification.shift(offset);
            out.write_all(self.lines.notification(notification, &[])?)?;
        }
        for report in reports {
            self.summary.note_alert(own_rule_id(&report.part));
            out.write_all(self.lines.blind(&report.shifted(offset))?)?;
        }
        Ok(())
    }
}
