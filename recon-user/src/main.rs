//! The binary `recon`: reads the command line, starts the agent, turns an error into a message and an exit code.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use recon_user::cli::{Cli, Command, RulesCommand};
use recon_user::{agent, kql};

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::new()
        // The libraries' own chatter only where it is a warning.
        .filter_level(log::LevelFilter::Warn)
        .filter_module("recon", cli.log_level())
        .format_target(false)
        .init();
    let result = match cli.command {
        Command::Run(options) => agent::run(&options).map(|()| true),
        Command::Rules(RulesCommand::Check { files }) => {
            kql::check(&files, &mut io::stdout(), &mut io::stderr()).map_err(Into::into)
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // What is wrong was told of.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
