//! Which files are read, and the errors for those that can't be.

use crate::settings::RuleOptions;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::settings::{check, in_force, rules};

const QUERY: &str = "DeviceNetworkEvents | where LocalPort == 1\n";

/// Makes a folder of files, and reads rules from these paths in it.
fn read(make: impl Fn(&Path), paths: &[&str]) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    make(root);
    let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
    let without_root = |text: String| text.replace(&format!("{}/", root.display()), "");
    match rules(&paths) {
        Ok(read) => {
            assert_eq!(read.warnings, "");
            let ids: Vec<_> = read.plans.iter().map(|plan| plan.id.as_str()).collect();
            Ok(ids.join(" "))
        }
        Err(refused) => Err(without_root(refused.to_string())),
    }
}

fn write(path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
    fs::write(path, text).expect("a file");
}

/// A folder with everything that may be in one.
fn folder(root: &Path) {
    let query = |port: u16| QUERY.replace("== 1", &format!("== {port}"));
    let rules = root.join("rules");
    fs::create_dir(&rules).expect("a folder");
    write(rules.join("20-b.kql"), query(4));
    write(rules.join("10-a.md"), format!("```kql\n{}```\n", query(2)));
    write(rules.join("30-c.KQL"), query(3));
    write(rules.join("notes.txt"), "not a rule");
    write(rules.join(".40-d.kql"), "not a rule");
    write(root.join("e.rules"), QUERY);
    symlink("../e.rules", rules.join("50-e.kql")).expect("a link");
    symlink("rules", root.join("link")).expect("a link");
}

#[test]
fn files_and_folders_are_read_in_order() {
    for (paths, expected) in [
        (&["rules"] as &[&str], "10-a-1 20-b-1 30-c-1 50-e-1"),
        (&["link"], "10-a-1 20-b-1 30-c-1 50-e-1"),
        (&["e.rules", "rules/10-a.md"], "e-1 10-a-1"),
    ] {
        assert_eq!(read(folder, paths).as_deref(), Ok(expected), "{paths:?}");
    }
}

#[test]
fn what_cannot_be_read_is_reported() {
    let broken = |root: &Path| {
        folder(root);
        fs::create_dir_all(root.join("odd/a.kql")).expect("folders");
        symlink("nowhere", root.join("odd/b.kql")).expect("a link");
        symlink("c.kql", root.join("odd/c.kql")).expect("a link");
        write(root.join("odd/d.kql"), "DeviceNetworkEvents | wher 1");
        fs::create_dir(root.join("empty")).expect("a folder");
        write(root.join("large.kql"), vec![b' '; (1 << 20) + 1]);
        write(root.join("latin.kql"), b"// \xe9");
    };
    for (paths, expected) in [
        (
            &["nowhere"] as &[&str],
            "nowhere: error: No such file or directory (os error 2)\n",
        ),
        (
            &["empty"],
            "empty: error: no file in this folder has a name that ends in .kql or .md\n",
        ),
        (
            &["odd", "nowhere"],
            "odd/a.kql: error: this is not a regular file
odd/b.kql: error: No such file or directory (os error 2)
odd/c.kql: error: Too many levels of symbolic links (os error 40)
odd/d.kql:1:23: error: no operator `wher`
  |
1 | DeviceNetworkEvents | wher 1
  |                       ^^^^
  |
  = hint: did you mean `where`?
nowhere: error: No such file or directory (os error 2)
",
        ),
        (
            &["large.kql"],
            "large.kql:1:1: error: a rule file has at most 1024 KiB\n",
        ),
        (
            &["latin.kql"],
            "latin.kql:1:4: error: this is not UTF-8\n  |\n1 | // \u{fffd}\n  |    ^\n",
        ),
        (
            &["e.rules", "e.rules"],
            "e.rules: error: this file is named twice; leave out one of the two\n",
        ),
    ] {
        let found = read(broken, paths).expect_err("broken");
        assert_eq!(found, expected, "{paths:?}");
    }
}

