//! Rules of rule files that are duplicates: they have the same `rule.id`, or count the same.
//!
//! In: the rules of all files. Out: an error or a warning for each pair, with the places of both.
//! The decision held here: rules may share an id, as measures of one detection do, and an id and a
//! measure, as variants of one measure do. What tells them apart is in their file, so that an alert
//! names one rule for good, whatever else is in force.

use std::collections::HashMap;

use crate::diagnostic::visible;
use crate::kql::Plan;
use crate::stream::rule_id;

/// What is wrong with pairs of rules.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// Lines about rules that can't be told apart.
    pub(super) errors: String,
    /// Lines about rules that count the same.
    pub(super) warnings: String,
}

/// Finds the rules that have the same `rule.id` as one before them, or count the same.
pub(super) fn duplicates(plans: &[Plan]) -> Duplicates {
    let mut found = Duplicates::default();
    let mut first: HashMap<String, &Plan> = HashMap::new();
    for (position, plan) in plans.iter().enumerate() {
        let place = &plan.places.query;
        let rule = rule_id(plan);
        if let Some(other) = first.get(&rule) {
            let [name, before] = [plan, other].map(|of| visible(of.name.as_bytes()));
            found.errors += &format!(
                "{place}: error: the rule `{name}` has the same `rule.id` as the rule `{before}` at {}, `{rule}`: their alerts and their settings could not be told apart; give each of them a line such as `// variant: requests`, or one of them another id\n",
                other.places.query
            );
            continue;
        }
        let mut before = plans[..position].iter();
        if let Some(other) = before.find(|other| other.counts_as(plan)) {
            found.warnings += &format!(
                "{place}: warning: the rule `{}` counts the same as the rule `{}` at {}: each alert is written twice; remove one of them\n",
                plan.id, other.id, other.places.query
            );
        }
        first.insert(rule, plan);
    }
    found
}
