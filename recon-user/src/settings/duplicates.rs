//! Rules of rule files that are duplicates: they count the same, or only `rule.name` differs.
//!
//! In: the rules of all files. Out: a warning for each pair, with the places of both.
//! The decision held here: two rules may share an id, as measures of one detection do. If they
//! share the measure too, recon warns that alerts differ only by `rule.name`, and that settings for
//! that measure change both.

use std::collections::HashMap;

use super::apply::measure;
use crate::kql::Plan;

/// Warnings about rules that share an id and a measure, or that count the same.
pub(super) fn duplicates(plans: &[Plan]) -> String {
    let mut warnings = String::new();
    let mut first: HashMap<(&str, &str), &Plan> = HashMap::new();
    for (position, plan) in plans.iter().enumerate() {
        let place = &plan.places.query;
        let mut before = plans[..position].iter();
        if let Some(other) = before.find(|other| other.counts_as(plan)) {
            warnings += &format!(
                "{place}: warning: the rule `{}` counts the same as the rule `{}` at {}: each alert is written twice; remove one of them\n",
                plan.id, other.id, other.places.query
            );
            continue;
        }
        let measure = measure(plan).unwrap_or_default();
        match first.get(&(&*plan.id, measure)) {
            Some(other) => {
                warnings += &format!(
                    "{place}: warning: this rule and the one at {} both have the id `{}` and the measure `{measure}`: only `rule.name` tells their alerts apart, and settings for {}/{measure} change both; give one of them another id\n",
                    other.places.query, plan.id, plan.id
                );
            }
            None => drop(first.insert((&*plan.id, measure), plan)),
        }
    }
    warnings
}
