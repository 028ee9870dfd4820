//! The options of commands that say which rules are in force, and with what settings.
//!
//! In: arguments. Out: [`RuleOptions`], whose values are well formed.

use std::path::PathBuf;

use clap::Args;

use super::SettingFlags;
use super::value::Time;
use crate::kql::WINDOW;

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

/// The name of a program's file, without folders.
pub(crate) fn file_name(text: &str) -> Result<String, String> {
    /// No file of Linux has a longer name.
    const LONGEST: usize = 255;
    if text.is_empty() || text.contains('/') {
        return Err("use a file name without folders, such as nmap".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("a file name has at most {LONGEST} bytes"));
    }
    if text.contains(['*', '?']) {
        return Err("a name is compared as a whole: list each name, without patterns".to_owned());
    }
    if text.contains(char::is_control) || text.trim() != text || [".", ".."].contains(&text) {
        return Err("no program's file has that name; use one such as nmap".to_owned());
    }
    if let Some((name, end)) = text.rsplit_once('.')
        && end.eq_ignore_ascii_case("exe")
    {
        return Err(format!("the final .{end} does not count: use `{name}`"));
    }
    Ok(text.to_owned())
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
        for (text, is_name) in [
            ("nmap", true),
            ("scan.py", true),
            ("[", true),
            ("a b", true),
            ("", false),
            ("/usr/bin/nmap", false),
            ("nm*", false),
            ("nma?", false),
            ("nmap ", false),
            ("\u{a0}nmap", false),
            ("nm\0ap", false),
            ("nmap\n", false),
            (".", false),
            ("..", false),
            ("nmap.exe", false),
            ("Nmap.EXE", false),
        ] {
            assert_eq!(file_name(text).is_ok(), is_name, "{text:?}");
        }
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
