//! Settings and rule files from end to end: what they mean, the errors of broken ones, and that no
//! text is too much.

#[path = "tests/check.rs"]
mod check;
#[path = "tests/docs.rs"]
mod docs;
#[path = "tests/files.rs"]
mod files;
#[path = "tests/flags.rs"]
mod flags;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::defs::{Alerts, Limits};
use super::value::TomlTable;
use super::{InForce, Override, Settings, SinkSettings, list};
use crate::cli::{CONFIG_EXAMPLE, Cli};
use crate::kql::{Loader, Plan, Severity};
use crate::mutation::{check_places, fuzz};
use crate::rule::{Profile, defaults};
use crate::stream::rule_id;

/// The most bytes of messages on one file: a hundred of a few clipped lines each.
const MAX_MESSAGES: usize = 300 << 10;
/// Two measures of one id, a rule with a cooldown, and one without a threshold.
const RULES: &str = "\
// id: port-scan
// name: Port scan
// technique: T1595.001
DeviceNetworkEvents | summarize ports = dcount(LocalPort) by RemoteIP | where ports > 20

// id: port-scan
// name: Hits on one port
DeviceNetworkEvents | summarize count = count() by RemoteIP, LocalPort | where count > 20

// id: smb-scan
// severity: high
// window: 10m
// cooldown: 30m
DeviceNetworkEvents | where LocalPort == 445 | summarize hits = count() by RemoteIP, LocalIP | where hits > 10

// id: odd-sizes
DeviceNetworkEvents | summarize n = count() by RemoteIP | where n between (3 .. 5)
";

fn plans() -> Vec<Plan> {
    let loaded = Loader::default().load("rules.kql", RULES.as_bytes());
    assert_eq!(loaded.diagnostics.render(&loaded.source), "");
    loaded.plans
}

/// The rules in force as `recon rules` shows them, or the errors.
fn applied(text: &str) -> String {
    let rules =
        Settings::parse("recon.toml", text.as_bytes()).and_then(|settings| settings.apply(plans()));
    match rules {
        Ok(rules) => {
            let mut out = Vec::new();
            list(&rules, false, &mut out).expect("memory");
            String::from_utf8(out).expect("text")
        }
        Err(refused) => refused.to_string(),
    }
}

/// A file's text and the result, separated as in the tests of KQL.
#[test]
fn files_and_what_comes_of_them() {
    for case in include_str!("tests/cases.txt").split("=====\n").skip(1) {
        let (text, expected) = case.split_once("-----\n").expect("two halves");
        assert_eq!(applied(text).trim_end(), expected.trim_end(), "{text}");
    }
}

#[test]
fn every_known_key_is_taken() {
    for key in Settings::KEYS {
        assert!(
            !applied(&format!("{key} = 1979-05-27")).contains("no setting"),
            "{key}"
        );
    }
    for (table, keys) in [
        ("rules.smb-scan", Override::KEYS),
        ("alerts", Alerts::KEYS),
        ("limits", Limits::KEYS),
        ("sinks.audit", SinkSettings::KEYS),
    ] {
        for key in keys {
            let text = format!("[{table}]\n{key} = 1979-05-27");
            assert!(!applied(&text).contains("no setting"), "{key}");
        }
    }
}

#[test]
fn what_is_not_text_is_reported() {
    for (bytes, expected) in [
        (
            vec![b'#'; (64 << 10) + 1],
            "recon.toml:1:1: error: a file of settings has at most 64 KiB\n",
        ),
        (
            b"# \xff\n".to_vec(),
            "recon.toml:1:3: error: this is not UTF-8\n  |\n1 | # \u{fffd}\n  |   ^\n",
        ),
    ] {
        let refused = Settings::parse("recon.toml", &bytes).expect_err("not text");
        assert_eq!(refused.to_string(), expected);
    }
}

