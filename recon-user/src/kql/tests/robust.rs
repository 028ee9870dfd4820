//! No text causes a panic, a hang or growth, and the text of a plan loads as that plan.

use std::fmt::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::files::MARKDOWN;
use super::{DETECTIONS, load, messages};
use crate::kql::Loader;
use crate::mutation::{check_places, fuzz};

/// The most time for any of these files, in a build without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of messages on one file: a hundred messages of a few clipped lines each.
const MAX_MESSAGES: usize = 300 << 10;

/// Words of queries, and others.
const WORDS: &[&str] = &[
    "DeviceNetworkEvents",
    "|",
    "where",
    "extend",
    "summarize",
    "project",
    "project-away",
    "order by",
    "top",
    "take",
    "let",
    ";",
    "by",
    "and",
    "or",
    "not(",
    "(",
    ")",
    "[",
    "]",
    "{",
    ",",
    "=",
    "==",
    "!=",
    "<",
    ">=",
    "=~",
    "!~",
    "..",
    "+",
    "-",
    "*",
    "/",
    "%",
    "in",
    "!in",
    "in~",
    "!in~",
    "between",
    "!between",
    "has",
    "!startswith_cs",
    "contains",
    "RemoteIP",
    "LocalPort",
    "TimeGenerated",
    "Count",
    "InitiatingProcessFileName",
    "a",
    "b",
    "n",
    "count_",
    "count()",
    "dcount(",
    "arg_max(",
    "make_set(",
    "countif(",
    "max(",
    "bin(",
    "ago(",
    "now()",
    "iff(",
    "strlen(",
    "tostring(",
    "1h",
    "5m",
    "20",
    "0",
    "0.5",
    "0x1F",
    "9223372036854775807",
    "\"10.\"",
    "'x'",
    "@\"c:\\\"",
    "\"\\u00e9\"",
    "\"",
    "true",
    "dynamic([1, \"a\"])",
    "datetime(2026-01-31)",
    "timespan(1.00:00:00)",
    "asc",
    "desc",
    "nulls first",
    "// id: a\n",
    "// window: 1h\n",
    "// 1. One\n",
    "\n",
    "\n\n",
    "\t",
    "é",
    "日本",
    "🦀",
    "\u{202e}",
    "$",
    "join",
    "has_any",
    "&&",
    "```kql\n",
    "```\n",
];

/// Loads a file as KQL and as Markdown, and the plans' texts once more.
fn read(bytes: &[u8]) {
    for name in ["a.kql", "a.md"] {
        let loaded = Loader::default().load(name, bytes);
        let messages = messages(&loaded);
        assert!(
            messages.len() < MAX_MESSAGES,
            "{} bytes of messages",
            messages.len()
        );
        assert_eq!(
            loaded.diagnostics.errors() > 0,
            messages.contains(": error: ")
        );
        check_places(&messages, name, bytes);
        for plan in &loaded.plans {
            let text = plan.to_string();
            let again = load("b.kql", &text);
            assert_eq!(super::messages(&again), "", "{text}");
            assert_eq!(again.plans[0].to_string(), text);
        }
    }
}

proptest! {
    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        read(&bytes);
    }

    #[test]
    fn letters(text in "\\PC{0,400}") {
        read(text.as_bytes());
    }

    #[test]
    fn words(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        read(words.join(" ").as_bytes());
    }

    /// Mostly well-formed: steps on a table.
    #[test]
    fn steps(steps in prop::collection::vec(prop::collection::vec(prop::sample::select(WORDS), 1..8), 1..6)) {
        let mut text = "DeviceNetworkEvents".to_owned();
        for (index, step) in steps.iter().enumerate() {
            let operator = ["where LocalPort == 1 or", "extend n =", "project RemoteIP,", "summarize n = count() by"][index % 4];
            let _ = write!(text, "\n| {operator} {}", step.join(" "));
        }
        read(text.as_bytes());
    }
}

#[test]
fn mutated_detections() {
    let canonical: Vec<_> = load("a.kql", DETECTIONS)
        .plans
        .iter()
        .map(ToString::to_string)
        .collect();
    let accepted = include_str!("accepted.txt").replace("=====\n", "\nDeviceNetworkEvents\n");
    let seeds = [DETECTIONS, MARKDOWN, &canonical.join("\n\n"), &accepted];
    fuzz(&seeds, "DeviceNetworkEvents", WORDS, read);
}

