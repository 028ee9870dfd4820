//! What a row of the scenarios consists of.
//!
//! In: nothing. Out: types of constants, and what a row's texts mean on a kernel.
//! The decision held here: a row says everything that `recon run` has to write at its start, line for line, and of each attack the
//! alerts that must come, once each; what differs between kernels is a placeholder, so that one row serves them all.

use std::ops::Range;

use recon_tests::{
    Alert, Seen,
    lab::{ATTACKER, ATTACKER_LINK, ATTACKER6, HOST, HOST6},
};

use super::super::guest::Hardware;

/// A machine that rows share: one that has run a row which failed is not used again.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) hardware: Hardware<'static>,
    /// Loaded beside those that every guest has.
    pub(super) modules: &'static [&'static str],
    /// Shell lines in the guest once it is up.
    pub(super) inside: &'static str,
    /// Lines of `ip -batch` in the attacker's namespace.
    pub(super) outside: &'static str,
    pub(super) rows: &'static [Row],
}

/// Something that recon has to cope with.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kernels: Kernels,
    /// Shell lines in the guest; each has to succeed. A line that starts with `!` always does (sh(1), -e): none may.
    pub(super) before: &'static str,
    pub(super) runs: &'static [Run],
    /// Shell lines that look at what is left and put the guest back; each has to succeed.
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
    /// What it says before it watches. A `*` stands for anything.
    pub(super) says: &'static [&'static str],
    pub(super) attacks: &'static [Attack],
    /// Shell lines in the guest after them, while it runs; each has to succeed.
    pub(super) while_running: &'static str,
    pub(super) end: End,
    /// What must have been told in all.
    pub(super) told: Option<Told>,
}

impl Run {
    /// Without arguments, attacks and checks, asked to stop.
    pub(super) const PLAIN: Self = Self {
        arguments: "",
        says: &[],
        attacks: &[],
        while_running: "",
        end: End::Stopped,
        told: None,
    };
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Asked to, by SIGTERM; it must exit with success, with nothing lost.
    Stopped,
    /// By SIGKILL.
    Killed,
    /// By itself, before it watches, and not with success.
    Refused,
}

/// Something that is done to the guest, or that it does.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) by: By,
    /// The signals that this makes, exactly, where nothing is sent again.
    pub(super) signals: Option<u64>,
    /// The alerts that must come, once each, and no other; where none are listed, any may come.
    pub(super) alerts: &'static [Expected],
}

/// Who does it.
#[derive(Debug)]
pub(super) enum By {
    /// A shell line in the attacker's namespace.
    Attacker(&'static str),
    /// Shell lines in the guest.
    Guest(&'static str),
    /// SYNs under a VLAN's tag. Nobody acknowledges what answers them, so an open port's answer would be sent again.
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
    /// Words such as `source.ip=192.0.2.1` and `recon.answers.refused>0`.
    pub(super) fields: &'static str,
}

/// Of a rule, and of one of its measures, in a whole run.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) rule: &'static str,
    pub(super) measure: &'static str,
    /// Alerts of that rule, at most.
    pub(super) at_most: usize,
    /// The count in the last alert of that measure.
    pub(super) last_count: u64,
}

/// The kernel at hand, as far as rows differ by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Features {
    pub(super) has_tcx: bool,
}

impl Features {
    /// Those of a release such as `6.1.0-56-cloud-amd64`.
    pub(super) fn of(release: &str) -> Self {
        const TCX_SINCE: (u32, u32) = (6, 6);
        let mut numbers = release.split('.').map_while(|part| part.parse().ok());
        let version = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        Self {
            has_tcx: version >= TCX_SINCE,
        }
    }

    pub(super) fn fits(self, kernels: Kernels) -> bool {
        match kernels {
            Kernels::All => true,
            Kernels::BeforeTcx => !self.has_tcx,
            Kernels::SinceTcx => self.has_tcx,
        }
    }

    /// The text without placeholders.
    pub(super) fn fill(self, text: &str) -> String {
        text.replace("{tc}", if self.has_tcx { "TCX" } else { "clsact" })
            .replace("{host}", &HOST.to_string())
            .replace("{host6}", &HOST6.to_string())
            .replace("{attacker}", &ATTACKER.to_string())
            .replace("{attacker6}", &ATTACKER6.to_string())
            .replace("{link}", ATTACKER_LINK)
    }
}

/// Whether a line is as a text says, in which a `*` stands for anything.
pub(super) fn is_like(line: &str, text: &str) -> bool {
    let Some((start, rest)) = text.split_once('*') else {
        return line == text;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    line.char_indices()
        .map(|(at, _)| at)
        .chain([line.len()])
        .any(|at| is_like(&line[at..], rest))
}

impl Expected {
    /// Whether the alert is this one.
    pub(super) fn is(&self, alert: &Alert, features: Features) -> bool {
        alert.is(self.rule, self.measure)
            && features
                .fill(self.fields)
                .split_whitespace()
                .all(|word| has(alert, word))
    }
}

/// The alerts after the first `from`, but those that tell of an incident's end.
pub(super) fn told_since(seen: &Seen, from: usize) -> impl Iterator<Item = &Alert> {
    const ENDED: &str = "ended";
    let alerts = seen.alerts.iter().skip(from);
    alerts.filter(|alert| alert.text("recon.phase").as_deref() != Some(ENDED))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (text, expected) in [
            ("eth0: a", true),
            ("eth0: *", true),
            ("*", true),
            ("eth0*a", true),
            ("eth0: a*: a", false),
            ("e*0*a", true),
            ("e*1*a", false),
            ("eth0", false),
        ] {
            assert_eq!(is_like("eth0: a", text), expected, "{text}");
        }
    }

    #[test]
    fn tcx_came_with_6_6() {
        for (release, has_tcx) in [
            ("6.1.0-56-cloud-amd64", false),
            ("6.6.3-amd64", true),
            ("6.12.117+deb12-cloud-amd64", true),
            ("5.10.0-30-amd64", false),
        ] {
            assert_eq!(Features::of(release).has_tcx, has_tcx, "{release}");
        }
    }

    #[test]
    fn an_alert_is_told_by_its_fields() {
        let mut seen = Seen::default();
        seen.read_stdout(
            r#"{"rule":{"id":"port-scan"},"source":{"ip":"198.51.100.2"},"recon":{"measure":"count","count":7}}"#,
        );
        let features = Features { has_tcx: true };
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
            assert_eq!(wanted.is(&seen.alerts[0], features), expected, "{fields}");
        }
    }
}
