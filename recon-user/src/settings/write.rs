//! Settings as TOML.
//!
//! In: [`Settings`]. Out: text that is read as the same settings.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::read::UNLIMITED;
use super::{Override, Settings, bytes};
use crate::duration::text;
use crate::rule::{Network, Severity};

#[derive(Serialize)]
struct File<'a> {
    include_private: bool,
    min_severity: &'static str,
    scanners: &'a [String],
    not_scanners: &'a [String],
    local_networks: Vec<String>,
    allow: Vec<String>,
    deny: Vec<String>,
    alerts: Alerts,
    limits: Limits,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rules: BTreeMap<&'a str, Rule>,
}

#[derive(Serialize)]
struct Alerts {
    lines: Amount,
    per: String,
}

#[derive(Serialize)]
struct Limits {
    memory: Amount,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Amount {
    Number(u64),
    Text(String),
}

#[derive(Serialize)]
struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules.iter().map(|(id, rule)| (id.as_str(), of(rule)));
        let file = File {
            include_private: self.include_private,
            min_severity: self.min_severity.name(),
            scanners: &self.scanners,
            not_scanners: &self.not_scanners,
            local_networks: texts(&self.local_networks),
            allow: texts(&self.allow),
            deny: texts(&self.deny),
            alerts: Alerts {
                lines: match self.alerts.lines {
                    Some(lines) => Amount::Number(lines),
                    None => Amount::Text(UNLIMITED.to_owned()),
                },
                per: text(self.alerts.per),
            },
            limits: Limits {
                memory: match bytes::text(self.memory) {
                    Some(text) => Amount::Text(text),
                    None => Amount::Number(self.memory),
                },
            },
            rules: rules.collect(),
        };
        let text = toml::to_string(&file).map_err(|_| fmt::Error)?;
        formatter.write_str(&text)
    }
}

fn of(rule: &Override) -> Rule {
    Rule {
        enabled: rule.enabled,
        threshold: rule.threshold,
        window: rule.window.map(text),
        severity: rule.severity.map(Severity::name),
        cooldown: rule.cooldown.map(text),
        allow: texts(&rule.allow),
        deny: texts(&rule.deny),
    }
}

pub(super) fn texts(networks: &[Network]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}
