//! What a new configuration changes.
//!
//! In: what was in force, and what is. Out: a line for each change, for the log and the operator.
//! The decision held here: rules are compared as they are in force, with the settings applied. So
//! a threshold that moves from a rule file to recon.toml changes nothing, and a list of remotes
//! that all rules share is one line.

use std::collections::{BTreeMap, BTreeSet};

use super::{InForce, Settings};
use crate::duration::text;
use crate::rule::Configured;
use crate::stream::rule_id;

/// Settings that take effect only at a start: the kernel programs have them, or threads whose files
/// and system calls the sandbox knows.
const NEED_RESTART: [&str; 4] = ["netns", "sinks.", "enrich.names", "record."];
/// Rules are compared as they are in force.
const OF_RULES: &str = "rules.";
/// Except for their lists of remotes: a list for all rules is not one change for each.
const LISTS: [&str; 4] = [".allow", ".deny", ".allow_files", ".deny_files"];
/// Longer values are not shown.
const MAX_SHOWN: usize = 60;
/// Nor are those that may hold a secret: the log and the service manager's status have these lines.
const SECRET: [&str; 2] = [".url", ".endpoint"];

impl InForce {
    /// Replaces settings that only a start can change by those of `before`. Returns a line for
    /// each.
    pub(crate) fn keep_what_needs_restart(&mut self, before: &Self) -> Vec<String> {
        let (old, new) = (values(&before.settings), values(&self.settings));
        self.settings.netns = before.settings.netns;
        self.settings.sinks.clone_from(&before.settings.sinks);
        self.settings.enrich.names = before.settings.enrich.names;
        self.settings.record.clone_from(&before.settings.record);
        let is_kept = |key: &&String| NEED_RESTART.iter().any(|start| key.starts_with(start));
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).filter(is_kept).collect();
        let changed = keys.into_iter().filter_map(|key| {
            let (old, new) = (old.get(key), new.get(key));
            (old != new).then(|| {
                let (old, new) = (shown(key, old), shown(key, new));
                format!("{key}: {new} needs a restart; until then it stays {old}")
            })
        });
        changed.collect()
    }

    /// What differs from `before`: a line for each setting and rule.
    pub(crate) fn changes(&self, before: &Self) -> Vec<String> {
        let mut lines = setting_changes(&values(&before.settings), &values(&self.settings));
        lines.extend(self.settings.lists.changes(&before.settings.lists));
        lines.extend(self.settings.databases.changes(&before.settings.databases));
        lines.extend(rule_changes(&by_name(before), &by_name(self)));
        lines
    }
}

/// The settings by their keys, as TOML.
fn values(settings: &Settings) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    // Every setting is TOML, or `recon config` could not show it.
    if let Ok(toml::Value::Table(table)) = toml::Value::try_from(settings) {
        flatten("", &table, &mut values);
    }
    values
}

fn flatten(prefix: &str, table: &toml::Table, values: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            toml::Value::Table(table) => flatten(&format!("{key}."), table, values),
            value => drop(values.insert(key, value.to_string())),
        }
    }
}

fn setting_changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let changed = keys.into_iter().filter_map(|key| {
        let (old, new) = (old.get(key), new.get(key));
        let is_list = LISTS.iter().any(|list| key.ends_with(list));
        let is_changed = old != new && (is_list || !key.starts_with(OF_RULES));
        is_changed.then(|| format!("{key}: {}", change(shown(key, old), shown(key, new))))
    });
    changed.collect()
}

fn shown<'a>(key: &str, value: Option<&'a String>) -> &'a str {
    let is_secret = SECRET.iter().any(|secret| key.ends_with(secret));
    match value.map(String::as_str) {
        None => "none",
        Some(value) if is_secret || value.len() > MAX_SHOWN => "...",
        Some(value) => value,
    }
}

fn change(old: impl AsRef<str>, new: impl AsRef<str>) -> String {
    match (old.as_ref(), new.as_ref()) {
        (old, new) if old == new => "changed".to_owned(),
        (old, new) => format!("{old} -> {new}"),
    }
}

/// The rules by what tells one from another.
fn by_name(in_force: &InForce) -> BTreeMap<String, &Configured> {
    let rules = in_force.rules.iter();
    rules.map(|rule| (rule_id(&rule.plan), rule)).collect()
}

fn rule_changes(
    old: &BTreeMap<String, &Configured>,
    new: &BTreeMap<String, &Configured>,
) -> Vec<String> {
    let without = |these: &BTreeMap<String, &Configured>,
                   others: &BTreeMap<String, &Configured>| {
        let missing = these.keys().filter(|name| !others.contains_key(*name));
        missing.cloned().collect::<Vec<_>>()
    };
    let lists = [
        ("rules added", without(new, old)),
        ("rules removed", without(old, new)),
    ];
    let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
    let lists = lists.map(|(what, names)| format!("{what}: {}", names.join(", ")));
    let changed = new.iter().filter_map(|(name, new)| {
        let changes = changes_of_rule(old.get(name)?, new);
        (!changes.is_empty()).then(|| format!("rule {name}: {}", changes.join(", ")))
    });
    lists.chain(changed).collect()
}

