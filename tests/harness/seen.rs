//! The agent's output so far: alerts on stdout, and the packet counts of each poll on stderr.
//!
//! In: lines. Out: [`Seen`], which conditions examine. Pure: no process, no clock.

use std::fmt;

use anyhow::{Result, ensure};
use serde_json::Value;

/// The rules about recon itself.
const OWN_RULES: [&str; 2] = ["recon-blind", "recon-tampered"];

/// One alert, a JSON object of the Elastic Common Schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    fields: Value,
    /// The number of alerts before it.
    number: usize,
}

impl Alert {
    /// The whole object.
    #[must_use]
    pub const fn fields(&self) -> &Value {
        &self.fields
    }

    /// The value of a dotted field name, such as `source.ip`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        name.split('.')
            .try_fold(&self.fields, |object, key| object.get(key))
    }

    /// The value as text; numbers as they are written.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        Some(match self.field(name)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// The detection and the measure that fired.
    #[must_use]
    pub fn fired(&self) -> (String, String) {
        let text = |name| self.text(name).unwrap_or_default();
        (text("rule.category"), text("recon.measure"))
    }

    /// Whether this rule and this measure fired.
    #[must_use]
    pub fn is(&self, rule: &str, measure: &str) -> bool {
        let (fired_rule, fired_measure) = self.fired();
        fired_rule == rule && fired_measure == measure
    }

    /// Whether it says that somebody has changed recon's maps.
    #[must_use]
    pub fn is_about_maps(&self) -> bool {
        let part = self.text("recon.blind.part");
        matches!(part.as_deref(), Some("counts" | "generation"))
    }

    /// The names of the counted signals.
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

/// The counts of one poll, or of all polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that crossed an inbound hook.
    pub frames_in: u64,
    /// Frames that crossed an outbound hook.
    pub frames_out: u64,
    /// The classes of the frames: signals, established, ignored and lost ones, in and out.
    pub classes: [[u64; 4]; 2],
    /// Signals that are no frames.
    pub signals_sockets: u64,
    /// Signals counted in the table.
    pub signals: u64,
    /// Signals counted under keys of their own sources.
    pub admitted: u64,
    /// Signals counted under keys of aggregated sources.
    pub sketched: u64,
    /// Drained keys.
    pub keys: u64,
    /// Signals that could not be counted.
    pub lost: u64,
    /// Signals that were not counted because the table was full.
    pub lost_table_full: u64,
}

impl Tally {
    /// Parses a line of `name=number` words.
    fn of_line(line: &str) -> Self {
        let value = |name: &str| value(line, name);
        Self {
            frames_in: value("frames_in"),
            frames_out: value("frames_out"),
            classes: ["in", "out"].map(|way| {
                let class = |name: &str| value(&format!("{name}_{way}"));
                [
                    class("signals"),
                    class("established"),
                    class("ignored"),
                    class("lost"),
                ]
            }),
            signals_sockets: value("signals_sockets"),
            signals: value("signals"),
            admitted: value("admitted"),
            sketched: value("sketched"),
            keys: value("keys"),
            lost: value("lost"),
            lost_table_full: value("lost_table_full"),
        }
    }

    /// Checks that every frame is in one class, and every signal in a row or lost. A poll's counts
    /// need not add up: frames go on while it reads them.
    ///
    /// # Errors
    /// When a sum is wrong.
    pub fn check_sums(&self) -> Result<()> {
        let frames = self.classes.map(|classes| classes.iter().sum::<u64>());
        ensure!(
            frames == [self.frames_in, self.frames_out],
            "frames that are in no class, or in two: {self:?}"
        );
        let [[inbound, ..], [outbound, ..]] = self.classes;
        ensure!(
            inbound + outbound + self.signals_sockets == self.signals + self.lost_table_full,
            "signals of frames and sockets that are neither in a row nor lost: {self:?}"
        );
        ensure!(self.admitted + self.sketched == self.signals, "{self:?}");
        Ok(())
    }

    fn add(&mut self, other: &Self) {
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        let sums = self.classes.as_flattened_mut().iter_mut();
        sums.zip(other.classes.as_flattened())
            .for_each(|(sum, class)| *sum += class);
        self.signals_sockets += other.signals_sockets;
        self.signals += other.signals;
        self.admitted += other.admitted;
        self.sketched += other.sketched;
        self.keys += other.keys;
        self.lost += other.lost;
        self.lost_table_full += other.lost_table_full;
    }
}

/// The agent's output so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The alerts, in order.
    pub alerts: Vec<Alert>,
    /// The digests, in order.
    pub digests: Vec<Value>,
    /// How many of the alerts are findings.
    found: usize,
    /// The lines of stderr.
    pub log: Vec<String>,
    /// Lines of stdout that are not a JSON object. There must be none.
    pub garbage: Vec<String>,
    /// The number of the last poll.
    pub polls: u64,
    /// The sum of all polls.
    pub polled: Tally,
    /// For each poll with results: its number, and the signals drained or lost and the alerts found
    /// by its end.
    grown: Vec<(u64, u64, usize)>,
    /// The agent's own totals, which it logs at its end.
    pub totals: Option<Tally>,
    /// Whether it watches.
    pub is_ready: bool,
    /// How many of its pipes may still bring a line. Its end closes one after the other.
    pub open_pipes: usize,
}

