//! `[record]`: the headers of the packets that an alert is about, as a file beside it.
//!
//! In: the headers that the kernel programs hand over, findings before their lines. Out: a file for
//! each finding that begins or grows, whose path the line has.
//! The decision held here: headers are kept before a poll is judged, so that a finding has those of
//! its own poll. A line names a file once it waits to be written; what does not get there is
//! counted, and the line goes on without it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use aya::Ebpf;

use super::Agent;
use super::places::PlaceNames;
use super::ring_loss_log::RingLossLog;
use crate::alert;
use crate::boot;
use crate::cli::RunOptions;
use crate::drain::{CountMaps, DrainError, HitHeaders};
use crate::incident::{Finding, Notification, PacketEvidence, Phase};
use crate::parent_folder::parent_folder;
use crate::process::Process;
use crate::record::{
    EvidenceCounts, EvidenceFile, EvidenceFolder, EvidenceQuery, EvidenceWriter, HeaderStore,
    RecordedHeader, file_name,
};
use crate::settings::Settings;
use crate::sink::last_moment;

/// Where evidence goes: the option wins over the setting.
pub(crate) fn folder<'a>(options: &'a RunOptions, settings: &'a Settings) -> Option<&'a Path> {
    let set = settings.record.directory.as_deref();
    options.record.as_deref().or(set)
}

/// Opens the folder, if there is to be one, and starts the thread that writes there. To be called
/// while signals reach threads: the sandbox reduces each by one.
///
/// # Errors
/// The folder can't be opened or created, or the system has no more threads.
pub(super) fn start_writer(
    options: &RunOptions,
    settings: &Settings,
) -> anyhow::Result<Option<EvidenceWriter>> {
    let Some(path) = folder(options, settings) else {
        return Ok(None);
    };
    ensure_not_state(path, options.state.as_deref())?;
    let folder = EvidenceFolder::open(path, settings.record.size.0).with_context(|| {
        format!(
            "can't record to {}: name a folder for --record or record.directory that recon may create or write to",
            path.display()
        )
    })?;
    tracing::info!(
        "record: alerts leave the headers of their packets in {}, up to {} MiB",
        folder.path().display(),
        settings.record.size.0 >> 20
    );
    let writer = EvidenceWriter::start(folder);
    writer
        .map(Some)
        .context("can't start the thread that writes evidence")
}

/// Refuses the folder of the state, which takes no files of others.
fn ensure_not_state(path: &Path, state: Option<&Path>) -> anyhow::Result<()> {
    // Either may still be missing.
    let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let folders = [real(path), real(parent_folder(path))];
    let is_within = |state: &Path| folders.iter().any(|folder| folder.starts_with(real(state)));
    ensure!(
        !state.is_some_and(is_within),
        "can't record to {}: the folder of --state has recon's own files alone; use a folder outside of it",
        path.display()
    );
    Ok(())
}

/// What records.
#[derive(Debug)]
pub(super) struct Recorder {
    ring: HitHeaders,
    store: HeaderStore,
    writer: EvidenceWriter,
    lost: RingLossLog,
}

impl Recorder {
    /// Takes the ring out of a loaded kernel object.
    pub(super) fn open(
        ebpf: &mut Ebpf,
        writer: EvidenceWriter,
        settings: &Settings,
    ) -> Result<Self, DrainError> {
        Ok(Self {
            ring: HitHeaders::open(ebpf)?,
            store: HeaderStore::new(settings.header_memory()),
            writer,
            lost: RingLossLog::default(),
        })
    }

    /// Keeps what the kernel programs have handed over since the last call.
    fn read(&mut self, places: &mut PlaceNames) {
        let Self { ring, store, .. } = self;
        ring.read(|read| {
            store.add(RecordedHeader {
                since_boot: read.since_boot,
                key: read.key,
                origin: read.origin,
                interface: places.interface_name(read.interface),
                length: read.length,
                bytes: read.bytes.into(),
            });
        });
    }

    /// Hands the headers of a finding over to be written, and notes in it where they will be.
    fn record(&self, finding: &mut Finding, who: &[Process], host: &str) {
        let headers = self.store.find(&evidence_query(finding));
        if headers.is_empty() {
            return;
        }
        let event = alert::event_id(finding.incident, Some(host));
        let (rule, packets) = (finding.query.rule_id(), headers.len());
        let name = file_name(finding.at, rule, event);
        let path = self.writer.folder().join(&name);
        let file = EvidenceFile {
            name,
            about: format!("host {host}, rule {rule}, event.id {event}"),
            comment: format!("event.id {event}: {}", alert::message(finding, who)),
            boot: boot::time(),
            headers,
        };
        finding.evidence = self.writer.offer(file).then(|| PacketEvidence {
            file: path.display().to_string(),
            packets,
        });
    }

    /// What became of the files, and how many headers are lost.
    pub(super) fn counts(&self) -> (EvidenceCounts, u64) {
        (self.writer.counts(), self.ring.lost())
    }

    /// Reports how many headers are lost, at most once a minute.
    fn report_lost(&mut self, is_last: bool) {
        let lost = self.ring.lost();
        if let Some(unreported) = self.lost.take_unreported(lost, is_last) {
            tracing::warn!(
                "record: the headers of {unreported} packets had no room in the kernel's ring: the packets are counted and every alert is written, but evidence files may lack them; a shorter --interval empties the ring more often"
            );
        }
    }

    /// Waits until the files are written, and logs what became of them.
    pub(super) fn finish(mut self) {
        self.report_lost(true);
        let EvidenceCounts {
            files,
            bytes,
            evicted,
            failed,
        } = self.writer.finish(last_moment());
        tracing::info!(
            "totals of record: files={files} bytes={bytes} evicted={evicted} failed={failed} lost_packets={}",
            self.ring.lost()
        );
    }
}

/// Whose packets a finding is about.
fn evidence_query(finding: &Finding) -> EvidenceQuery {
    let remotes = match finding.remote {
        Some(remote) => vec![remote],
        // A process may have sent to more remotes than are listed.
        None if finding.is_outbound() && !finding.pids.is_empty() => Vec::new(),
        None => finding.remotes.clone(),
    };
    EvidenceQuery {
        is_outbound: finding.is_outbound(),
        signals: finding.signals,
        remotes,
        processes: finding.pids.clone(),
        port: finding.port,
        local: finding.local,
    }
}

impl<M: CountMaps> Agent<M> {
    /// Keeps the headers of what this poll has counted.
    pub(super) fn keep_headers(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.read(&mut self.places);
            recorder.report_lost(false);
        }
    }

    /// Records the headers of a finding that begins or grows, before its line.
    pub(super) fn record_evidence(&self, notification: &mut Notification, who: &[Process]) {
        if let (Some(recorder), Notification::Found(finding)) = (&self.recorder, notification)
            && finding.phase != Phase::Ended
        {
            recorder.record(finding, who, &self.host);
        }
    }
}
