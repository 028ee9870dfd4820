//! The built-in detections, as KQL.
//!
//! In: a profile. Out: the plans of the files under `default/` or `source/`, and ATT&CK's names for
//! techniques.
//! The decisions held here:
//! - The source is ten KQL queries over `DeviceNetworkEvents` for ATT&CK TA0043, T1595.001. Where
//!   the stated purpose of a query differs from what it literally counts, both are rules, under one
//!   id; `rule.id` of an alert says which one reported it. Rules that go beyond the ten have
//!   files of their own. Each file explains the thresholds and severities of its rules.
//! - The default profile counts attempts that came to nothing, the profile `source` every hit, as
//!   the queries are written. Both have the same ids.
//! - `bin(TimeGenerated, 1h)` is the only window in the source, so every rule has a window of an
//!   hour, except the rule for 'a short time span' and the floods.
//! - Aggregates besides the measure cost more time than the measure does. Only `split-scan` and the
//!   floods have any: they count sources, and one flood also counts accepted connections.

use clap::ValueEnum;
use serde::Serialize;

use crate::diagnostic::Wrong;
use crate::kql::{Loader, Plan};

/// ATT&CK's ids and names for what a rule detects. An unknown name is empty.
#[derive(Clone, Copy, Debug)]
pub struct Technique<'a> {
    /// `threat.tactic`
    pub tactic: Option<[&'static str; 2]>,
    /// `threat.technique`
    pub technique: [&'a str; 2],
    /// `threat.technique.subtechnique`
    pub subtechnique: Option<[&'a str; 2]>,
}

const RECONNAISSANCE: [&str; 2] = ["TA0043", "Reconnaissance"];
const DISCOVERY: [&str; 2] = ["TA0007", "Discovery"];
const IMPACT: [&str; 2] = ["TA0040", "Impact"];
const CREDENTIAL_ACCESS: [&str; 2] = ["TA0006", "Credential Access"];
/// The techniques of network events, with their tactics.
const TECHNIQUES: [([&str; 2], [&str; 2]); 5] = [
    (["T1595", "Active Scanning"], RECONNAISSANCE),
    (["T1046", "Network Service Discovery"], DISCOVERY),
    (["T1018", "Remote System Discovery"], DISCOVERY),
    (["T1498", "Network Denial of Service"], IMPACT),
    (["T1110", "Brute Force"], CREDENTIAL_ACCESS),
];
const SUBTECHNIQUES: [[&str; 2]; 5] = [
    ["T1595.001", "Scanning IP Blocks"],
    ["T1595.002", "Vulnerability Scanning"],
    ["T1595.003", "Wordlist Scanning"],
    ["T1498.001", "Direct Network Flood"],
    ["T1498.002", "Reflection Amplification"],
];
/// The technique of a rule that names none: that of the source queries.
const DEFAULT: &str = "T1595.001";

impl<'a> Technique<'a> {
    /// Looks up the technique with the given id, such as `T1595.001`.
    #[must_use]
    pub fn of(id: Option<&'a str>) -> Self {
        let id = id.unwrap_or(DEFAULT);
        let whole = id.split('.').next().unwrap_or(id);
        let known = TECHNIQUES.iter().find(|([known, _], _)| *known == whole);
        let name = |[known, name]: &[&'static str; 2]| (*known == id).then_some(*name);
        Self {
            tactic: known.map(|(_, tactic)| *tactic),
            technique: [whole, known.map_or("", |([_, name], _)| name)],
            subtechnique: (whole != id).then(|| {
                let name = SUBTECHNIQUES.iter().find_map(name);
                [id, name.unwrap_or_default()]
            }),
        }
    }
}

/// Which built-in rules are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Rules on attempts that came to nothing.
    #[default]
    Outcomes,
    /// The source's queries as they are written: rules on hits.
    Source,
}

impl Profile {
    /// Reads a name in any case, or returns what is wrong and a hint.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        Self::from_str(text, true).map_err(|_| {
            let hint = "the profiles are outcomes and source";
            (format!("no profile `{text}`"), Some(hint.to_owned()))
        })
    }

    const fn files(self) -> [(&'static str, &'static str); 4] {
        match self {
            Self::Outcomes => DEFAULT_FILES,
            Self::Source => SOURCE_FILES,
        }
    }
}

/// The files of the profile `source`: name and content.
const SOURCE_FILES: [(&str, &str); 4] = [
    ("inbound.kql", include_str!("source/inbound.kql")),
    ("outbound.kql", include_str!("source/outbound.kql")),
    ("beyond.kql", include_str!("source/beyond.kql")),
    ("floods.kql", include_str!("source/floods.kql")),
];

