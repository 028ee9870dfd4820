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
        named.any(|&plan| query(plan).reports_remotes())
    };
    let mut unmet = Unmet::default();
    for plan in plans {
        let (id, after, unless) = (&plan.id, &plan.after, &plan.unless);
        // Measures may share an id.
        let is_alone = plans.iter().filter(|plan| plan.id == *id).count() == 1;
        let names_itself = |ids: &[String]| is_alone && ids.contains(id);
        let own = [("after", after), ("unless", unless)].into_iter();
        unmet.errors.extend(own.filter(|(_, ids)| names_itself(ids)).map(|(key, _)| {
            format!("error: the rule `{id}` has `{key}: {id}`, which is itself; name the rule that comes first, or remove `{key}`\n")
        }));
        if !after.is_empty() && !names_itself(after) && !is_met(after) {
            unmet.errors.push(format!(
                "error: the rule `{id}` has `after: {}`, but {}: it can never fire; {}\n",
                after.join(", "),
                cause(plans, after),
                advice(plans, id, after)
            ));
        }
        if !unless.is_empty() && !is_met(unless) {
            unmet.warnings.push(format!(
                "warning: the rule `{id}` has `unless: {}`, but {}: it excludes no remote\n",
                unless.join(", "),
                cause(plans, unless)
            ));
        }
    }
    unmet
}

fn query(plan: &Plan) -> Query {
    Query::new(Configured::plain(plan.clone()))
}

/// Whether one of the named rules only lacks a place at the beginning: it has `after` itself.
fn follows_itself(plans: &[&Plan], ids: &[String]) -> bool {
    let mut named = plans.iter().filter(|plan| ids.contains(&plan.id));
    named.any(|plan| !plan.after.is_empty())
}

/// Why no named rule reports remotes.
fn cause(plans: &[&Plan], ids: &[String]) -> &'static str {
    if !plans.iter().any(|plan| ids.contains(&plan.id)) {
        "no rule in force has such an id"
    } else if follows_itself(plans, ids) {
        "a rule with such an id has `after` itself, and only rules without can be followed"
    } else {
        "no rule in force with such an id groups by RemoteIP alone"
    }
}

/// What to do about a rule that can never fire.
fn advice(plans: &[&Plan], id: &str, ids: &[String]) -> String {
    if !plans.iter().any(|plan| ids.contains(&plan.id)) {
        format!("enable such a rule, or set `enabled = false` under [rules.{id}]")
    } else if follows_itself(plans, ids) {
        "name the rule that comes first".to_owned()
    } else {
        "name a rule that does, or change the `by` of that rule".to_owned()
    }
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
        const CHAIN: &str = "// id: probes\n// after: visit\nDeviceNetworkEvents | summarize n = count() by RemoteIP | where n > 1\n\n";
        const AFTER: &str = "error: the rule `visit` has `after: probes`, but no rule in force with such an id groups by RemoteIP alone: it can never fire; name a rule that does, or change the `by` of that rule\n";
        const MISSING: &str = "error: the rule `visit` has `after: probes`, but no rule in force has such an id: it can never fire; enable such a rule, or set `enabled = false` under [rules.visit]\n";
        const CYCLE: [&str; 2] = [
            "error: the rule `probes` has `after: visit`, but a rule with such an id has `after` itself, and only rules without can be followed: it can never fire; name the rule that comes first\n",
            "error: the rule `visit` has `after: probes`, but a rule with such an id has `after` itself, and only rules without can be followed: it can never fire; name the rule that comes first\n",
        ];
        const UNLESS: &str = "warning: the rule `visit` has `unless: probes`, but no rule in force with such an id groups by RemoteIP alone: it excludes no remote\n";
        const NONE: &str = "warning: the rule `visit` has `unless: probes`, but no rule in force has such an id: it excludes no remote\n";
        for (key, named) in [
            ("after", "visit"),
            ("unless", "visit"),
            ("unless", "probes, visit"),
        ] {
            let rule =
                format!("// id: visit\n// {key}: {named}\nDeviceNetworkEvents | project RemoteIP");
            let loaded = Loader::default().load("test.kql", format!("{PROBES}{rule}").as_bytes());
            let plans: Vec<_> = loaded.plans.iter().collect();
            let expected = format!(
                "error: the rule `visit` has `{key}: visit`, which is itself; name the rule that comes first, or remove `{key}`\n"
            );
            assert_eq!(unmet_references(&plans).errors, [expected], "{rule}");
        }
        for (before, key, expected) in [
            (PROBES, "after", &[][..]),
            (PROBES, "unless", &[]),
            (COUNTS, "after", &[]),
            (COUNTS, "unless", &[]),
            (BY_PORT, "after", &[AFTER]),
            (BY_PORT, "unless", &[UNLESS]),
            ("", "after", &[MISSING]),
            ("", "unless", &[NONE]),
            (CHAIN, "after", &CYCLE),
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
