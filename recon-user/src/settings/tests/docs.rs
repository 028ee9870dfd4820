//! docs/settings.md and package/recon.toml say what the declarations say. `RECON_WRITE_DOCS=1`
//! rewrites them.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::*;
use crate::settings::value::DocRow;

const HEAD: &str = "\
# Settings

recon reads `/etc/recon/recon.toml`, or the file that `--config` names. `recon config` shows the settings in force, and
`recon config --help` an example. A flag wins over the file. A key such as `alerts.lines` is `lines` in the table `[alerts]`.

`<rule>` is a rule's id, its name, its id and measure as in `port-scan/distinct_ports`, or these and its variant as in
`http-flood/count/requests`; `recon rules` lists them. An id selects all its rules, and the longest key wins. What
is not set is as the rule says. `<name>` is a name of your own for a sink, see [sinks](sinks.md). Times are written as `90s`, `10m` or `1h`, networks as `192.0.2.0/24` or `192.0.2.1`.

This table is generated from `src/settings/defs.rs`: `RECON_WRITE_DOCS=1 cargo test -p recon-user docs` writes it.

| Setting | Type | Default | Flag | What it does |
|---|---|---|---|---|
";

/// The flag of a setting, such as `--scanner`, whose help is the setting's doc.
fn flag(key: &str, doc: &str) -> String {
    let command = Cli::command();
    let config = command.find_subcommand("config").expect("a subcommand");
    let argument = config.get_arguments().find(|flag| flag.get_id() == key);
    let help = argument.and_then(|flag| flag.get_help());
    assert!(help.is_none_or(|help| help.to_string() == doc), "{key}");
    let long = argument.and_then(clap::Arg::get_long);
    long.map_or_else(String::new, |long| format!("`--{long}`"))
}

fn line(row: &DocRow) -> String {
    let DocRow {
        key,
        kind,
        default,
        doc,
        ..
    } = row;
    let default = match default.as_str() {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let flag = flag(key, doc.trim());
    format!(
        "| `{key}` | {kind} | {default} | {flag} | {} |\n",
        doc.trim()
    )
}

/// The settings, as `recon config` orders them.
fn rows() -> Vec<DocRow> {
    let mut rows = Vec::new();
    Settings::describe_entries("", &mut rows);
    rows
}

/// Compares a file of this package with its text, or writes it.
fn compare(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("RECON_WRITE_DOCS").is_some() {
        fs::write(&path, expected).expect("the file can be written");
    }
    let text = fs::read_to_string(&path).expect(file);
    assert_eq!(text, expected, "run this test with RECON_WRITE_DOCS=1");
}

#[test]
fn docs_say_what_the_declarations_say() {
    let text = rows()
        .iter()
        .fold(HEAD.to_owned(), |text, row| text + &line(row));
    compare("docs/settings.md", &text);
}

/// The start of the file that packages install. A line that is a setting has no blank after its #.
const INSTALLED: &str = "\
# Settings of recon. Each is commented out and shows its default, for [rules.*] and [sinks.*] an
# example: remove the # to change it, and that of its [table]. `recon config` then shows the
# settings in force, and errors with their places. See recon-config(1) and recon-rules(1).
";

/// A rule with settings of its own, which have no defaults.
const RULE: &str = "rules.<rule>.";
const RULE_EXAMPLE: [(&str, &str); 9] = [
    ("enabled", "true"),
    ("threshold", "20"),
    ("window", "\"1h\""),
    ("severity", "\"high\""),
    ("cooldown", "\"1m\""),
    ("allow", "[\"198.51.100.0/24\"]"),
    ("deny", "[\"198.51.100.7\"]"),
    ("allow_files", "[\"/etc/recon/allow.txt\"]"),
    ("deny_files", "[\"/etc/recon/deny.txt\"]"),
];

/// A sink, which has no defaults. A file has nothing of what other types have.
const SINK: &str = "sinks.<name>.";
const SINK_EXAMPLE: [(&str, Option<&str>); 19] = [
    ("type", Some("\"file\"")),
    ("path", Some("\"/var/log/recon/audit.jsonl\"")),
    ("address", None),
    ("socket", None),
    ("url", None),
    ("endpoint", None),
    ("headers_file", None),
    ("subject", None),
    ("credentials_file", None),
    ("tls", None),
    ("server_name", None),
    ("ca_file", None),
    ("cert_file", None),
    ("key_file", None),
    ("lines", Some("[\"alerts\"]")),
    ("queue", Some("4096")),
    ("rotate", Some("\"100MiB\"")),
    ("keep", Some("5")),
    ("fsync", Some("\"line\"")),
];

/// Files and folders, of which there are none by default.
const FILES_EXAMPLE: [(&str, &str); 3] = [
    ("record.directory", "\"/var/log/recon/evidence\""),
    ("enrich.asn", "\"/var/lib/recon/GeoLite2-ASN.mmdb\""),
    ("enrich.country", "\"/var/lib/recon/GeoLite2-Country.mmdb\""),
];

/// All settings as a file in which each is commented out.
fn commented_file() -> String {
    // In TOML, keys of the root come before all tables.
    let (tables, root): (Vec<_>, Vec<_>) =
        rows().into_iter().partition(|row| row.key.contains('.'));
    let mut text = INSTALLED.to_owned();
    let mut table = "";
    for row in root.iter().chain(&tables) {
        let (own_table, key) = row.key.rsplit_once('.').unwrap_or(("", &row.key));
        if own_table != table {
            text += &format!(
                "\n#[{}]\n",
                own_table
                    .replace("<rule>", "port-scan")
                    .replace("<name>", "audit")
            );
            table = own_table;
        }
        let example = RULE_EXAMPLE
            .iter()
            .find(|(name, _)| row.key == format!("{RULE}{name}"));
        let of_sink = SINK_EXAMPLE
            .iter()
            .find(|(name, _)| row.key == format!("{SINK}{name}"));
        if matches!(of_sink, Some((_, None))) {
            continue;
        }
        let example = of_sink.map_or_else(|| example.map(|(_, value)| *value), |(_, value)| *value);
        let of_file = FILES_EXAMPLE.iter().find(|(name, _)| row.key == *name);
        let example = example.or(of_file.map(|(_, value)| *value));
        let value = example.unwrap_or(&row.default);
        assert!(!value.is_empty(), "{} needs an example", row.key);
        let doc = row.doc.trim().replace('`', "");
        text += &format!("\n# {doc}: {}\n#{key} = {value}\n", row.kind);
    }
    text
}

#[test]
fn the_installed_file_changes_nothing_until_it_is_edited() {
    let text = commented_file();
    compare("package/recon.toml", &text);
    let read = |text: &str| Settings::parse("recon.toml", text.as_bytes()).expect("no errors");
    assert_eq!(read(&text), Settings::default());

    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let uncommented: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|_| is_setting(line))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut edited = read(&uncommented);
    assert_eq!(edited.rules.len(), 1, "the example of a rule");
    edited.rules.clear();
    assert_eq!(edited.sinks.len(), 1, "the example of a sink");
    edited.sinks.clear();
    assert!(edited.enrich.asn.is_some(), "the example of a database");
    edited.enrich = Default::default();
    assert!(edited.record.directory.is_some(), "the example of a folder");
    edited.record = Default::default();
    assert_eq!(edited, Settings::default(), "each value is the default");
}
