//! What a row of the scenarios consists of.
//!
//! In: nothing. Out: types of constants, and what a row's texts mean on a kernel. The decision held
//! here: a row lists every line that `recon run` writes at its start, and for each attack the
//! alerts that must come, once each; what differs between kernels is a placeholder, so that one row
//! serves them all.

use std::ops::Range;

use recon_tests::{
    Alert, Seen,
    kernel::{self, Linux},
    lab::{ATTACKER, ATTACKER_LINK, ATTACKER6, HOST, HOST6},
    machine::GuestMachine,
};

/// The rows of a machine. They share a guest, one after the other.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) machine: &'static GuestMachine,
    /// Shell lines that prepare the guest.
    pub(super) inside: &'static str,
    /// Lines of `ip -batch` in the attacker's namespace.
    pub(super) outside: &'static str,
    pub(super) rows: &'static [Row],
}

/// A situation that recon must handle.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kernels: Kernels,
    /// Shell lines in the guest; each must succeed. No line may start with `!`: `sh -e` ignores its
    /// exit code.
    pub(super) before: &'static str,
    pub(super) runs: &'static [Run],
    /// Shell lines that check what is left and restore the guest; each must succeed.
    pub(super) after: &'static str,
}

/// The kernels that a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernels {
    All,
    BeforeTcx,
    SinceTcx,
}

/// One start of `recon run`.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) arguments: &'static str,
    /// The lines that it logs before it watches. A `*` matches anything.
    pub(super) says: &'static [&'static str],
    pub(super) attacks: &'static [Attack],
    /// Shell lines in the guest after the attacks, while recon runs; each must succeed.
    pub(super) while_running: &'static str,
    pub(super) end: End,
    /// What the whole run must have reported.
    pub(super) total: Option<Total>,
}

impl Run {
    /// Without arguments, attacks and checks, asked to stop.
    pub(super) const PLAIN: Self = Self {
        arguments: "",
        says: &[],
        attacks: &[],
        while_running: "",
        end: End::Stopped,
        total: None,
    };
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// SIGTERM; it must exit with success and without losses.
    Stopped,
    /// SIGKILL.
    Killed,
    /// It exits before it watches, and without success.
    Refused,
}

/// Something that is done to the host, or that the host does.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) by: By,
    /// The exact number of signals that this causes, where nothing is sent again.
    pub(super) signals: Option<u64>,
    /// The alerts that must come, once each, and no others. An empty list allows any alerts.
    pub(super) alerts: &'static [Expected],
}

/// Who does it.
#[derive(Debug)]
pub(super) enum By {
    /// A shell line in the attacker's namespace.
    Attacker(&'static str),
    /// Shell lines on the host.
    Host(&'static str),
    /// SYNs under a VLAN's tag. Nobody acknowledges the answers, so an open port would send its own
    /// again.
    Tagged {
        vlan: u16,
        from: &'static str,
        to: &'static str,
        ports: Range<u16>,
    },
}

/// An alert that must come.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) rule: &'static str,
    pub(super) measure: &'static str,
    /// Words such as `source.ip=192.0.2.1` and `recon.outcomes.refused>0`.
    pub(super) fields: &'static str,
}

/// The alerts of a rule's measure in a whole run.
#[derive(Debug)]
pub(super) struct Total {
    pub(super) rule: &'static str,
    pub(super) measure: &'static str,
    /// The measure has no more alerts than this.
    pub(super) at_most: usize,
    /// The count in the last alert of that measure.
    pub(super) last_count: u64,
}

impl Kernels {
    pub(super) fn include(self, kernel: Linux) -> bool {
        match self {
            Self::All => true,
            Self::BeforeTcx => kernel < kernel::TCX,
            Self::SinceTcx => kernel >= kernel::TCX,
        }
    }
}

/// Replaces the placeholders in `text`.
pub(super) fn fill(text: &str, kernel: Linux) -> String {
    let tc = if kernel >= kernel::TCX {
        "TCX"
    } else {
        "clsact"
    };
    text.replace("{tc}", tc)
        .replace("{host}", &HOST.to_string())
        .replace("{host6}", &HOST6.to_string())
        .replace("{attacker}", &ATTACKER.to_string())
        .replace("{attacker6}", &ATTACKER6.to_string())
        .replace("{link}", ATTACKER_LINK)
}

/// Whether `pattern` matches the whole line. A `*` matches anything.
pub(super) fn matches(line: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return line == pattern;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    line.char_indices()
        .map(|(at, _)| at)
        .chain([line.len()])
        .any(|at| matches(&line[at..], rest))
}

impl Expected {
    /// The alerts of a scan that is wide and fast: each of its two rules has one.
    pub(super) const fn of_fast_scan(fields: &'static str) -> [Self; 2] {
        const fn expected(rule: &'static str, fields: &'static str) -> Expected {
            Expected {
                rule,
                measure: "distinct_ports",
                fields,
            }
        }
        [
            expected("port-scan", fields),
            expected("rapid-scan", fields),
        ]
    }

    /// Whether this alert is the expected one.
    pub(super) fn is_met_by(&self, alert: &Alert, kernel: Linux) -> bool {
        alert.is(self.rule, self.measure)
            && fill(self.fields, kernel)
                .split_whitespace()
                .all(|word| has(alert, word))
    }
}

/// The alerts after the first `from`, without those that report the end of an incident, and without
/// `few-ports`: it fires only if a poll ends between its threshold and that of `port-scan`.
pub(super) fn alerts_since(seen: &Seen, from: usize) -> impl Iterator<Item = &Alert> {
    const ENDED: &str = "ended";
    const FIRST_SIGN: &str = "few-ports";
    let alerts = seen.alerts.iter().skip(from);
    alerts
        .filter(|alert| alert.text("recon.phase").as_deref() != Some(ENDED))
        .filter(|alert| alert.fired().0 != FIRST_SIGN)
}

fn has(alert: &Alert, word: &str) -> bool {
    if let Some((name, least)) = word.split_once('>') {
        let value = alert.text(name).and_then(|text| text.parse::<u64>().ok());
        let least = least.parse::<u64>().ok();
        return value.zip(least).is_some_and(|(value, least)| value > least);
    }
    word.split_once('=')
        .is_some_and(|(name, value)| alert.text(name).as_deref() == Some(value))
}

#[test]
fn a_star_matches_anything() {
    for (pattern, expected) in [
        ("eth0: a", true),
        ("eth0: *", true),
        ("*", true),
        ("eth0*a", true),
        ("eth0: a*: a", false),
        ("e*0*a", true),
        ("e*1*a", false),
        ("eth0", false),
    ] {
        assert_eq!(matches("eth0: a", pattern), expected, "{pattern}");
    }
}

#[test]
fn expected_alerts_are_compared_by_their_fields() {
    let mut seen = Seen::default();
    seen.read_stdout(
        r#"{"rule":{"category":"port-scan"},"source":{"ip":"198.51.100.2"},"recon":{"measure":"count","count":7}}"#,
    );
    for (rule, fields, expected) in [
        ("port-scan", "", true),
        ("port-scan", "source.ip={attacker} recon.count>6", true),
        ("port-scan", "recon.count>7", false),
        ("port-scan", "source.ip={host}", false),
        ("port-scan", "destination.ip={host}", false),
        ("icmp-sweep", "", false),
    ] {
        let wanted = Expected {
            rule,
            measure: "count",
            fields,
        };
        let is_met = wanted.is_met_by(&seen.alerts[0], kernel::TCX);
        assert_eq!(is_met, expected, "{fields}");
    }
}
