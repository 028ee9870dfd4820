//! How metrics with labels are read from a snapshot.
//!
//! In: what a scrape reads. Out: samples, each with the values of its labels.

use jiff::Timestamp;
use recon_common::{Direction, FrameClass, Signal};

use crate::blind::BlindPart;
use crate::drain::Frames;
use crate::hook::{HookCount, ProgramRuns};
use crate::metrics::family::{Sample, Scrape, Value};
use crate::metrics::snapshot::SinkCounts;

/// Seconds since 1970.
pub(super) fn seconds_of(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// Frames by direction, class and kind.
pub(super) fn frames(scrape: &Scrape<'_>) -> Vec<Sample> {
    let tally = &scrape.snapshot.tally;
    let directions = [
        (Direction::In, &tally.frames_in),
        (Direction::Out, &tally.frames_out),
    ];
    let of = |(direction, frames): (Direction, &Frames)| {
        let way = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let classes = FrameClass::all().map(|class| {
            let (name, kind) = match class {
                FrameClass::Signal => ("signal", "signal"),
                FrameClass::Established => ("established", "established"),
                FrameClass::Ignored(kind) => ("ignored", kind.name()),
                FrameClass::Lost(loss) => ("lost", loss.name()),
            };
            Sample::of(&[way, name, kind], frames.of(class))
        });
        classes.collect::<Vec<_>>()
    };
    directions.into_iter().flat_map(of).collect()
}

/// Signals by kind. Two signals have one name where rules tell them apart by their transport alone.
pub(super) fn signals(scrape: &Scrape<'_>) -> Vec<Sample> {
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for signal in Signal::ALL
        .into_iter()
        .filter(|&signal| signal.is_counted())
    {
        let count = scrape.snapshot.tally.by_signal.of(signal);
        match kinds.iter_mut().find(|(name, _)| *name == signal.name()) {
            Some((_, sum)) => *sum += count,
            None => kinds.push((signal.name(), count)),
        }
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(name, count)| Sample::of(&[name], count))
        .collect()
}

/// The programs that the kernel has ever counted.
pub(super) fn programs(scrape: &Scrape<'_>, value: fn(&ProgramRuns) -> Value) -> Vec<Sample> {
    let programs = scrape.snapshot.programs.iter();
    let counted = programs.filter(|program| program.runs > 0);
    counted
        .map(|program| Sample::with(&[&program.name], value(program)))
        .collect()
}

/// The lines of each sink.
pub(super) fn sinks(scrape: &Scrape<'_>, count: fn(&SinkCounts) -> u64) -> Vec<Sample> {
    let sinks = scrape.snapshot.sinks.iter();
    sinks
        .map(|sink| Sample::of(&[&sink.name], count(sink)))
        .collect()
}

/// The hooks of each kind.
pub(super) fn hooks(scrape: &Scrape<'_>, count: fn(&HookCount) -> usize) -> Vec<Sample> {
    let hooks = scrape.snapshot.hooks.iter();
    hooks
        .map(|hook| Sample::of(&[hook.name], count(hook) as u64))
        .collect()
}

/// The parts that are blind, or that somebody tampers with.
pub(super) fn parts(scrape: &Scrape<'_>, is_tampering: bool) -> Vec<Sample> {
    let names = BlindPart::NAMES
        .iter()
        .filter(|(_, tampers)| *tampers == is_tampering);
    let open = |name: &str| {
        let parts = scrape.snapshot.blind.iter();
        parts.filter(|part| part.name() == name).count() as u64
    };
    names
        .map(|(name, _)| Sample::of(&[name], open(name)))
        .collect()
}

/// What became of evidence files.
pub(super) fn evidence(scrape: &Scrape<'_>) -> Vec<Sample> {
    let counts = &scrape.snapshot.evidence;
    let outcomes = [
        ("written", counts.files),
        ("evicted", counts.evicted),
        ("failed", counts.failed),
    ];
    let sample = |(outcome, count): (&str, u64)| Sample::of(&[outcome], count);
    outcomes.map(sample).into()
}