/// What differs between two rules of one name.
fn changes_of_rule(old: &Configured, new: &Configured) -> Vec<String> {
    let described = |rule: &Configured| {
        let plan = &rule.plan;
        let none = || "none".to_owned();
        [
            (
                "threshold",
                plan.threshold.map_or_else(none, |it| it.above.to_string()),
            ),
            ("window", text(plan.window)),
            ("severity", plan.severity.name().to_owned()),
            ("cooldown", plan.cooldown.map_or_else(none, text)),
            ("name", format!("{:?}", plan.name)),
            ("technique", plan.technique.clone().unwrap_or_else(none)),
            ("tags", plan.tags.join(", ")),
        ]
    };
    let both = described(old).into_iter().zip(described(new));
    let changed = both.filter(|((_, old), (_, new))| old != new);
    let mut changes: Vec<_> = changed
        .map(|((what, old), (_, new))| format!("{what} {}", change(old, new)))
        .collect();
    let mut like_new = old.plan.clone();
    (like_new.threshold, like_new.window) = (new.plan.threshold, new.plan.window);
    if !like_new.counts_as(&new.plan) {
        changes.push("query changed".to_owned());
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{RuleOptions, in_force};
    use super::*;

    const RULE: &str = "// id: a\n// window: 10m\nDeviceNetworkEvents | where ActionType == 'SYN' | summarize n = count() by RemoteIP | where n > 5\n";

    fn of(settings: &str, rules: &str) -> InForce {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("recon.toml");
        fs::write(&config, settings).expect("a file");
        let mut options = RuleOptions {
            config: Some(config),
            ..RuleOptions::default()
        };
        if !rules.is_empty() {
            let file = folder.path().join("rules.kql");
            fs::write(&file, rules).expect("a file");
            options.rules.push(file);
        }
        in_force(&options, crate::rule::defaults).expect("a configuration")
    }

    #[test]
    fn changes_are_named() {
        let other = RULE.replace("id: a", "id: b");
        let both = format!("{RULE};\n{other}");
        let edited = RULE.replace("'SYN'", "'Datagram'");
        let long = format!("allow = [{}]", "'192.0.2.1', ".repeat(20));
        for (what, old, new, expected) in [
            ("nothing", ("", ""), ("", ""), &[][..]),
            (
                "settings",
                ("include_private = true", ""),
                ("quiet = '1m'\nalerts.lines = 'unlimited'", ""),
                &[
                    "alerts.lines: 20 -> \"unlimited\"",
                    "include_private: true -> false",
                    "quiet: \"10m\" -> \"1m\"",
                ],
            ),
            (
                "a long list",
                (&*long, ""),
                ("allow = ['192.0.2.1']", ""),
                &["allow: ... -> [\"192.0.2.1/32\"]"],
            ),
            (
                "a list of a rule",
                ("rules.a.deny = ['192.0.2.1']", RULE),
                ("rules.a.allow = ['192.0.2.1']", RULE),
                &[
                    "rules.a.allow: none -> [\"192.0.2.1/32\"]",
                    "rules.a.deny: [\"192.0.2.1/32\"] -> none",
                ],
            ),
            (
                "a rule of the settings",
                ("", RULE),
                ("rules.a.threshold = 6\nrules.a.window = '1m'", RULE),
                &["rule a/count: threshold 5 -> 6, window 10m -> 1m"],
            ),
            (
                "the same from another place",
                ("rules.a.threshold = 6", RULE),
                ("", &RULE.replace("> 5", "> 6")),
                &[],
            ),
            ("added", ("", RULE), ("", &both), &["rules added: b/count"]),
            (
                "removed",
                ("", &both),
                ("", RULE),
                &["rules removed: b/count"],
            ),
            (
                "disabled",
                ("", &both),
                ("rules.a.enabled = false", &both),
                &["rules removed: a/count"],
            ),
            (
                "edited",
                ("", RULE),
                ("", &edited),
                &["rule a/count: query changed"],
            ),
        ] {
            let (old, new) = (of(old.0, old.1), of(new.0, new.1));
            assert_eq!(new.changes(&old), expected, "{what}");
        }
    }

    #[test]
    fn what_needs_a_restart_stays() {
        let old = of("netns = 'all'", "");
        let mut new = of("", "");
        let said = new.keep_what_needs_restart(&old);
        let expected = "netns: \"watched\" needs a restart; until then it stays \"all\"";
        assert_eq!(said, [expected]);
        assert_eq!(new.changes(&old), [""; 0]);
        assert_eq!(new.keep_what_needs_restart(&old), [""; 0]);
    }

    /// Whoever may ask the service manager for its status reads these lines.
    #[test]
    fn no_change_shows_the_path_of_a_url() {
        let hook = |path: &str| {
            let sink = "sinks.hook = { type = 'webhook', url = 'https://192.0.2.1/PATH' }";
            of(&sink.replace("PATH", path), "")
        };
        let said = hook("new").keep_what_needs_restart(&hook("secret"));
        let expected = "sinks.hook.url: ... needs a restart; until then it stays ...";
        assert_eq!(said, [expected]);
        let changes = hook("new").changes(&hook("secret"));
        assert!(!changes.concat().contains("secret"), "{changes:?}");
    }
}
