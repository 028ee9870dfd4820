//! Writes the files of a package that follow from the command line: man pages and completions.
//!
//! In: a folder. Out: `man/recon.1` and a page for each subcommand, `recon.bash`, `_recon` (zsh),
//! `recon.fish`.
//! The decision held here: they come from the same [`Cli`] that recon parses with, in an example
//! that only `cargo xtask package` builds, so the agent's own build does not pay for it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use recon_user::cli::Cli;

const NAME: &str = "recon";

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("the folder to write to is missing")?;
    let pages = folder.join("man");
    fs::create_dir_all(&pages).with_context(|| pages.display().to_string())?;
    clap_mangen::generate_to(Cli::command(), &pages)?;
    for page in fs::read_dir(&pages)? {
        name_examples(&page?.path())?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), NAME, &folder)?;
    }
    Ok(())
}

/// clap_mangen calls what follows the options EXTRA. Here it is examples.
fn name_examples(page: &Path) -> Result<()> {
    let text = fs::read_to_string(page)?;
    fs::write(page, text.replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n"))
        .with_context(|| page.display().to_string())
}
