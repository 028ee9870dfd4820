//! What became of the lines, for metrics.
//!
//! In: the queues of the output. Out: [`SinkCounts`].

use super::AgentOutput;
use crate::metrics::SinkCounts;
use crate::settings::{ALERTS_SINK, EVENTS_SINK};
use crate::sink::{LineQueue, STDOUT, Written};

impl AgentOutput {
    /// What became of the lines of each sink.
    pub(in crate::agent) fn sink_counts(&self) -> Vec<SinkCounts> {
        let alerts = match &self.alert_file {
            Some(_) => ALERTS_SINK,
            None => STDOUT,
        };
        let rows = self.events.as_ref().unwrap_or(&self.main).rows.as_ref();
        let rows = rows.map(|rows| count(EVENTS_SINK, rows));
        let named = self.sinks().map(|sink| SinkCounts {
            name: sink.name,
            queued: sink.waiting,
            written: sink.written,
            dropped: sink.dropped,
        });
        let alerts = [count(alerts, self.main.sink.queue())];
        alerts.into_iter().chain(rows).chain(named).collect()
    }
}

fn count(name: &str, queue: &LineQueue) -> SinkCounts {
    let Written {
        written, dropped, ..
    } = queue.so_far();
    SinkCounts {
        name: name.to_owned(),
        queued: queue.lines().saturating_sub(written + dropped),
        written,
        dropped,
    }
}
