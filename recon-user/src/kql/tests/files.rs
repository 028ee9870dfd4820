//! Files: their queries, and the name of each.

use super::{load, messages, plans};

/// The id and the name of each query of a file.
#[test]
fn names_and_ids() {
    const QUERY: &str = "DeviceNetworkEvents | where LocalPort == 1\n";
    for (file, text, expected) in [
        (
            "My rules.kql",
            format!("{QUERY}\n{QUERY};{QUERY}"),
            vec![
                ("my-rules-1", "my-rules-1"),
                ("my-rules-2", "my-rules-2"),
                ("my-rules-3", "my-rules-3"),
            ],
        ),
        ("日本.kql", QUERY.to_owned(), vec![("rule-1", "rule-1")]),
        (
            "a.kql",
            format!("// Purpose: Find it.\n{QUERY}"),
            vec![("find-it", "Find it.")],
        ),
        (
            "a.kql",
            format!("// Purpose: Find it.\n// 3) Three\n{QUERY}"),
            vec![("three", "Three")],
        ),
        (
            "a.kql",
            format!("// 1. One\n\n// id: two\n\n{QUERY}"),
            vec![("two", "a-1")],
        ),
        (
            "a.kql",
            format!("// 1. One\n// name: The first\n{QUERY}"),
            vec![("one", "The first")],
        ),
        (
            "a.kql",
            format!("// name: The first!\n{QUERY}"),
            vec![("the-first", "The first!")],
        ),
        ("a.kql", format!("// 1. ???\n{QUERY}"), vec![("a-1", "???")]),
        (
            "a.kql",
            format!("\u{feff}// 1. Ones\r\n{QUERY}"),
            vec![("ones", "Ones")],
        ),
    ] {
        let loaded = load(file, &text);
        assert_eq!(messages(&loaded), "", "{text}");
        let found: Vec<_> = loaded
            .plans
            .iter()
            .map(|plan| (plan.id.as_str(), plan.name.as_str()))
            .collect();
        assert_eq!(found, expected, "{file}: {text}");
    }
}

/// Queries end at semicolons, and before a query that follows a blank line or a comment.
#[test]
fn queries_of_a_file_are_separated() {
    const QUERY: &str = "DeviceNetworkEvents | where LocalPort == 1";
    for (text, count) in [
        (format!("{QUERY}\n\n{QUERY}"), 2),
        (format!("{QUERY}\n// next\n{QUERY}"), 2),
        (format!("{QUERY}; {QUERY};\n;\n"), 2),
        (format!("let a = 1;\n\nlet b = 2;\n// with them\n{QUERY} + a + b\n\n{QUERY}"), 2),
        ("DeviceNetworkEvents\n\n// a step\n| where\n\n// more\nLocalPort == 1\n\n// and\nand\n// more\nRemotePort == 2".to_owned(), 1),
        ("DeviceNetworkEvents | project\n// first\nLocalPort,\n// second\n\nRemoteIP".to_owned(), 1),
        ("DeviceNetworkEvents | where LocalPort in (\n// web\n80,\n\n443\n)".to_owned(), 1),
        ("DeviceNetworkEvents | summarize count()\n\nby\n\nRemoteIP | where count_ > 1".to_owned(), 1),
    ] {
        assert_eq!(plans("a.kql", &text).len(), count, "{text}");
    }
    // A broken query does not take the next one with it.
    let loaded = load(
        "a.kql",
        &format!("DeviceNetworkEvents | where (LocalPort == 1\n\n{QUERY}"),
    );
    assert_eq!((loaded.plans.len(), loaded.diagnostics.errors()), (1, 1));
}

pub(super) const MARKDOWN: &str = "\
# Detections

Prose | where nothing == 1

## Port scan

```kusto
DeviceNetworkEvents
| summarize ports = dcount(LocalPort) by RemoteIP
| where ports > 20
```

````md
```kql
not here
```
````

**2. SMB**: no, rather this:

2. SMB *scan*

   ~~~ KQL
   // severity: high
   DeviceNetworkEvents | where LocalPort = 445
   ~~~

```sh
recon run
```
> ```kql title=\"quoted\"
DeviceNetworkEvents | where LocalPort == 446
";

#[test]
fn markdown_is_read_with_its_own_lines() {
    for name in ["rules.md", "RULES.Markdown"] {
        let loaded = load(name, MARKDOWN);
        let expected = format!(
            "{name}:25:42: error: expected `|`, found `=`
   |
25 |    DeviceNetworkEvents | where LocalPort = 445
   |                                          ^
   |
   = hint: `=` gives a column its name; `==` compares
"
        );
        assert_eq!(messages(&loaded), expected);
        let found: Vec<_> = loaded.plans.iter().map(|plan| plan.id.as_str()).collect();
        assert_eq!(found, ["port-scan", "rules-3"]);
    }
}
