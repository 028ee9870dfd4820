//! The flags of the command line, which win over the file.

use clap::Parser;

use super::*;
use crate::cli::Command;
use crate::settings::RuleOptions;

fn options(arguments: &str) -> RuleOptions {
    let arguments = std::iter::once("recon")
        .chain(["config"])
        .chain(arguments.split_whitespace());
    match Cli::try_parse_from(arguments).expect("a command").command {
        Command::Config(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_wins() {
    const FILE: &str = "include_private = true\nmin_severity = 'low'\nscanners = ['a', 'b']\nnot_scanners = ['nmap', 'zmap']";
    for (arguments, private, severity, scanners, not_scanners) in [
        ("", true, Severity::Low, "a b", "nmap zmap"),
        (
            "--include-private=false",
            false,
            Severity::Low,
            "a b",
            "nmap zmap",
        ),
        ("--include-private", true, Severity::Low, "a b", "nmap zmap"),
        (
            "--min-severity informational",
            true,
            Severity::Informational,
            "a b",
            "nmap zmap",
        ),
        (
            "--scanner c --scanner nmap",
            true,
            Severity::Low,
            "a b c nmap",
            "zmap",
        ),
        (
            "--not-scanner a --not-scanner masscan",
            true,
            Severity::Low,
            "b",
            "nmap zmap a masscan",
        ),
    ] {
        let settings = Settings::parse("recon.toml", FILE.as_bytes()).expect("settings");
        let settings = settings.with(&options(arguments).settings);
        assert_eq!(settings.include_private, private, "{arguments}");
        assert_eq!(settings.min_severity, severity, "{arguments}");
        assert_eq!(settings.scanners.join(" "), scanners, "{arguments}");
        assert_eq!(settings.not_scanners.join(" "), not_scanners, "{arguments}");
        let names = settings.scanner_names();
        assert!(
            settings.scanners.iter().all(|name| names.contains(name)),
            "{arguments}"
        );
        assert!(
            !settings
                .not_scanners
                .iter()
                .any(|name| names.contains(name)),
            "{arguments}"
        );
    }
}

#[test]
fn the_quiet_time_of_the_command_line_wins() {
    // (file, arguments, seconds)
    for (file, arguments, seconds) in [
        ("", "", 600),
        ("quiet = '5m'", "", 300),
        ("", "--quiet 10s", 10),
        ("quiet = '5m'", "--quiet 1s", 1),
    ] {
        let settings = Settings::parse("recon.toml", file.as_bytes()).expect("settings");
        let settings = settings.with(&options(arguments).settings);
        assert_eq!(
            settings.quiet.0,
            Duration::from_secs(seconds),
            "{file} {arguments}"
        );
    }
}

#[test]
fn the_namespaces_of_the_command_line_win() {
    use crate::hook::Netns::{All, Watched};
    for (file, arguments, expected) in [
        ("", "", Watched),
        ("netns = 'all'", "", All),
        ("", "--netns all", All),
        ("netns = 'all'", "--netns watched", Watched),
    ] {
        let settings = Settings::parse("recon.toml", file.as_bytes()).expect("settings");
        let settings = settings.with(&options(arguments).settings);
        assert_eq!(settings.netns, expected, "{file} {arguments}");
    }
}