/// What each file is made of, and a part of its message.
#[test]
fn large_texts_are_refused_or_read_in_time() {
    const MANY: usize = 100_000;
    let table = |steps: &str| format!("DeviceNetworkEvents {steps}");
    // As often as a file has room for.
    let many = |text: &str| text.repeat(MANY.min(1_000_000 / text.len()));
    let deep = "an expression is nested at most 64 deep";
    let columns = "a query has at most 128 columns";
    for (text, says) in [
        (table(&format!("| where {}", many("("))), deep),
        (table(&format!("| where {}1", many("not("))), deep),
        (
            table(&format!("| where {}LocalPort{}", many("("), many(")"))),
            deep,
        ),
        (
            table(&format!("| where LocalPort {} == 1", many("+ 1"))),
            deep,
        ),
        (table(&format!("| where strlen({}", many("tolower("))), deep),
        (
            table(&format!("| where - {}LocalPort", many("- "))),
            "expected a value",
        ),
        (
            table(&format!("| where LocalPort == 1 {}", many("or true "))),
            "",
        ),
        (
            table(&format!("| where LocalPort in (1{})", many(", 2"))),
            "at most 65536 constants",
        ),
        (
            table(&format!("| where LocalPort in (1{})", ", 2".repeat(65_535))),
            "",
        ),
        (table(&many("| where true ")), ""),
        (table(&many("| ")), "no more than 100 messages"),
        (
            table(&format!("| extend a = 1{}", many(", a"))),
            "two columns have the name `a`",
        ),
        (
            table(&format!("| extend strlen(RemoteIP){}", many(", 1"))),
            columns,
        ),
        (
            table(&format!("| summarize count(){}", many(", count()"))),
            columns,
        ),
        (
            table(&format!("| summarize n = count(){}", many(" + count()"))),
            deep,
        ),
        (
            table(&many("| extend LocalPort = LocalPort + LocalPort")),
            columns,
        ),
        (
            table(&format!("| where LocalPort == 1{}", " ".repeat(1 << 20))),
            "a rule file has at most 1024 KiB",
        ),
        (
            table(&format!("| where RemoteIP == \"{}\"", many("\\\\"))),
            "",
        ),
        (
            table(&format!("| where RemoteIP == {}", many("\u{200d}\u{300}"))),
            "unexpected",
        ),
        (
            table(&format!(
                "| summarize n = count() > 0{}",
                many(" and count() > 0")
            )),
            columns,
        ),
        (
            table(&format!("| summarize arg_max(LocalPort{})", many(", *"))),
            columns,
        ),
        (
            table(&format!(
                "| summarize by LocalPort{}",
                many(", LocalPort + 1")
            )),
            columns,
        ),
        (many("let a = 1;"), "expected the table's name"),
        (
            format!("{}{}", many("let a=1;"), table("")),
            "two `let`s name `a`",
        ),
        (
            format!(
                "let a = dynamic([{}]);{}",
                "1, ".repeat(9_000),
                table(&"| where LocalPort in (a) ".repeat(9_000))
            ),
            "at most 65536 constants",
        ),
        (table(&format!("| where {}", many("\"\" "))), "expected `|`"),
        (many("DeviceNetworkEvents | where true;"), ""),
        (many("```kql\nDeviceNetworkEvents\n```\n"), "unexpected"),
        (many("time("), "has no `)` on its line"),
        (many("$ "), "no more than 100 messages"),
        (many("\"\n"), "no more than 100 messages"),
        (many("// id: a\n"), "this file has no query"),
        (
            format!("{}{}", many("// 1. a: b\n"), table("| where true")),
            "",
        ),
        (many("a\n\n"), "no table `a`"),
        (many("- "), "expected the table's name"),
        (many("1 "), "expected the table's name"),
        (many("0\n"), "expected the table's name"),
        ("x".repeat(1 << 20), "no table"),
    ] {
        let begin = Instant::now();
        let loaded = load("a.kql", &text);
        let start: String = text.chars().take(60).collect();
        assert!(
            messages(&loaded).contains(says),
            "{start}: {}",
            messages(&loaded)
        );
        assert_eq!(loaded.diagnostics.errors() == 0, says.is_empty(), "{start}");
        assert!(begin.elapsed() < PATIENCE, "{start}: {:?}", begin.elapsed());
    }
}

#[test]
fn what_is_not_utf8_has_a_place() {
    let loaded = Loader::default().load("a.kql", b"DeviceNetworkEvents\n| where \xff\xfe == 1");
    let expected = "a.kql:2:9: error: this is not UTF-8
  |
2 | | where \u{fffd}\u{fffd} == 1
  |         ^
";
    assert_eq!(messages(&loaded), expected);
}
