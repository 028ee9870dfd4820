//! All metrics: the table that the encoder, the documentation and their tests read.
//!
//! In: what a scrape reads. Out: the samples of each metric.
//! The decision held here: every series whose labels are known is there from the start, with 0. A
//! rate over a counter that appears with its first event would miss that event. Only programs that
//! the kernel does not count have none.

mod read;

use recon_common::Loss;

use super::family::{BaseUnit, Family, Kind, Sample, Scrape, Value};
use crate::blind::BlindPart;
use crate::row::Verdict;
use crate::service::SHORT_VERSION;
use read::{evidence, frames, hooks, parts, programs, seconds_of, signals, sinks};

type Read = fn(&Scrape<'_>) -> Vec<Sample>;

const fn family(
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: Read,
) -> Family {
    Family {
        name,
        unit: None,
        kind,
        labels,
        help,
        read,
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: Read,
) -> Family {
    family(Kind::Counter, name, labels, help, read)
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: Read,
) -> Family {
    family(Kind::Gauge, name, labels, help, read)
}

impl Family {
    const fn in_unit(mut self, unit: BaseUnit) -> Self {
        self.unit = Some(unit);
        self
    }
}

const SECONDS: BaseUnit = BaseUnit::Seconds;
const BYTES: BaseUnit = BaseUnit::Bytes;

/// All of them, in the order in which they are written.
pub(super) const FAMILIES: &[Family] = &[
    family(
        Kind::Info,
        "build",
        &["version"],
        "The version and the commit of this recon",
        |_| vec![Sample::of(&[SHORT_VERSION], 1)],
    ),
    gauge(
        "start_time",
        &[],
        "Unix time at which this process started",
        |scrape| Sample::only(Value::Real(seconds_of(scrape.published.started_at()))),
    )
    .in_unit(SECONDS),
    counter(
        "cpu",
        &[],
        "Processor time of all threads of this process",
        |scrape| {
            let cpu = scrape.own.cpu.map(|cpu| Value::Real(cpu.as_secs_f64()));
            cpu.map_or_else(Vec::new, Sample::only)
        },
    )
    .in_unit(SECONDS),
    gauge(
        "resident_memory",
        &[],
        "Resident memory of this process",
        |scrape| scrape.own.resident.map_or_else(Vec::new, Sample::count),
    )
    .in_unit(BYTES),
    counter(
        "program_runs",
        &["program"],
        "Runs of each kernel program, if kernel.bpf_stats_enabled is or was on",
        |scrape| programs(scrape, |program| Value::Whole(program.runs)),
    ),
    counter(
        "program_run",
        &["program"],
        "Run time of each kernel program, if kernel.bpf_stats_enabled is or was on",
        |scrape| programs(scrape, |program| Value::Real(program.time.as_secs_f64())),
    )
    .in_unit(SECONDS),
    gauge(
        "poll_interval",
        &[],
        "How often the counts are polled",
        |scrape| Sample::only(Value::Real(scrape.published.interval().as_secs_f64())),
    )
    .in_unit(SECONDS),
    counter("polls", &[], "Polls, including failed ones", |scrape| {
        Sample::count(scrape.snapshot.polls)
    }),
    counter(
        "failed_polls",
        &[],
        "Polls that failed to drain the counts; the next one drains them",
        |scrape| Sample::count(scrape.snapshot.failed_polls),
    ),
    counter(
        "missed_polls",
        &[],
        "Polls that were due while another one was running",
        |scrape| Sample::count(scrape.snapshot.missed_polls),
    ),
    family(
        Kind::Histogram,
        "poll_duration",
        &[],
        "How long polls take until their lines are queued",
        |scrape| Sample::only(Value::Durations(scrape.snapshot.durations)),
    )
    .in_unit(SECONDS),
    gauge(
        "last_poll_timestamp",
        &[],
        "Unix time at which a poll last drained the counts; 0 before the first",
        |scrape| {
            let drained_at = scrape.snapshot.drained_at;
            Sample::only(Value::Real(drained_at.map_or(0.0, seconds_of)))
        },
    )
    .in_unit(SECONDS),
    counter(
        "frames",
        &["direction", "class", "kind"],
        "Frames that crossed the hooks, each in one class and kind",
        frames,
    ),
    counter(
        "signals",
        &["kind"],
        "Drained events by kind, as in recon.signals of alerts",
        signals,
    ),
    counter(
        "sketched_signals",
        &[],
        "Drained events that count under this host's address and port alone",
        |scrape| Sample::count(scrape.snapshot.tally.sketched),
    ),
    counter(
        "socket_signals",
        &[],
        "Events that are no frames: connections that were accepted, ended or failed",
        |scrape| Sample::count(scrape.snapshot.tally.socket_signals),
    ),
    counter(
        "drained_rows",
        &[],
        "Rows drained from the kernel's table",
        |scrape| Sample::count(scrape.snapshot.tally.keys),
    ),
    counter(
        "losses",
        &["reason"],
        "Events that could not be counted, by reason",
        |scrape| {
            let tally = &scrape.snapshot.tally;
            let losses = Loss::ALL.into_iter();
            losses
                .map(|loss| Sample::of(&[loss.name()], tally.lost_for(loss)))
                .collect()
        },
    ),
    gauge("rules", &[], "Queries of rules in force", |scrape| {
        Sample::size(scrape.snapshot.rules)
    }),
    gauge("groups", &[], "Groups of all rules", |scrape| {
        Sample::size(scrape.snapshot.pipeline.groups.groups)
    }),
    gauge(
        "small_sources",
        &[],
        "Sources far from any threshold, which are kept as rows",
        |scrape| Sample::size(scrape.snapshot.pipeline.groups.small_sources),
    ),
    gauge(
        "group_memory",
        &[],
        "Memory of all groups and small sources",
        |scrape| Sample::size(scrape.snapshot.pipeline.groups.bytes),
    )
    .in_unit(BYTES),
    gauge(
        "group_memory_limit",
        &[],
        "The most that groups and small sources may take",
        |scrape| Sample::size(scrape.snapshot.pipeline.groups.limit),
    )
    .in_unit(BYTES),
    counter(
        "evicted_groups",
        &[],
        "Sources and groups evicted for lack of memory",
        |scrape| Sample::count(scrape.snapshot.evictions.evicted),
    ),
    counter(
        "refused_rows",
        &[],
        "Rows dropped because memory was lacking for their source or group",
        |scrape| Sample::count(scrape.snapshot.evictions.refused),
    ),
    counter(
        "forgotten_processes",
        &[],
        "Processes evicted from the store of processes",
        |scrape| Sample::count(scrape.snapshot.processes_forgotten),
    ),
    gauge(
        "remotes",
        &[],
        "Remotes with evidence of a verdict",
        |scrape| Sample::size(scrape.snapshot.pipeline.remotes),
    ),
    counter(
        "verdicts",
        &["verdict"],
        "Times that the verdict on a remote became this one",
        |scrape| {
            let verdicts = Verdict::ALL
                .into_iter()
                .zip(scrape.snapshot.pipeline.verdicts);
            verdicts
                .map(|(verdict, count)| Sample::of(&[verdict.name()], count))
                .collect()
        },
    ),
    gauge("open_incidents", &[], "Incidents that are open", |scrape| {
        Sample::size(scrape.snapshot.pipeline.incidents.open)
    }),
    counter(
        "begun_incidents",
        &[],
        "Incidents that have begun, including those that got no line",
        |scrape| Sample::count(scrape.snapshot.pipeline.incidents.begun),
    ),
    counter(
        "ended_incidents",
        &[],
        "Incidents that have ended; one that is evicted with its group does not",
        |scrape| Sample::count(scrape.snapshot.pipeline.incidents.ended),
    ),
    counter(
        "suppressed_lines",
        &[],
        "Findings over the line limits; left_out lines and digests count them",
        |scrape| Sample::count(scrape.snapshot.pipeline.suppressed),
    ),
    counter(
        "alerts",
        &["rule", "phase"],
        "Lines by rule.id and recon.phase, including those that a sink dropped",
        |scrape| {
            let lines = scrape.snapshot.lines.iter();
            lines
                .map(|(rule, kind, count)| Sample::of(&[rule, kind.name()], count))
                .collect()
        },
    ),
    counter(
        "digests",
        &[],
        "Digests of an hour, including those that a sink dropped",
        |scrape| Sample::count(scrape.snapshot.lines.digests()),
    ),
    gauge(
        "sink_queued_lines",
        &["sink"],
        "Lines that wait for the reader of a sink",
        |scrape| sinks(scrape, |sink| sink.queued),
    ),
    counter(
        "sink_written_lines",
        &["sink"],
        "Lines that a sink has written",
        |scrape| sinks(scrape, |sink| sink.written),
    ),
    counter(
        "sink_dropped_lines",
        &["sink"],
        "Lines that a sink has dropped: its reader was slow or gone, its disk full",
        |scrape| sinks(scrape, |sink| sink.dropped),
    ),
    counter(
        "lost_dns_messages",
        &[],
        "DNS messages that came faster than polls read them, with enrich.names",
        |scrape| Sample::count(scrape.snapshot.lost_dns_messages),
    ),
    counter(
        "evidence_files",
        &["outcome"],
        "Files of [record]: written, deleted for newer ones, or failed",
        evidence,
    ),
    counter(
        "evidence",
        &[],
        "Bytes of written files of [record]",
        |scrape| Sample::count(scrape.snapshot.evidence.bytes),
    )
    .in_unit(BYTES),
    counter(
        "lost_headers",
        &[],
        "Packets whose headers had no room for [record]; they count",
        |scrape| Sample::count(scrape.snapshot.lost_headers),
    ),
    counter(
        "dropped_log_lines",
        &[],
        "Log lines dropped because the reader of stderr was slow",
        |scrape| Sample::count(scrape.snapshot.log_dropped),
    ),
    counter(
        "state_failures",
        &[],
        "Times that the state could not be saved",
        |scrape| Sample::count(scrape.snapshot.state_failures),
    ),
    gauge(
        "blind",
        &["part"],
        "Open incidents of recon-blind, by recon.blind.part",
        |scrape| parts(scrape, false),
    ),
    gauge(
        "tampered",
        &["part"],
        "Open incidents of recon-tampered, by recon.blind.part",
        |scrape| parts(scrape, true),
    ),
    counter(
        "blind_reports",
        &["part"],
        "Incidents of recon-blind and recon-tampered that have begun, by recon.blind.part",
        |scrape| {
            let began = &scrape.snapshot.blind_began;
            let names = BlindPart::NAMES.iter();
            names
                .map(|(part, _)| Sample::of(&[part], began.get(part).copied().unwrap_or(0)))
                .collect()
        },
    ),
    gauge(
        "hooks",
        &["hook"],
        "Hooks that are attached, those of packets once for each interface",
        |scrape| hooks(scrape, |hook| hook.attached),
    ),
    gauge(
        "missing_hooks",
        &["hook"],
        "Hooks that are not attached, although they should be",
        |scrape| hooks(scrape, |hook| hook.missing),
    ),
    gauge(
        "interfaces",
        &[],
        "Interfaces under watch that are there",
        |scrape| Sample::size(scrape.snapshot.interfaces),
    ),
    gauge(
        "missing_interfaces",
        &[],
        "Interfaces under watch that are gone",
        |scrape| Sample::size(scrape.snapshot.missing_interfaces),
    ),
];
