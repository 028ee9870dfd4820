//! The order of a rule's findings in one poll, as its query states it: `order by`, `top`, `take`.
//!
//! In: findings with the values that they are ordered by. Out: the findings to report, in order.
//! The decision held here: the end of an incident is reported whatever the limit, since it is
//! reported only once.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Finding, Phase};
use crate::kql::SortKey;
use crate::kql::eval::{Value, total_order};

/// Orders the findings of one poll and applies the limit of each query. Queries stay in the order
/// of their first findings.
pub(super) fn arrange(findings: Vec<Finding>) -> Vec<Finding> {
    let is_arranged = |finding: &Finding| {
        let plan = finding.query.plan();
        !plan.order.is_empty() || plan.limit.is_some()
    };
    if findings.len() < 2 || !findings.iter().any(is_arranged) {
        return findings;
    }
    let mut by_query: Vec<Vec<Finding>> = Vec::new();
    for finding in findings {
        let of = by_query
            .iter()
            .position(|of| Arc::ptr_eq(&of[0].query, &finding.query));
        match of {
            Some(of) => by_query[of].push(finding),
            None => by_query.push(vec![finding]),
        }
    }
    by_query.into_iter().flat_map(arrange_query).collect()
}

fn arrange_query(mut findings: Vec<Finding>) -> Vec<Finding> {
    let query = Arc::clone(&findings[0].query);
    let plan = query.plan();
    findings.sort_by(|one, other| {
        let values = one.sorted_by.iter().zip(&other.sorted_by);
        plan.order
            .iter()
            .zip(values)
            .map(|(key, (one, other))| compare_by(key, one, other))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    if let Some(limit) = plan.limit {
        let mut left = limit;
        findings.retain(|finding| {
            if finding.phase == Phase::Ended {
                return true;
            }
            let is_reported = left > 0;
            left = left.saturating_sub(1);
            is_reported
        });
    }
    findings
}

fn compare_by(key: &SortKey, one: &Value<'_>, other: &Value<'_>) -> Ordering {
    match (one.is_null(), other.is_null()) {
        (true, true) => Ordering::Equal,
        (is_null, is_other_null) if is_null || is_other_null => {
            if is_null == key.are_nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        _ if key.is_descending => total_order(other, one),
        _ => total_order(one, other),
    }
}