/// The example in the help is valid, and settings are written so that they read as the same
/// settings.
#[test]
fn settings_are_written_as_they_are_read() {
    let everything = format!("{CONFIG_EXAMPLE}\n\n[rules.\"Hits on one port\"]\nenabled = true\n");
    let example: Vec<_> = everything.lines().skip(1).collect();
    let odd = "alerts = { lines = 'unlimited', per = '90s', informational_per_hour = 0 }\nlimits.memory = 67_108_865";
    let sinks = "[sinks.a]\ntype = 'tcp'\naddress = '[2001:db8::1]:6514'\n[sinks.b]\ntype = 'unix'\npath = '/run/b'\nsocket = 'datagram'\nqueue = 1\n[sinks.c]\ntype = 'file'\npath = '/c'\nfsync = '5s'\nlines = ['rows', 'alerts']\n[sinks.d]\ntype = 'syslog'\n[sinks.e]\ntype = 'webhook'\nurl = 'https://collector.example/a?b'\naddress = '192.0.2.1:443'\nheaders_file = '/h'\nca_file = '/ca'\n[sinks.f]\ntype = 'tcp'\naddress = '192.0.2.1:6514'\ntls = true\nserver_name = 'collector.example'\ncert_file = '/c'\nkey_file = '/k'\n[sinks.g]\ntype = 'nats'\naddress = '192.0.2.1:4222'\nsubject = 'a.{host}'\ncredentials_file = '/n'\ntls = true";
    for text in ["", &example.join("\n"), odd, sinks] {
        let settings = Settings::parse("recon.toml", text.as_bytes()).expect("settings");
        settings.apply(plans()).expect("known rules");
        let written = settings.to_string();
        let again = Settings::parse("again.toml", written.as_bytes()).expect("settings");
        assert_eq!(again, settings, "{written}");
        assert_eq!(again.to_string(), written);
    }
    assert_eq!(
        Settings::default(),
        Settings::parse("", b"").expect("settings")
    );
}

/// The more of a rule's id a key has, the stronger it is.
#[test]
fn each_part_of_an_id_selects_rules() {
    let text = "\
[rules.syn-flood]
threshold = 1
[rules.'syn-flood/count']
threshold = 2
[rules.'syn-flood/count/half-open']
threshold = 3
";
    let settings = Settings::parse("recon.toml", text.as_bytes()).expect("settings");
    let rules = settings.apply(defaults(Profile::Outcomes)).expect("rules");
    for (id, expected) in [
        ("syn-flood/crafted_count", 1),
        ("syn-flood/count/many", 2),
        ("syn-flood/count/half-open", 3),
    ] {
        let mut of_id = rules.iter().filter(|rule| rule_id(&rule.plan) == id);
        let rule = of_id.next().unwrap_or_else(|| panic!("{id}: no such rule"));
        let threshold = rule.plan.threshold.expect("a threshold");
        assert_eq!((threshold.above, of_id.count()), (expected, 0), "{id}");
    }
}

/// The default rules can be told apart by what `recon rules` lists.
#[test]
fn the_help_has_settings_for_default_rules() {
    let example: Vec<_> = CONFIG_EXAMPLE.lines().skip(1).collect();
    let settings = Settings::parse("recon.toml", example.join("\n").as_bytes());
    let rules = settings
        .and_then(|settings| settings.apply(defaults(Profile::Source)))
        .expect("rules");
    assert_eq!(rules.len(), defaults(Profile::Source).len() - 1);
}

/// The lists of remotes: whose rows count.
#[test]
fn lists_of_remotes_add_up() {
    let text = "\
allow = ['192.0.2.0/24']
deny = ['192.0.2.66']
include_private = true
[rules.smb-scan]
allow = ['2001:db8::/32', '192.0.2.66']
deny = ['192.0.2.67']
";
    let settings = Settings::parse("recon.toml", text.as_bytes()).expect("settings");
    let rules = settings.apply(plans()).expect("rules");
    for (address, port_scan, smb_scan) in [
        ("192.0.2.1", true, true),
        ("192.0.2.66", false, false),
        ("192.0.2.67", true, false),
        ("2001:db8::1", false, true),
        ("203.0.113.1", false, false),
    ] {
        let address = address.parse().expect("an address");
        for rule in &rules {
            let expected = if rule.plan.id == "smb-scan" {
                smb_scan
            } else {
                port_scan
            };
            assert_eq!(rule.allows(address), expected, "{address} {}", rule.plan.id);
            assert!(rule.include_private);
        }
    }
}

