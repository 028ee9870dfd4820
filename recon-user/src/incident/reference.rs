//! Rules that refer to what another rule reports: `after` and `unless`.
//!
//! In: the rules in force. Out: an error for each rule that can never fire, a warning for each that
//! excludes no remote.
//! The decision held here: a rule that can never fire is an error. Whoever turns off the rules that
//! it follows turns it off too, or believes to have a rule that he does not have.

use crate::kql::Plan;
use crate::rule::Configured;
use crate::stream::Query;

/// What is wrong with references.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unmet {
    /// A line for each rule that can never fire.
    pub(crate) errors: Vec<String>,
    /// A line for each rule whose `unless` excludes no remote.
    pub(crate) warnings: Vec<String>,
}

/// Finds the rules whose `after` or `unless` names only rules that are missing or do not group by
/// the remote alone.
pub(crate) fn unmet_references(plans: &[&Plan]) -> Unmet {
    let is_met = |ids: &[String]| {
        let mut named = plans.iter().filter(|plan| ids.contains(&plan.id));
        named.any(|&plan| Query::new(Configured::plain(plan.clone())).reports_remotes())
    };
    let line = |kind: &str, plan: &Plan, key: &str, ids: &[String], so: &str| {
        format!(
            "{kind}: the rule `{}` has `{key}: {}`, but no rule in force with such an id groups by RemoteIP alone: {so}\n",
            plan.id,
            ids.join(", ")
        )
    };
    let mut unmet = Unmet::default();
    for plan in plans {
        if !plan.after.is_empty() && !is_met(&plan.after) {
            let so = format!(
                "it can never fire; enable such a rule, or set `enabled = false` under [rules.{}]",
                plan.id
            );
            unmet
                .errors
                .push(line("error", plan, "after", &plan.after, &so));
        }
        if !plan.unless.is_empty() && !is_met(&plan.unless) {
            let so = "it excludes no remote";
            unmet
                .warnings
                .push(line("warning", plan, "unless", &plan.unless, so));
        }
    }
    unmet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kql::Loader;

    #[test]
    fn missing_rules_are_reported() {
        const PROBES: &str = "// id: probes\nDeviceNetworkEvents | summarize n = dcount(LocalPort) by RemoteIP | where n > 1\n\n";
        const BY_PORT: &str = "// id: probes\nDeviceNetworkEvents | summarize n = count() by RemoteIP, LocalPort | where n > 1\n\n";
        const COUNTS: &str = "// id: probes\nDeviceNetworkEvents | summarize n = count() by RemoteIP | where n > 1\n\n";
        const AFTER: &str = "error: the rule `visit` has `after: probes`, but no rule in force with such an id groups by RemoteIP alone: it can never fire; enable such a rule, or set `enabled = false` under [rules.visit]\n";
        const UNLESS: &str = "warning: the rule `visit` has `unless: probes`, but no rule in force with such an id groups by RemoteIP alone: it excludes no remote\n";
        for (before, key, expected) in [
            (PROBES, "after", &[][..]),
            (PROBES, "unless", &[]),
            (COUNTS, "after", &[]),
            (COUNTS, "unless", &[]),
            (BY_PORT, "after", &[AFTER]),
            (BY_PORT, "unless", &[UNLESS]),
            ("", "after", &[AFTER]),
            ("", "unless", &[UNLESS]),
        ] {
            let text = format!(
                "{before}// id: visit\n// {key}: probes\nDeviceNetworkEvents | where LocalPort == 1 | project RemoteIP"
            );
            let loaded = Loader::default().load("test.kql", text.as_bytes());
            let plans: Vec<_> = loaded.plans.iter().collect();
            let Unmet { errors, warnings } = unmet_references(&plans);
            assert_eq!(
                [errors, warnings].concat(),
                expected,
                "{text}: {:?}",
                loaded.diagnostics
            );
        }
        let defaults = crate::rule::defaults(crate::rule::Profile::Outcomes);
        let unmet = unmet_references(&defaults.iter().collect::<Vec<_>>());
        assert_eq!(unmet, Unmet::default());
    }
}
