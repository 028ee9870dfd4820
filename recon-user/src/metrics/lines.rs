//! The lines about incidents and about recon itself, counted by rule.
//!
//! In: the rules, each line of the agent. Out: [`LineCounts`].
//! The decision held here: a counter never goes away, so a rule that a reload has removed keeps
//! its count. The ids come from the operator's rules, never from packets.

use std::collections::BTreeMap;

use crate::incident::Phase;

/// What a line says of its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// A phase of one incident.
    Phase(Phase),
    /// How many findings got no line.
    LeftOut,
}

impl LineKind {
    pub(super) const ALL: [Self; 4] = [
        Self::Phase(Phase::Began),
        Self::Phase(Phase::Grew),
        Self::Phase(Phase::Ended),
        Self::LeftOut,
    ];

    /// The name that lines show as `recon.phase`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Phase(phase) => phase.name(),
            Self::LeftOut => "left_out",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Phase(Phase::Began) => 0,
            Self::Phase(Phase::Grew) => 1,
            Self::Phase(Phase::Ended) => 2,
            Self::LeftOut => 3,
        }
    }
}

/// The lines so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    by_rule: BTreeMap<String, [u64; LineKind::ALL.len()]>,
    digests: u64,
}

impl LineCounts {
    /// Shows that rule, also before its first line.
    pub(crate) fn add_rule(&mut self, rule: String) {
        self.by_rule.entry(rule).or_default();
    }

    /// Counts a line of that rule.
    pub(crate) fn add_line(&mut self, rule: &str, kind: LineKind) {
        let counts = match self.by_rule.get_mut(rule) {
            Some(counts) => counts,
            None => self.by_rule.entry(rule.to_owned()).or_default(),
        };
        counts[kind.index()] += 1;
    }

    /// Counts a digest.
    pub(crate) const fn add_digest(&mut self) {
        self.digests += 1;
    }

    /// The digests.
    pub(super) const fn digests(&self) -> u64 {
        self.digests
    }

    /// The lines by rule and kind.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, LineKind, u64)> {
        self.by_rule.iter().flat_map(|(rule, counts)| {
            let kinds = LineKind::ALL.into_iter().zip(counts);
            kinds.map(|(kind, &count)| (rule.as_str(), kind, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_under_their_rule_and_phase() {
        let mut lines = LineCounts::default();
        for kind in LineKind::ALL {
            (0..=kind.index()).for_each(|_| lines.add_line("port-scan", kind));
        }
        lines.add_line("icmp-sweep", LineKind::LeftOut);
        lines.add_digest();
        let found: Vec<_> = lines
            .iter()
            .filter(|&(.., count)| count > 0)
            .map(|(rule, kind, count)| (rule, kind.name(), count))
            .collect();
        assert_eq!(
            found,
            [
                ("icmp-sweep", "left_out", 1),
                ("port-scan", "began", 1),
                ("port-scan", "grew", 2),
                ("port-scan", "ended", 3),
                ("port-scan", "left_out", 4),
            ]
        );
        assert_eq!(lines.digests(), 1);
    }

    /// What a rule has counted stays when a reload names the rule again.
    #[test]
    fn rules_are_there_before_their_first_line() {
        let mut lines = LineCounts::default();
        lines.add_rule("port-scan".to_owned());
        lines.add_line("port-scan", LineKind::LeftOut);
        for rule in ["port-scan", "icmp-sweep"] {
            lines.add_rule(rule.to_owned());
        }
        let found: Vec<_> = lines
            .iter()
            .map(|(rule, kind, count)| (rule, kind.name(), count))
            .collect();
        assert_eq!(
            found,
            [
                ("icmp-sweep", "began", 0),
                ("icmp-sweep", "grew", 0),
                ("icmp-sweep", "ended", 0),
                ("icmp-sweep", "left_out", 0),
                ("port-scan", "began", 0),
                ("port-scan", "grew", 0),
                ("port-scan", "ended", 0),
                ("port-scan", "left_out", 1),
            ]
        );
    }
}
