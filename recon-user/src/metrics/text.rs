//! A snapshot as text for a scraper.
//!
//! In: what a scrape reads. Out: OpenMetrics 1.0, or the text format 0.0.4 of Prometheus.
//! The decision held here: the crate prometheus-client encodes OpenMetrics. The older format
//! differs in comments alone: the name of a counter there has its ending, and there are no units.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::families::FAMILIES;
use super::family::{Family, Kind, PREFIX, Sample, Scrape, Value};

/// What a scraper reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    /// The text format of Prometheus, as older scrapers read it.
    Plain,
}

impl Format {
    pub(super) const ALL: [Self; 2] = [Self::OpenMetrics, Self::Plain];

    /// The header `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What the header `Accept` asks for: OpenMetrics, unless plain text is preferred.
    pub(super) fn accepted_by(accept: Option<&str>) -> Self {
        /// Of a type without a number.
        const MOST: f64 = 1.0;
        let quality = |wanted: &str| {
            let of_range = |range: &str| {
                let mut parts = range.split(';').map(str::trim);
                let is_it = parts.next()?.eq_ignore_ascii_case(wanted);
                let number = parts.find_map(|part| part.strip_prefix("q="));
                is_it.then(|| number.map_or(Some(MOST), |number| number.parse().ok()))?
            };
            let ranges = accept.unwrap_or_default().split(',');
            ranges.filter_map(of_range).fold(0.0_f64, f64::max)
        };
        match quality("text/plain") > quality("application/openmetrics-text") {
            true => Self::Plain,
            false => Self::OpenMetrics,
        }
    }
}

/// Writes all metrics.
///
/// # Errors
/// Those of the encoder, which has none for text.
pub(super) fn write_text(scrape: &Scrape<'_>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    let read = FAMILIES
        .iter()
        .map(|family| (family, (family.read)(scrape)));
    registry.register_collector(Box::new(ReadFamilies(read.collect())));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Plain => to_plain(&text),
    })
}

/// All metrics with the samples of a scrape.
#[derive(Debug)]
struct ReadFamilies(Vec<(&'static Family, Vec<Sample>)>);

impl Collector for ReadFamilies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (family, samples) in &self.0 {
            let unit = family.unit.map(|unit| Unit::Other(unit.name().to_owned()));
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
            for sample in samples {
                encode_sample(&mut metric, family, sample)?;
            }
        }
        Ok(())
    }
}

fn encode_sample(
    metric: &mut MetricEncoder<'_>,
    family: &Family,
    sample: &Sample,
) -> Result<(), fmt::Error> {
    let labels = family.labels.iter().copied();
    let labels: Vec<_> = labels
        .zip(sample.labels.iter().map(String::as_str))
        .collect();
    if family.kind == Kind::Info {
        return metric.encode_info(&labels);
    }
    let mut metric = metric.encode_family(&labels)?;
    match (family.kind, &sample.value) {
        (_, Value::Durations(durations)) => metric.encode_histogram::<NoLabelSet>(
            durations.sum().as_secs_f64(),
            durations.count(),
            &durations.buckets(),
            None,
        ),
        (Kind::Counter, Value::Whole(value)) => {
            metric.encode_counter::<NoLabelSet, _, f64>(value, None)
        }
        (Kind::Counter, Value::Real(value)) => {
            metric.encode_counter::<NoLabelSet, _, f64>(value, None)
        }
        (_, Value::Whole(value)) => metric.encode_gauge(value),
        (_, Value::Real(value)) => metric.encode_gauge(value),
    }
}

/// OpenMetrics as the older format.
fn to_plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        let comment = line.strip_prefix("# ").map(|comment| {
            let mut words = comment.splitn(3, ' ');
            [(); 3].map(|()| words.next().unwrap_or_default())
        });
        match comment {
            // The type, which comes next, decides on the name.
            Some(["HELP", _, text]) => help = text,
            Some(["TYPE", name, kind]) => {
                let (suffix, kind) = match kind {
                    "counter" => (Kind::Counter.suffix(), kind),
                    "info" => (Kind::Info.suffix(), Kind::Gauge.name()),
                    _ => ("", kind),
                };
                plain += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            }
            Some(_) => {}
            None => {
                plain += line;
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests;
