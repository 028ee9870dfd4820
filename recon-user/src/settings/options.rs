//! The options of commands that say which rules are in force, and with what settings.
//!
//! In: arguments. Out: [`RuleOptions`], whose values are well formed.

use std::path::PathBuf;

use clap::Args;

use super::SettingFlags;
use super::value::Time;
use crate::kql::WINDOW;
use crate::process::strip_exe;

/// Which rules are in force, and their settings: options that commands share.
#[derive(Args, Debug, Clone, Default)]
pub struct RuleOptions {
    /// Rules to apply instead of the built-in ones: a file of KQL queries (.kql) or Markdown (.md),
    /// or a folder of such files; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    pub rules: Vec<PathBuf>,

    /// File of settings, see `recon config --help` [default: /etc/recon/recon.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Settings that the command line overrides.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// The name of a program's file, as the command line gives it.
pub(crate) fn program_name(text: &str) -> Result<String, String> {
    let name = file_name(text)?;
    match doubt_name(&name) {
        Some(doubt) => Err(doubt),
        None => Ok(name),
    }
}

/// The name of a file, without folders. recon.toml may list any: recon took each before it had
/// doubts about some, and must start after an upgrade.
pub(super) fn file_name(text: &str) -> Result<String, String> {
    /// No file of Linux has a longer name.
    const LONGEST: usize = 255;
    if text.is_empty() || text.contains('/') {
        return Err("use a file name without folders, such as nmap".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("a file name has at most {LONGEST} bytes"));
    }
    Ok(text.to_owned())
}

/// Why nobody is likely to mean that file name as a program's.
pub(super) fn doubt_name(name: &str) -> Option<String> {
    let stem = strip_exe(name);
    if name.contains(['*', '?']) {
        return Some("a name is compared as a whole: list each name, without patterns".to_owned());
    }
    if name.contains(char::is_control) || name.trim() != name {
        let doubt =
            "a name has no blanks at its ends and no control characters; use one such as nmap";
        return Some(doubt.to_owned());
    }
    if stem.is_empty() || [".", ".."].contains(&stem) {
        return Some("no program has that name; use one such as nmap".to_owned());
    }
    (stem != name).then(|| format!("a final .exe does not count: use `{stem}`"))
}

/// A time, with the limits of those in recon.toml.
pub(super) fn time(text: &str) -> Result<Time, String> {
    WINDOW.parse_flag(text).map(Time)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn scanners_are_file_names() {
        const NEITHER: [bool; 2] = [false, false];
        const FILE: [bool; 2] = [true, false];
        const BOTH: [bool; 2] = [true, true];
        // Whether the file of settings may have it, and whether the command line may.
        for (text, expected) in [
            ("nmap", BOTH),
            ("scan.py", BOTH),
            ("[", BOTH),
            ("a b", BOTH),
            ("exe", BOTH),
            ("", NEITHER),
            ("/usr/bin/nmap", NEITHER),
            ("nm*", FILE),
            ("nma?", FILE),
            ("nmap ", FILE),
            ("\u{a0}nmap", FILE),
            ("nm\0ap", FILE),
            ("nmap\n", FILE),
            (".", FILE),
            ("..", FILE),
            ("nmap.exe", FILE),
            ("Nmap.EXE", FILE),
            (".exe", FILE),
            ("..exe", FILE),
        ] {
            let taken = [file_name(text), program_name(text)].map(|name| name.is_ok());
            assert_eq!(taken, expected, "{text:?}");
        }
        let doubt = program_name("Nmap.EXE").expect_err("it matches nothing");
        assert!(doubt.ends_with("use `Nmap`"), "{doubt}");
    }

    #[test]
    fn times_are_those_of_the_file() {
        for (text, seconds) in [
            ("1s", Some(1)),
            ("10m", Some(600)),
            ("30d", Some(30 * 86_400)),
            ("31d", None),
            ("999ms", None),
            ("10", None),
        ] {
            let expected = seconds.map(Duration::from_secs).map(Time);
            assert_eq!(time(text).ok(), expected, "{text}");
        }
        let refused = time("10").expect_err("no unit");
        assert_eq!(
            refused,
            "`10` is not a valid time: use a time from 1s to 30d, such as 10m"
        );
    }
}