/// The errors in the settings and in the rules are reported at once, and a file of settings that is
/// named must exist.
#[test]
fn settings_and_rules_are_read_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write(path("good.toml"), "[rules.a-1]\nseverity = 'high'\n");
    write(path("bad.toml"), "allow = 1\n");
    write(path("a.kql"), QUERY);
    write(path("bad.kql"), "nothing\n");
    for (config, rules, says) in [
        ("good.toml", "a.kql", &[] as &[&str]),
        (
            "bad.toml",
            "a.kql",
            &["bad.toml:1:9: error: expected networks"],
        ),
        ("good.toml", "bad.kql", &["bad.kql:1:1: error: "]),
        (
            "bad.toml",
            "bad.kql",
            &["bad.toml:1:9: error: ", "bad.kql:1:1: error: "],
        ),
        (
            "nowhere.toml",
            "a.kql",
            &["nowhere.toml: error: No such file"],
        ),
    ] {
        let options = RuleOptions {
            rules: vec![path(rules)],
            config: Some(path(config)),
            ..RuleOptions::default()
        };
        match in_force(&options, |_| Vec::new()) {
            Ok(InForce { rules, .. }) => {
                assert!(says.is_empty(), "{config} {rules:?}");
                assert_eq!(rules[0].plan.severity, Severity::High);
            }
            Err(refused) => {
                let text = refused.to_string();
                assert!(
                    !says.is_empty() && says.iter().all(|say| text.contains(say)),
                    "{text}"
                );
            }
        }
    }
    let options = RuleOptions {
        config: Some(path("good.toml")),
        ..RuleOptions::default()
    };
    let load = |text: &str| {
        write(path("some.toml"), text);
        let options = RuleOptions {
            config: Some(path("some.toml")),
            ..RuleOptions::default()
        };
        let load = |plans: &str| {
            let loaded = Loader::default().load("rules.kql", plans.as_bytes());
            in_force(&options, |_| loaded.plans)
        };
        let rule = |id: &str, key: &str| {
            format!(
                "// id: {id}\n{key}DeviceNetworkEvents | summarize n = count() by RemoteIP | where n > 9;\n\n"
            )
        };
        load(
            &[
                rule("first", ""),
                rule("second", "// unless: first\n"),
                rule("third", "// after: first\n"),
            ]
            .concat(),
        )
    };
    assert_eq!(load("").expect("settings").warnings, "");
    // A rule that can never fire is an error, one that excludes nobody a warning.
    let refused = load("[rules.first]\nenabled = false").expect_err("third");
    assert!(
        refused.to_string().contains("`third` has `after: first`"),
        "{refused}"
    );
    let both = "[rules.first]\nenabled = false\n[rules.third]\nenabled = false";
    let warnings = load(both).expect("settings").warnings;
    assert!(
        warnings.contains("`second` has `unless: first`"),
        "{warnings}"
    );
    // The default rules: the settings' rule is not among them.
    let refused = in_force(&options, |_| plans()).expect_err("another rule");
    assert!(refused.to_string().contains("no rule `a-1`"), "{refused}");
}

#[test]
fn rules_that_cannot_be_told_apart_are_named_with_both_places() {
    const COUNT: &str = "DeviceNetworkEvents | where LocalPort == 22 | summarize n = count() by RemoteIP | where n > 5";
    const OTHER: &str = "DeviceNetworkEvents | where LocalPort == 23 | summarize n = count() by RemoteIP | where n > 5";
    const PORTS: &str =
        "DeviceNetworkEvents | summarize n = dcount(LocalPort) by RemoteIP | where n > 5";
    let rule =
        |id: &str, name: &str, query: &str| format!("// id: {id}\n// name: {name}\n{query}\n\n");
    for (what, first, second, expected) in [
        ("two ids", rule("a", "a", COUNT), rule("b", "b", OTHER), ""),
        (
            "two measures of one id",
            rule("a", "a", COUNT),
            rule("a", "b", PORTS),
            "",
        ),
        (
            "one id and measure",
            rule("a", "a", COUNT),
            rule("a", "b", OTHER),
            "two.kql:3: error: the rule `b` has the same `rule.id` as the rule `a` at one.kql:3, `a/count`: their alerts and their settings could not be told apart; give each of them a line such as `// variant: requests`, or one of them another id\n",
        ),
        (
            "one id and measure, and two variants",
            rule("a", "a\n// variant: one", COUNT),
            rule("a", "b\n// variant: two", OTHER),
            "",
        ),
        (
            "the same rule",
            rule("a", "a", COUNT),
            rule("b", "b", COUNT),
            "two.kql:3: warning: the rule `b` counts the same as the rule `a` at one.kql:3: each alert is written twice; remove one of them\n",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = [("one.kql", first), ("two.kql", second)].map(|(name, text)| {
            let path = folder.path().join(name);
            write(&path, text);
            path
        });
        let said = match rules(&paths) {
            Ok(rules) => rules.warnings,
            Err(refused) => refused.to_string(),
        };
        let root = format!("{}/", folder.path().display());
        assert_eq!(said.replace(&root, ""), expected, "{what}");
        let mut checked = Vec::new();
        let is_right = check(&paths, &mut Vec::new(), &mut checked).expect("memory");
        let checked = String::from_utf8(checked).expect("text");
        assert_eq!(checked.replace(&root, ""), expected, "{what}");
        assert_eq!(is_right, !expected.contains("error"), "{what}");
    }
}

#[test]
fn the_id_of_alerts_about_recon_is_taken() {
    let make = |root: &Path| write(root.join("a.kql"), format!("// id: recon-blind\n{QUERY}"));
    let refused = read(make, &["a.kql"]).expect_err("a taken id");
    assert!(
        refused.starts_with(
            "a.kql:2:1: error: the id `recon-blind` is that of recon's alerts about itself\n"
        ),
        "{refused}"
    );
}