impl Seen {
    /// Adds a line of stdout.
    pub fn read_stdout(&mut self, line: &str) {
        match serde_json::from_str::<Value>(line) {
            Ok(fields) if fields["event"]["kind"] == "metric" => self.digests.push(fields),
            Ok(fields @ Value::Object(_)) => {
                let number = self.found;
                // What is about recon itself is not among a poll's findings.
                let rule = fields["rule"]["category"].as_str();
                self.found += usize::from(!rule.is_some_and(|id| OWN_RULES.contains(&id)));
                self.alerts.push(Alert { fields, number });
            }
            _ => self.garbage.push(line.to_owned()),
        }
    }

    /// Adds a line of stderr.
    pub fn read_stderr(&mut self, line: &str) {
        self.is_ready |= line.contains("watching");
        if let Some(number) = poll_number(line) {
            self.polls = number;
            self.polled.add(&Tally::of_line(line));
            let before = self.grown.last().map_or(0, |&(_, _, alerts)| alerts);
            let alerts = before + usize::try_from(value(line, "findings")).unwrap_or(0);
            let signals = self.polled.signals + self.polled.lost;
            self.grown.push((number, signals, alerts));
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

    /// The number of the poll that found the alert, once that poll's line is here.
    #[must_use]
    pub fn reported_in(&self, alert: &Alert) -> Option<u64> {
        let mut polls = self.grown.iter();
        polls
            .find(|&&(_, _, alerts)| alerts > alert.number)
            .map(|&(poll, ..)| poll)
    }

    /// The number of the poll by which that many signals since the start were drained or lost.
    #[must_use]
    pub fn drained_in(&self, signals: u64) -> Option<u64> {
        let mut polls = self.grown.iter();
        polls
            .find(|&&(_, drained, _)| drained >= signals)
            .map(|&(poll, ..)| poll)
    }

    /// Whether a log line contains `text`.
    #[must_use]
    pub fn has_logged(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The last lines of the log suffice.
        const LINES: usize = 30;
        let busy: Vec<_> = self.log.iter().filter(|line| !is_idle_poll(line)).collect();
        let tail = busy.len().saturating_sub(LINES);
        writeln!(f, "counted so far: {:?}", self.polled)?;
        for alert in self.alerts.iter().take(LINES) {
            let message = alert.text("message").unwrap_or_default();
            writeln!(f, "alert: {message} {:?}", alert.signals())?;
        }
        for line in self.garbage.iter().take(LINES) {
            writeln!(f, "garbage: {line}")?;
        }
        for line in &busy[tail..] {
            writeln!(f, "log: {line}")?;
        }
        Ok(())
    }
}

/// The number in the word `name=number` of a line, or 0.
fn value(line: &str, name: &str) -> u64 {
    let words = line.split_whitespace();
    let mut pairs = words.filter_map(|word| word.split_once('='));
    let pair = pairs.find(|&(key, _)| key == name);
    pair.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
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

    /// Frames in one class each, and the signals of both kinds of hooks.
    const TALLY: Tally = Tally {
        frames_in: 6,
        frames_out: 2,
        classes: [[3, 1, 1, 1], [2, 0, 0, 0]],
        signals_sockets: 1,
        signals: 5,
        admitted: 3,
        sketched: 2,
        keys: 4,
        lost: 2,
        lost_table_full: 1,
    };

    #[test]
    fn lines_are_read() {
        let mut seen = Seen::default();
        for line in [
            "[INFO] watching 1 interface",
            "[DEBUG] poll 3: frames_in=5 signals_in=3 established_in=0 ignored_in=1 lost_in=1 ignored_in_not_ip=1 frames_out=2 signals_out=2 established_out=0 ignored_out=0 lost_out=0 signals_sockets=0 signals=4 admitted=2 sketched=2 keys=3 lost=2 lost_table_full=1 findings=0",
            "[DEBUG] poll 4: frames_in=1 signals_in=0 established_in=1 ignored_in=0 lost_in=0 frames_out=0 signals_out=0 established_out=0 ignored_out=0 lost_out=0 signals_sockets=1 signals=1 admitted=1 sketched=0 keys=1 lost=0 findings=1",
            "[INFO] totals: polls=4 frames_in=6 signals_in=3 established_in=1 ignored_in=1 lost_in=1 frames_out=2 signals_out=2 established_out=0 ignored_out=0 lost_out=0 signals_sockets=1 signals=5 admitted=3 sketched=2 keys=4 lost=2 lost_table_full=1 lost_truncated=1 alerts=1",
        ] {
            seen.read_stderr(line);
        }
        seen.read_stdout(
            r#"{"rule":{"category":"port-scan"},"recon":{"measure":"count","signals":["syn"]}}"#,
        );
        seen.read_stdout("hello");
        assert_eq!((seen.is_ready, seen.polls, seen.polled), (true, 4, TALLY));
        assert_eq!(seen.totals, Some(TALLY));
        let alert = seen
            .fired("port-scan", "count")
            .next()
            .expect("the alert above");
        assert_eq!(
            (alert.signals(), seen.reported_in(alert)),
            (vec!["syn"], Some(4))
        );
        for (signals, poll) in [(1, Some(3)), (6, Some(3)), (7, Some(4)), (8, None)] {
            assert_eq!(seen.drained_in(signals), poll, "{signals} signals");
        }
        assert_eq!(seen.garbage, ["hello"]);
    }

    #[test]
    fn sums_are_checked() {
        TALLY.check_sums().expect("right sums");
        for wrong in [
            Tally {
                frames_in: 7,
                ..TALLY
            },
            Tally {
                classes: [[3, 1, 1, 1], [2, 0, 1, 0]],
                ..TALLY
            },
            Tally {
                signals_sockets: 0,
                ..TALLY
            },
            Tally {
                admitted: 4,
                ..TALLY
            },
        ] {
            wrong.check_sums().expect_err("a wrong sum");
        }
    }
}
