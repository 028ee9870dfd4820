//! Names of remotes, from the answers to this host's own DNS queries.
//!
//! In: the frames that the kernel programs hand over. Out: names, which lines take; log lines about
//! frames that came faster than polls read them.

use aya::Ebpf;
use recon_common::FrameOrigin;

use super::Agent;
use super::clock::now;
use super::ring_loss_log::RingLossLog;
use crate::drain::{CountMaps, DnsFrames, DrainError};

/// Where names come from.
#[derive(Debug)]
pub(super) struct NameFeed {
    frames: DnsFrames,
    lost: RingLossLog,
}

impl NameFeed {
    /// Takes the ring out of a loaded kernel object.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        Ok(Self {
            frames: DnsFrames::open(ebpf)?,
            lost: RingLossLog::default(),
        })
    }

    /// Reports how many frames are lost, at most once a minute.
    fn report_lost(&mut self, is_last: bool) {
        let lost = self.frames.lost();
        if let Some(unreported) = self.lost.take_unreported(lost, is_last) {
            tracing::warn!(
                "enrich.names: {unreported} DNS messages came faster than polls read them: remotes that they are about may lack a name; a shorter --interval reads more"
            );
        }
    }
}

impl<M: CountMaps> Agent<M> {
    /// Takes names out of what the kernel programs have handed over since the last call.
    pub(super) fn learn_names(&mut self) {
        let Some(feed) = &mut self.name_feed else {
            return;
        };
        let names = self.lines.names_mut();
        names.set_time(now());
        feed.frames.read(|origin, bytes| {
            names.note_frame(FrameOrigin::unpack(origin), bytes);
        });
        feed.report_lost(false);
    }

    /// How many frames came faster than polls read them.
    pub(super) fn lost_dns_messages(&self) -> u64 {
        let feed = self.name_feed.as_ref();
        feed.map_or(0, |feed| feed.frames.lost())
    }

    /// Takes the last ones, and reports what was lost.
    pub(super) fn end_names(&mut self) {
        self.learn_names();
        if let Some(feed) = &mut self.name_feed {
            feed.report_lost(true);
            tracing::info!(
                "enrich.names: {} addresses have a name",
                self.lines.names_mut().len()
            );
        }
    }
}
