//! One metric: its name, what it means, and its samples.
//!
//! In: a row of the table in [`super::families`]. Out: the name that a scraper sees, and samples
//! for the encoder.

use super::histogram::DurationHistogram;
use super::own::OwnUsage;
use super::published::Published;
use super::snapshot::Snapshot;

/// What begins each name.
pub(super) const PREFIX: &str = "recon";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Grows until the process ends.
    Counter,
    /// Grows and falls.
    Gauge,
    Histogram,
    /// 1, with labels that hold text.
    Info,
}

impl Kind {
    /// The name in the documentation.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }

    /// What ends the names of its samples.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge | Self::Histogram => "",
            Self::Info => "_info",
        }
    }
}

/// The unit of a metric, which is a part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BaseUnit {
    Seconds,
    Bytes,
}

impl BaseUnit {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }
}

/// What the samples are read from.
#[derive(Debug)]
pub(super) struct Scrape<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) published: &'a Published,
    pub(super) own: OwnUsage,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Durations(DurationHistogram),
}

/// A value under the values of its family's labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: Vec<String>,
    pub(super) value: Value,
}

impl Sample {
    /// The only sample of a family without labels.
    pub(super) fn only(value: Value) -> Vec<Self> {
        vec![Self {
            labels: Vec::new(),
            value,
        }]
    }

    /// The only sample, a whole number.
    pub(super) fn count(count: u64) -> Vec<Self> {
        Self::only(Value::Whole(count))
    }

    /// The only sample, the number of something.
    pub(super) fn size(size: usize) -> Vec<Self> {
        Self::count(size as u64)
    }

    /// A whole number under those values of labels.
    pub(super) fn of(labels: &[&str], count: u64) -> Self {
        Self::with(labels, Value::Whole(count))
    }

    /// A value under those values of labels.
    pub(super) fn with(labels: &[&str], value: Value) -> Self {
        Self {
            labels: labels.iter().map(|&value| value.to_owned()).collect(),
            value,
        }
    }
}

/// A metric.
#[derive(Debug)]
pub(super) struct Family {
    /// Its name, without prefix, unit and suffix.
    pub(super) name: &'static str,
    pub(super) unit: Option<BaseUnit>,
    pub(super) kind: Kind,
    /// The names of its labels.
    pub(super) labels: &'static [&'static str],
    /// One sentence.
    pub(super) help: &'static str,
    pub(super) read: fn(&Scrape<'_>) -> Vec<Sample>,
}
