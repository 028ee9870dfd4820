//! What a replay has read and written.
//!
//! In: packets, lines. Out: lines of the log at the end.
//! The decision held here: whatever was not judged is named with its number and its reason, so that
//! the other packets are known to have been.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use recon_common::Loss;

use super::clock::TimeFaults;
use super::engine::Engine;
use crate::capture::Link;

/// Sums over all files.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) packets: u64,
    /// Bytes of packets, on the wire.
    pub(super) bytes: u64,
    /// The first and the last time of a packet by the clock, which no broken time moves.
    span: Option<(Timestamp, Timestamp)>,
    /// Packets of which not all was captured.
    pub(super) cut_packets: u64,
    /// Packets that hold no IP or ARP, such as 802.11 management.
    pub(super) no_network: u64,
    /// Packets by the number of a link type that recon does not read.
    unknown_links: BTreeMap<u16, u64>,
    /// Files that end within a packet.
    pub(super) cut_files: u64,
    pub(super) polls: u64,
    /// Lines by rule.
    alerts: BTreeMap<String, u64>,
}

impl Summary {
    /// Notes a packet of that time, by a clock that never goes back.
    pub(super) fn note_time(&mut self, time: Timestamp) {
        match &mut self.span {
            Some((_, last)) => *last = time,
            None => self.span = Some((time, time)),
        }
    }

    /// Notes a packet of a link type that recon does not read. Returns whether it is the first.
    pub(super) fn note_unknown_link(&mut self, link: u16) -> bool {
        let count = self.unknown_links.entry(link).or_default();
        *count += 1;
        *count == 1
    }

    /// Notes a line about that rule.
    pub(super) fn note_alert(&mut self, rule: &str) {
        match self.alerts.get_mut(rule) {
            Some(count) => *count += 1,
            None => drop(self.alerts.insert(rule.to_owned(), 1)),
        }
    }

    /// Whether packets were skipped because recon does not read their link type.
    pub(super) fn has_gaps(&self) -> bool {
        !self.unknown_links.is_empty()
    }

    /// What was not judged, or only in part, by name; without what is 0.
    pub(super) fn losses(
        &self,
        engine: &Engine,
        times: TimeFaults,
        suppressed: u64,
    ) -> Vec<(String, u64)> {
        let frames = Loss::OF_FRAMES.into_iter().zip(engine.lost);
        let frames = frames.map(|(loss, count)| (loss.name(), count));
        let TimeFaults {
            late,
            broken,
            back,
            ahead,
        } = times;
        let rest = [
            ("connection_ends", engine.lost_ends()),
            ("unfollowed_segments", engine.unfollowed()),
            ("times_late", late),
            ("times_broken", broken),
            ("times_back", back),
            ("times_ahead", ahead),
            ("suppressed_lines", suppressed),
        ];
        let named = frames.chain(rest);
        let named = named.map(|(name, count)| (name.to_owned(), count));
        let links = self.unknown_links.iter();
        let links = links.map(|(link, &count)| (format!("link_type_{link}"), count));
        let all = named.chain(links);
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// Logs the sums.
    pub(super) fn report(&self, engine: &Engine, losses: &[(String, u64)]) {
        let Self {
            packets,
            bytes,
            cut_packets,
            no_network,
            cut_files,
            polls,
            ..
        } = self;
        let span = self.span.map_or(SignedDuration::ZERO, |(first, last)| {
            last.duration_since(first)
        });
        let lost: u64 = engine.lost.iter().sum();
        let mut line = format!(
            "totals: packets={packets} bytes={bytes} span={:.3}s polls={polls} foreign={} withheld={} no_network={no_network} cut_packets={cut_packets} cut_files={cut_files} lost={lost}",
            span.as_secs_f64(),
            engine.foreign,
            engine.two_way.withheld
        );
        for (name, count) in losses {
            line.push_str(&format!(" {name}={count}"));
        }
        tracing::info!("{line}");
        let alerts: Vec<String> = self
            .alerts
            .iter()
            .map(|(rule, count)| format!("{rule}={count}"))
            .collect();
        match alerts.is_empty() {
            true => tracing::info!("alerts: none"),
            false => tracing::info!("alerts: {}", alerts.join(" ")),
        }
    }
}

/// The link types that recon reads, for messages.
pub(super) fn readable_links() -> String {
    let numbers = (0..=u16::MAX).filter(|&number| Link::of(number).is_some());
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    numbers.join(", ")
}