#[test]
fn rules_are_listed_as_json() {
    let settings = Settings::parse("recon.toml", b"[rules.smb-scan]\nallow = ['192.0.2.1']");
    let rules = settings
        .and_then(|settings| settings.apply(plans()))
        .expect("rules");
    let mut out = Vec::new();
    list(&rules, true, &mut out).expect("memory");
    let listed: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(4));
    let expected = serde_json::json!({
        "rule": "smb-scan/count",
        "id": "smb-scan",
        "measure": "count",
        "version": rules[2].plan.version,
        "name": "rules-3",
        "severity": "high",
        "threshold": 10,
        "window": "10m",
        "cooldown": "30m",
        "technique": null,
        "groups": ["RemoteIP", "LocalIP"],
        "allow": ["192.0.2.1/32"],
        "deny": [],
        "include_private": false,
    });
    assert_eq!(listed[2], expected);
}

/// The largest files of one piece: nested, broken or unknown all over.
#[test]
fn no_file_takes_long() {
    /// In a build without optimisation on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);
    const LARGEST: usize = 64 << 10;
    for (head, piece) in [
        ("", "["),
        ("a = ", "["),
        ("a = ", "{a="),
        ("", "a."),
        ("", "a=\n"),
        ("", "\u{e9}\n"),
        ("a = ", "\""),
        ("allow = [", "1,"),
        ("allow = [", "'x',"),
        ("", "[[rules]]\n"),
        ("", "[rules.NUMBER]\n"),
        ("", "NUMBER = 1\n"),
    ] {
        let mut text = head.to_owned();
        for number in 0.. {
            let piece = piece.replace("NUMBER", &number.to_string());
            if text.len() + piece.len() > LARGEST {
                break;
            }
            text.push_str(&piece);
        }
        let start = Instant::now();
        let settings = Settings::parse("recon.toml", text.as_bytes());
        let _ = settings.and_then(|settings| settings.apply(plans()));
        let taken = start.elapsed();
        assert!(taken < PATIENCE, "{head}{piece}: {taken:?}");
    }
}

/// Pieces of settings, and others.
const WORDS: &[&str] = &[
    "rules",
    "smb-scan",
    "port-scan",
    "enabled",
    "threshold",
    "window",
    "severity",
    "allow",
    "deny",
    "include_private",
    "scanners",
    "local_networks",
    "[",
    "]",
    "[[",
    "]]",
    "[rules.",
    "{",
    "}",
    ".",
    "=",
    ",",
    "\n",
    "\r\n",
    "#",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "true",
    "1",
    "-1",
    "0x1F",
    "1e9",
    "nan",
    "1979-05-27",
    "\"10m\"",
    "\"high\"",
    "\"192.0.2.0/24\"",
    "\"nmap\"",
    "\\u00e9",
    "é",
    "日本",
    "🦀",
    "\u{feff}",
    "\u{202e}",
    "\0",
    "\t",
];

/// What is accepted is written and read as the same; what is refused has a message.
fn read(bytes: &[u8]) {
    match Settings::parse("recon.toml", bytes) {
        Ok(settings) => {
            let written = settings.to_string();
            let again = Settings::parse("again.toml", written.as_bytes());
            assert_eq!(again.expect("settings"), settings);
            if let Err(refused) = settings.apply(plans()) {
                assert!(refused.to_string().contains("recon.toml:"));
            }
        }
        Err(refused) => {
            let messages = refused.to_string();
            assert!(messages.starts_with("recon.toml:"));
            assert!(messages.len() < MAX_MESSAGES, "{} bytes", messages.len());
            check_places(&messages, "recon.toml", bytes);
        }
    }
}

#[test]
fn mutated_settings() {
    let seeds = [CONFIG_EXAMPLE, &Settings::default().to_string()];
    fuzz(&seeds, "\n", WORDS, read);
}

proptest! {
    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        read(&bytes);
    }

    #[test]
    fn letters(text in "\\PC{0,200}") {
        read(text.as_bytes());
    }

    #[test]
    fn words(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        read(words.concat().as_bytes());
        read(words.join(" ").as_bytes());
    }

    /// Mostly well-formed: values for keys.
    #[test]
    fn pairs(pairs in prop::collection::vec((prop::sample::select(WORDS), prop::sample::select(WORDS)), 0..12)) {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} = [{value}]\n[rules.{value}]\n{key} = {value}\n")).collect();
        read(pairs.concat().as_bytes());
    }
}
