//! The order of one poll's alerts of a rule, as its query has it: `order by`, `top`, `take`.
//!
//! In: findings with the values that they are ordered by. Out: those that are told of, in their order.
//! The decision held here: the end of an incident is told of whatever the limit, since it is told of once.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Finding, Phase};
use crate::kql::eval::{Value, compare};
use crate::kql::{Comparison, SortKey};

/// An order of any values: as KQL compares those of a kind, and of text by its letters.
pub(super) fn order(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    if let (Value::String(one), Value::String(other)) = (one, other) {
        return one.cmp(other);
    }
    let is = |comparison| compare(comparison, one, other) == Some(true);
    if is(Comparison::Less) {
        Ordering::Less
    } else if is(Comparison::Greater) {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// Orders the findings of one poll, where their rules want an order, and takes as many of each rule as it wants. Rules stay in the order in
/// which they were first found to have something.
pub(super) fn arrange(findings: Vec<Finding>) -> Vec<Finding> {
    let is_arranged = |finding: &Finding| {
        let plan = finding.rule.plan();
        !plan.order.is_empty() || plan.limit.is_some()
    };
    if findings.len() < 2 || !findings.iter().any(is_arranged) {
        return findings;
    }
    let mut by_rule: Vec<Vec<Finding>> = Vec::new();
    for finding in findings {
        let of = by_rule
            .iter()
            .position(|of| Arc::ptr_eq(&of[0].rule, &finding.rule));
        match of {
            Some(of) => by_rule[of].push(finding),
            None => by_rule.push(vec![finding]),
        }
    }
    by_rule.into_iter().flat_map(of_rule).collect()
}

fn of_rule(mut findings: Vec<Finding>) -> Vec<Finding> {
    let rule = Arc::clone(&findings[0].rule);
    let plan = rule.plan();
    findings.sort_by(|one, other| {
        let values = one.sorted_by.iter().zip(&other.sorted_by);
        plan.order
            .iter()
            .zip(values)
            .map(|(key, (one, other))| by_key(key, one, other))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    if let Some(limit) = plan.limit {
        let mut left = limit;
        findings.retain(|finding| {
            if finding.phase == Phase::Ended {
                return true;
            }
            let is_told = left > 0;
            left = left.saturating_sub(1);
            is_told
        });
    }
    findings
}

fn by_key(key: &SortKey, one: &Value<'_>, other: &Value<'_>) -> Ordering {
    match (one.is_null(), other.is_null()) {
        (true, true) => Ordering::Equal,
        (is_null, is_other_null) if is_null || is_other_null => {
            if is_null == key.are_nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        _ if key.is_descending => order(other, one),
        _ => order(one, other),
    }
}