/// The files of the default profile.
const DEFAULT_FILES: [(&str, &str); 4] = [
    ("inbound.kql", include_str!("default/inbound.kql")),
    ("outbound.kql", include_str!("default/outbound.kql")),
    ("beyond.kql", include_str!("default/beyond.kql")),
    ("floods.kql", include_str!("default/floods.kql")),
];

/// The built-in detections. A rule follows the rule that it names in `after` or `unless`.
#[must_use]
pub fn defaults(profile: Profile) -> Vec<Plan> {
    let mut loader = Loader::default();
    profile
        .files()
        .iter()
        .flat_map(|(name, text)| loader.load(name, text.as_bytes()).plans)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kql::Severity;
    use crate::rule::Configured;
    use crate::stream::{KeyColumn, Measure, ProcessFilter, Query, rule_id};

    fn rules() -> Vec<Query> {
        let plans = defaults(Profile::Source).into_iter();
        plans
            .map(|plan| Query::new(Configured::plain(plan)))
            .collect()
    }

    /// Whether the rule counts all sources together.
    fn is_flood(rule: &Query) -> bool {
        rule.id().ends_with("-flood-distributed")
    }

    #[test]
    fn the_files_have_no_diagnostics() {
        for (name, text) in [Profile::Outcomes, Profile::Source]
            .map(Profile::files)
            .concat()
        {
            let mut loader = Loader::default();
            let loaded = loader.load(name, text.as_bytes());
            let diagnostics = loaded.diagnostics.render(&loaded.source);
            assert_eq!(diagnostics, "", "{name}");
        }
    }

    #[test]
    fn rules_have_their_measures_thresholds_and_windows() {
        use Measure::{Count, DistinctAddresses, DistinctPorts, DistinctRemotes};
        use Severity::{High, Informational, Low, Medium};
        let found: Vec<_> = rules()
            .iter()
            .map(|rule| {
                let id = rule.id().to_owned();
                (id, rule.measure, rule.threshold(), rule.severity())
            })
            .collect();
        let expected = [
            ("port-scan", DistinctPorts, 20, High),
            ("port-scan", Count, 20, Informational),
            ("rapid-scan", Count, 50, Low),
            ("common-ports", Count, 10, Informational),
            ("failed-connections", Count, 100, Medium),
            ("icmp-sweep", Count, 50, Low),
            ("icmp-sweep", DistinctAddresses, 50, Medium),
            ("smb-scan", Count, 10, Medium),
            ("http-flood", Count, 100, Informational),
            ("http-flood", Count, 100, Low),
            ("dns-flood", Count, 200, Low),
            ("syn-flood", Count, 500, Medium),
            ("outbound-scan-tool", Count, 0, High),
            ("failed-connections", Count, 100, Medium),
            ("dns-flood", Count, 200, Informational),
            ("address-sweep", DistinctAddresses, 50, Medium),
            ("outbound-port-scan", DistinctPorts, 20, Medium),
            ("outbound-sweep", DistinctRemotes, 100, Low),
            ("outbound-sweep", DistinctRemotes, 100, Low),
            ("scan-then-connect", Count, 0, High),
            ("split-scan", DistinctPorts, 20, Medium),
            ("syn-flood-distributed", Count, 10_000, Medium),
            ("udp-flood-distributed", Count, 10_000, Low),
            ("icmp-flood-distributed", Count, 10_000, Medium),
            ("dns-flood-distributed", Count, 10_000, Informational),
        ];
        let expected = expected
            .map(|(id, measure, above, severity)| (id.to_owned(), measure, above, severity));
        assert_eq!(found, expected);
        for rule in rules() {
            let id = rule.id();
            let is_short = id == "rapid-scan" || is_flood(&rule);
            let seconds = if is_short { 60 } else { 3600 };
            assert_eq!(rule.window(), Duration::from_secs(seconds), "{id}");
            let counts_private = id == "common-ports" || is_flood(&rule);
            assert_eq!(rule.filter.only_public, !counts_private, "{id}");
            assert_eq!(rule.filter.needs_remote, !is_flood(&rule), "{id}");
        }
    }

    #[test]
    fn every_rule_has_one_direction_and_names_somebody() {
        for rule in rules() {
            let id = rule.id();
            let is_outbound = |signal: recon_common::Signal| signal.is_outbound();
            let signals = rule.filter.signals;
            assert!(signals.iter().count() > 0, "{id}: no signals");
            assert!(
                signals.iter().all(is_outbound) || !signals.iter().any(is_outbound),
                "{id}: mixed directions"
            );
            let names_sources = rule.key.has(KeyColumn::Network) || is_flood(&rule);
            assert!(
                rule.key.has(KeyColumn::Remote) || rule.key.has(KeyColumn::Pid) || names_sources,
                "{id}: names nobody"
            );
            assert!(
                rule.key.computed.is_empty(),
                "{id}: a computed group costs time"
            );
            let kept = match id {
                // The accepted connections and the sources.
                "syn-flood-distributed" => 2,
                _ => usize::from(names_sources),
            };
            assert_eq!(rule.others.len(), kept, "{id}: more aggregates cost time");
            assert!(
                rule.filter.conditions.is_empty(),
                "{id}: conditions cost time"
            );
            assert!(!rule.needs_process(), "{id}: looks up processes");
            // One event may be enough only if the tool or an earlier scan makes it suspicious.
            assert!(
                rule.threshold() > 0
                    || rule.filter.processes == ProcessFilter::Tools
                    || !rule.after().is_empty(),
                "{id}: reports everything"
            );
        }
    }

    #[test]
    fn a_rule_that_others_follow_is_at_least_as_severe() {
        let rules = rules();
        for (position, rule) in rules.iter().enumerate() {
            for id in rule.after().iter().chain(rule.unless()) {
                let before = rules[..position]
                    .iter()
                    .find(|before| before.id() == id && before.reports_remotes())
                    .expect("an earlier rule with that id that reports scanners");
                assert!(rule.severity() <= before.severity(), "{id}");
            }
        }
    }

    #[test]
    fn what_is_more_than_informational_says_what_is_at_stake() {
        for plan in defaults(Profile::Outcomes) {
            let is_more = plan.severity > Severity::Informational;
            assert_eq!(plan.stake.is_some(), is_more, "{}: {}", plan.id, plan.name);
        }
    }

    /// A process of this host scans from within, a flood is an attack, a guess of a password too.
    #[test]
    fn techniques_follow_what_a_rule_detects() {
        for plan in [Profile::Outcomes, Profile::Source].map(defaults).concat() {
            let query = Query::new(Configured::plain(plan));
            let technique = query.plan().technique.as_deref().unwrap_or_default();
            let known = Technique::of(query.plan().technique.as_deref());
            let expected: &[&str] = match query.id() {
                id if id.contains("guessing") => &["T1110"],
                id if id.contains("reflection") => &["T1498.002"],
                id if id.contains("flood") => &["T1498.001", "T1498.002"],
                "neighbour-sweep" => &["T1018"],
                _ if query
                    .filter
                    .signals
                    .iter()
                    .all(recon_common::Signal::is_outbound) =>
                {
                    &["T1046"]
                }
                _ => &["T1595", "T1595.001"],
            };
            assert!(
                expected.contains(&technique),
                "{}: {technique}",
                query.rule_id()
            );
            let names = known.subtechnique.unwrap_or(known.technique);
            assert!(
                known.tactic.is_some() && !names[1].is_empty(),
                "{technique}"
            );
        }
    }

    #[test]
    fn each_rule_has_an_id_of_its_own() {
        for profile in [Profile::Outcomes, Profile::Source] {
            let mut ids: Vec<_> = defaults(profile).iter().map(rule_id).collect();
            let number = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), number, "{ids:?}");
        }
    }

    #[test]
    fn known_techniques_have_names() {
        let active = ["T1595", "Active Scanning"];
        for (id, tactic, technique, subtechnique) in [
            (
                None,
                Some(RECONNAISSANCE),
                active,
                Some(["T1595.001", "Scanning IP Blocks"]),
            ),
            (Some("T1595"), Some(RECONNAISSANCE), active, None),
            (
                Some("T1595.002"),
                Some(RECONNAISSANCE),
                active,
                Some(["T1595.002", "Vulnerability Scanning"]),
            ),
            (
                Some("T1046"),
                Some(DISCOVERY),
                ["T1046", "Network Service Discovery"],
                None,
            ),
            (
                Some("T1498.001"),
                Some(IMPACT),
                ["T1498", "Network Denial of Service"],
                Some(["T1498.001", "Direct Network Flood"]),
            ),
            (
                Some("T1110"),
                Some(CREDENTIAL_ACCESS),
                ["T1110", "Brute Force"],
                None,
            ),
            (
                Some("T1071.004"),
                None,
                ["T1071", ""],
                Some(["T1071.004", ""]),
            ),
        ] {
            let found = Technique::of(id);
            let found = (found.tactic, found.technique, found.subtechnique);
            assert_eq!(found, (tactic, technique, subtechnique), "{id:?}");
        }
    }
}
