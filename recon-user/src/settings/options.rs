//! The options of commands that say which rules are in force, and with what settings.
//!
//! In: arguments. Out: [`RuleOptions`], whose values are well formed.

use std::path::PathBuf;

use clap::Args;

use super::SettingFlags;

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
    if text.is_empty() || text.contains('/') {
        return Err("use a file name without folders, such as nmap".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanners_are_file_names() {
        for (text, is_name) in [("nmap", true), ("", false), ("/usr/bin/nmap", false)] {
            assert_eq!(file_name(text).is_ok(), is_name, "{text:?}");
        }
    }
}
