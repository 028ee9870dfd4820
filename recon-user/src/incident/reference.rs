//! Rules that refer to what another rule reports: `after` and `unless`.
//!
//! In: the rules in force. Out: a warning for each that refers to a missing one.
//! The decision held here: that is not an error. Whoever turns a rule off may leave those that
//! refer to it as they are, but must know.

use crate::kql::Plan;
use crate::rule::Configured;
use crate::stream::Query;

/// A line for each rule that refers to one that is missing, or that does not report remotes by
/// their distinct ports.
pub(crate) fn unmet_references(plans: &[&Plan]) -> Vec<String> {
    let is_met = |id: &str| {
        let mut named = plans.iter().filter(|plan| plan.id == id);
        named.any(|&plan| Query::new(Configured::plain(plan.clone())).reports_scanners())
    };
    let of_plan = |plan: &&Plan| {
        let after = plan.after.as_deref();
        let unless = plan.unless.as_deref();
        let references = [
            ("after", after, "it never fires"),
            ("unless", unless, "it excludes no remote"),
        ];
        let unmet = references.into_iter().filter_map(|(key, id, so)| {
            let id = id.filter(|id| !is_met(id))?;
            Some(format!(
                "warning: the rule `{}` has `{key}: {id}`, but no rule in force with that id counts distinct ports by RemoteIP: {so}\n",
                plan.id
            ))
        });
        unmet.collect::<Vec<_>>()
    };
    plans.iter().flat_map(of_plan).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kql::Loader;

    #[test]
    fn missing_rules_are_reported() {
        const PROBES: &str = "// id: probes\nDeviceNetworkEvents | summarize n = dcount(LocalPort) by RemoteIP | where n > 1\n\n";
        const COUNTS: &str = "// id: probes\nDeviceNetworkEvents | summarize n = count() by RemoteIP | where n > 1\n\n";
        const AFTER: &str = "warning: the rule `visit` has `after: probes`, but no rule in force with that id counts distinct ports by RemoteIP: it never fires\n";
        const UNLESS: &str = "warning: the rule `visit` has `unless: probes`, but no rule in force with that id counts distinct ports by RemoteIP: it excludes no remote\n";
        for (before, key, expected) in [
            (PROBES, "after", &[][..]),
            (PROBES, "unless", &[]),
            (COUNTS, "after", &[AFTER]),
            (COUNTS, "unless", &[UNLESS]),
            ("", "after", &[AFTER]),
            ("", "unless", &[UNLESS]),
        ] {
            let text = format!(
                "{before}// id: visit\n// {key}: probes\nDeviceNetworkEvents | where LocalPort == 1 | project RemoteIP"
            );
            let loaded = Loader::default().load("test.kql", text.as_bytes());
            let plans: Vec<_> = loaded.plans.iter().collect();
            assert_eq!(
                unmet_references(&plans),
                expected,
                "{text}: {:?}",
                loaded.diagnostics
            );
        }
        assert!(unmet_references(&crate::rule::defaults().iter().collect::<Vec<_>>()).is_empty());
    }
}
