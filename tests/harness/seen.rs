//! What the agent has written so far: alerts on stdout, and on stderr how many packets each poll saw.
//!
//! In: lines. Out: [`Seen`], which conditions are asked of. Pure: no process, no clock.

use std::fmt;

use serde_json::Value;

/// One alert, a JSON object of the Elastic Common Schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    fields: Value,
    /// The number of the last poll whose line had been read when this alert was.
    pub after_poll: u64,
}

impl Alert {
    /// The field of a dotted name, such as `source.ip`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        name.split('.')
            .try_fold(&self.fields, |object, key| object.get(key))
    }

    /// The same as text; numbers as they are written.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        Some(match self.field(name)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// The rule and the measure that fired.
    #[must_use]
    pub fn fired(&self) -> (String, String) {
        let text = |name| self.text(name).unwrap_or_default();
        (text("rule.id"), text("recon.measure"))
    }

    /// Whether this rule and this measure fired.
    #[must_use]
    pub fn is(&self, rule: &str, measure: &str) -> bool {
        let (fired_rule, fired_measure) = self.fired();
        fired_rule == rule && fired_measure == measure
    }

    /// Names of the signals that were counted.
    #[must_use]
    pub fn signals(&self) -> Vec<&str> {
        let signals = self.field("recon.signals").and_then(Value::as_array);
        signals
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fields)
    }
}

/// What one poll counted, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that crossed an inbound hook.
    pub frames_in: u64,
    /// Frames that crossed an outbound hook.
    pub frames_out: u64,
    /// What was counted under the table's keys.
    pub signals: u64,
    /// The keys that were drained.
    pub keys: u64,
    /// What could not be counted.
    pub lost: u64,
    /// Of that, for want of room in the table.
    pub lost_table_full: u64,
}

impl Tally {
    /// The tally of a line of `name=number` words.
    fn of_line(line: &str) -> Self {
        let value = |name| {
            let words = line
                .split_whitespace()
                .filter_map(|word| word.split_once('='));
            let mut values = words.filter(|&(key, _)| key == name);
            values
                .next()
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(0)
        };
        Self {
            frames_in: value("frames_in"),
            frames_out: value("frames_out"),
            signals: value("signals"),
            keys: value("keys"),
            lost: value("lost"),
            lost_table_full: value("lost_table_full"),
        }
    }

    fn add(&mut self, other: &Self) {
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        self.signals += other.signals;
        self.keys += other.keys;
        self.lost += other.lost;
        self.lost_table_full += other.lost_table_full;
    }
}

/// Everything that has been read of the agent.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The alerts, in order.
    pub alerts: Vec<Alert>,
    /// The lines of stderr.
    pub log: Vec<String>,
    /// Lines of stdout that are no JSON object. There must be none.
    pub garbage: Vec<String>,
    /// The number of the last poll.
    pub polls: u64,
    /// The polls' lines, added up.
    pub polled: Tally,
    /// The agent's own sum, written at its end.
    pub totals: Option<Tally>,
    /// Whether it watches.
    pub is_ready: bool,
    /// Whether stderr has ended, as it does when the process has.
    pub is_over: bool,
}

impl Seen {
    /// Takes a line of stdout.
    pub fn read_stdout(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(fields @ Value::Object(_)) => self.alerts.push(Alert {
                fields,
                after_poll: self.polls,
            }),
            _ => self.garbage.push(line.to_owned()),
        }
    }

    /// Takes a line of stderr.
    pub fn read_stderr(&mut self, line: &str) {
        self.is_ready |= line.contains("watching");
        if let Some(number) = poll_number(line) {
            self.polls = number;
            self.polled.add(&Tally::of_line(line));
        } else if line.contains("totals: ") {
            self.totals = Some(Tally::of_line(line));
        }
        self.log.push(line.to_owned());
    }

    /// The alerts of this rule and this measure.
    pub fn fired<'a>(&'a self, rule: &'a str, measure: &'a str) -> impl Iterator<Item = &'a Alert> {
        self.alerts
            .iter()
            .filter(move |alert| alert.is(rule, measure))
    }

    /// Whether a line of the log contains `text`.
    #[must_use]
    pub fn has_logged(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The end of the log says enough.
        const LINES: usize = 30;
        let busy: Vec<_> = self.log.iter().filter(|line| !is_idle_poll(line)).collect();
        let tail = busy.len().saturating_sub(LINES);
        writeln!(f, "counted so far: {:?}", self.polled)?;
        for alert in self.alerts.iter().take(LINES) {
            let message = alert.text("message").unwrap_or_default();
            writeln!(f, "alert: {message} {:?}", alert.signals())?;
        }
        for line in self.garbage.iter().take(LINES) {
            writeln!(f, "no alert: {line}")?;
        }
        for line in &busy[tail..] {
            writeln!(f, "log: {line}")?;
        }
        Ok(())
    }
}

/// The number in `poll 7: frames_in=...`.
fn poll_number(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("poll ")?;
    let (number, _) = rest.split_once(": ")?;
    number.parse().ok()
}

fn is_idle_poll(line: &str) -> bool {
    poll_number(line).is_some() && Tally::of_line(line) == Tally::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let mut seen = Seen::default();
        for line in [
            "[INFO] watching 1 interface",
            "[DEBUG] poll 3: frames_in=5 frames_out=2 signals=4 keys=3 lost=2 lost_table_full=1",
            "[DEBUG] poll 4: frames_in=1 frames_out=0 signals=1 keys=1 lost=0",
            "[INFO] totals: polls=4 frames_in=6 frames_out=2 signals=5 keys=4 lost=2 alerts=1",
        ] {
            seen.read_stderr(line);
        }
        seen.read_stdout(
            r#"{"rule":{"id":"port-scan"},"recon":{"measure":"count","signals":["syn"]}}"#,
        );
        seen.read_stdout("hello");
        let sum = Tally {
            frames_in: 6,
            frames_out: 2,
            signals: 5,
            keys: 4,
            lost: 2,
            lost_table_full: 1,
        };
        assert_eq!((seen.is_ready, seen.polls, seen.polled), (true, 4, sum));
        assert_eq!(
            seen.totals,
            Some(Tally {
                lost_table_full: 0,
                ..sum
            })
        );
        let alert = seen
            .fired("port-scan", "count")
            .next()
            .expect("the alert above");
        assert_eq!((alert.signals(), alert.after_poll), (vec!["syn"], 4));
        assert_eq!(seen.garbage, ["hello"]);
    }
}
