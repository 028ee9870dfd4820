//! docs/settings.md says what the declarations say. `RECON_WRITE_DOCS=1` rewrites it.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::*;
use crate::settings::value::DocRow;

const HEAD: &str = "\
# Settings

recon reads `/etc/recon/recon.toml`, or the file that `--config` names. `recon config` shows the settings in force, and
`recon config --help` an example. A flag wins over the file. A key such as `alerts.lines` is `lines` in the table `[alerts]`.

`<rule>` is a rule's id, its name, or its id and measure as in `port-scan/distinct_ports`; `recon rules` lists them. What
is not set is as the rule says. Times are written as `90s`, `10m` or `1h`, networks as `192.0.2.0/24` or `192.0.2.1`.

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

#[test]
fn docs_say_what_the_declarations_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let mut rows = Vec::new();
    Settings::describe_entries("", &mut rows);
    let expected = rows
        .iter()
        .fold(HEAD.to_owned(), |text, row| text + &line(row));
    if std::env::var_os("RECON_WRITE_DOCS").is_some() {
        fs::write(&path, &expected).expect("docs/settings.md can be written");
    }
    let docs = fs::read_to_string(&path).expect("docs/settings.md");
    assert_eq!(docs, expected, "run this test with RECON_WRITE_DOCS=1");
}
