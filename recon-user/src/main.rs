//! The binary `recon`: reads the command line, starts the agent, turns an error into a message and an exit code.

use std::process::ExitCode;

use clap::Parser;
use recon_user::agent;
use recon_user::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::new()
        // The libraries' own chatter only where it is a warning.
        .filter_level(log::LevelFilter::Warn)
        .filter_module("recon", cli.log_level())
        .format_target(false)
        .init();
    let result = match cli.command {
        Command::Run(options) => agent::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
