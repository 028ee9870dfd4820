//! Applies settings to rules.
//!
//! In: plans. Out: the rules in force.
//! The decisions held here: settings for an id hold for all measures of that id, those for a rule's
//! name override them, those for an id with a measure override both, and those for a whole
//! `rule.id` all others. Lists of networks add up. Settings that match no rule are an error.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Located, Override, Refused, Settings};
use crate::address::Network;
use crate::diagnostic::Diagnostics;
use crate::kql::Plan;
use crate::rule::{Configured, Remotes};
use crate::stream::{greatest_measure, measure_name, rule_id};

impl Settings {
    /// Returns the enabled rules with these settings applied.
    ///
    /// # Errors
    /// Settings for unknown rules, and thresholds for rules without one.
    pub fn apply(&self, plans: Vec<Plan>) -> Result<Vec<Configured>, Refused> {
        let mut diagnostics = Diagnostics::default();
        for (key, rule) in &self.rules {
            check(key, rule, &plans, &mut diagnostics);
        }
        match Refused::of(&diagnostics, &self.origin.0) {
            Some(refused) => Err(refused),
            None => Ok(plans
                .into_iter()
                .filter_map(|plan| self.configured(plan))
                .collect()),
        }
    }

    /// The rule, if it is enabled.
    fn configured(&self, mut plan: Plan) -> Option<Configured> {
        let mut is_enabled = true;
        let (mut allow, mut deny) = (self.allow.clone(), self.deny.clone());
        let (mut allow_files, mut deny_files) = (self.allow_files.clone(), self.deny_files.clone());
        for key in keys(&plan) {
            let Some(Located { value: rule, .. }) = self.rules.get(&key) else {
                continue;
            };
            is_enabled = rule.enabled.unwrap_or(is_enabled);
            if let (Some(threshold), Some(above)) = (&mut plan.threshold, rule.threshold) {
                threshold.above = above.value;
            }
            plan.window = rule.window.map_or(plan.window, |window| window.0);
            plan.severity = rule.severity.unwrap_or(plan.severity);
            plan.cooldown = rule.cooldown.map(|cooldown| cooldown.0).or(plan.cooldown);
            allow.extend_from_slice(rule.allow.as_deref().unwrap_or_default());
            deny.extend_from_slice(rule.deny.as_deref().unwrap_or_default());
            allow_files.extend_from_slice(rule.allow_files.as_deref().unwrap_or_default());
            deny_files.extend_from_slice(rule.deny_files.as_deref().unwrap_or_default());
        }
        is_enabled.then_some(Configured {
            plan,
            allow: self.remotes(allow, &allow_files),
            deny: self.remotes(deny, &deny_files),
            include_private: self.include_private,
        })
    }
}

impl Settings {
    /// Networks, and those of files.
    fn remotes(&self, listed: Vec<Network>, files: &[PathBuf]) -> Remotes {
        let files = self.lists.of(files);
        files.fold(Remotes::from(listed), |remotes, (path, networks)| {
            remotes.with_file(path.clone(), Arc::clone(networks))
        })
    }
}

/// The keys that settings may use for a rule, the weakest first.
fn keys(plan: &Plan) -> Vec<String> {
    let mut keys = vec![plan.id.clone()];
    if plan.name != plan.id {
        keys.push(plan.name.clone());
    }
    keys.push(format!("{}/{}", plan.id, measure_name(plan)));
    if plan.variant.is_some() {
        keys.push(rule_id(plan));
    }
    keys
}

/// The hint for a measure that a known rule does not have.
fn hint_at_measures(key: &str, known: &[String], diagnostics: &Diagnostics) -> Option<String> {
    let (id, _) = key.split_once('/')?;
    let has_id = |known: &&str| known.split_once('/').is_some_and(|(other, _)| other == id);
    let of_id: Vec<_> = known.iter().map(String::as_str).filter(has_id).collect();
    let meant = diagnostics.did_you_mean(key, of_id.iter().copied());
    let first = of_id.first()?;
    meant.or_else(|| Some(format!("the rule has the measure `{first}`")))
}

fn check(key: &str, rule: &Located<Override>, plans: &[Plan], diagnostics: &mut Diagnostics) {
    let known: Vec<String> = plans.iter().flat_map(keys).collect();
    if !known.iter().any(|known| known == key) {
        let hint = hint_at_measures(key, &known, diagnostics)
            .or_else(|| diagnostics.did_you_mean(key, known.iter().map(String::as_str)))
            .unwrap_or_else(|| "`recon rules` lists those in force".to_owned());
        diagnostics.error(rule.place, format!("no rule `{key}`"), Some(hint));
        return;
    }
    let Some(threshold) = rule.value.threshold else {
        return;
    };
    let meant = plans
        .iter()
        .filter(|plan| keys(plan).iter().any(|known| known == key));
    let meant: Vec<_> = meant.filter(|plan| plan.threshold.is_some()).collect();
    if meant.is_empty() {
        let message = format!("the rule `{key}` has no threshold");
        let hint = "its query compares no aggregate with a number; `enabled = false` turns it off";
        diagnostics.error(threshold.place, message, Some(hint.to_owned()));
    }
    let greatest = meant.iter().filter_map(|plan| greatest_measure(plan));
    if let Some(greatest) = greatest.min().filter(|&most| threshold.value >= most) {
        let message = format!("the rule `{key}` could never fire: there are only {greatest} ports");
        let hint = "use a lower threshold; `enabled = false` turns the rule off";
        diagnostics.error(threshold.place, message, Some(hint.to_owned()));
    }
}
