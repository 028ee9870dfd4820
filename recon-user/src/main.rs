//! The binary `recon`: parses the command line, starts the agent, turns an error into a message and
//! an exit code.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use recon_user::cli::{
    CheckOptions, Cli, Command, ControlOptions, ReplayOptions, ReportOptions, RulesCommand,
    SourceOptions, StatusOptions,
};
use recon_user::logging::{self, LogWait, LogWriter};
use recon_user::process_limits::{check_stack, survive_full_files};
use recon_user::settings::{self, InForce, Refused, RuleOptions};
use recon_user::standard_streams::check_stdout;
use recon_user::{agent, check, hook, judge, replay, report, rule, service, top, usage};

fn main() -> ExitCode {
    if let Err(error) = check_stack() {
        write_to_stderr(&format!("error: {error}\n"));
        return ExitCode::FAILURE;
    }
    survive_full_files();
    start()
}

/// Parses the command line and runs the command. Not a part of `main`, which must fit on any stack.
#[inline(never)]
fn start() -> ExitCode {
    let cli = match Cli::try_parse_from(usage::join_negative_values(env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error, env::args_os()),
    };
    let log = match start_log(&cli) {
        Ok(log) => log,
        Err(error) => {
            write_to_stderr(&format!(
                "error: can't start the thread that writes the log: {error}{}\n",
                threads_hint(&error)
            ));
            return ExitCode::FAILURE;
        }
    };
    let code = match cli.command {
        Command::Check(options) => exit_code_of_check(run_check(&options)),
        command => exit_code(run(command)),
    };
    if let Some(log) = log {
        log.finish();
    }
    code
}

/// What to do if there may be no more threads.
fn threads_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            "; raise the limit on processes: `ulimit -u` in the shell that starts recon, or TasksMax in its systemd unit"
        }
        _ => "",
    }
}

/// Starts the log. Only `recon run` has a writer that drops lines rather than wait.
fn start_log(cli: &Cli) -> io::Result<Option<LogWriter>> {
    let wait = match cli.command {
        Command::Run(_) => LogWait::Thread,
        _ => LogWait::Caller,
    };
    logging::start(cli.log_level(), cli.log_format, wait)
}

fn run_check(options: &CheckOptions) -> anyhow::Result<u8> {
    check_stdout()?;
    check::run(options)
}

/// The exit code that `recon check` documents.
fn exit_code_of_check(result: anyhow::Result<u8>) -> ExitCode {
    result.map_or_else(|error| exit_code(Err(error)), ExitCode::from)
}

/// Reports the error of a command.
fn exit_code(result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // The errors have been reported.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            match error.downcast_ref::<Refused>() {
                // Lines that begin with the file's name, as compilers print them.
                Some(refused) => write_to_stderr(&refused.to_string()),
                None => tracing::error!("{error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs the command. Returns false if it has reported errors.
fn run(command: Command) -> anyhow::Result<bool> {
    // `recon run` may write nothing there.
    if !matches!(command, Command::Run(_)) {
        check_stdout()?;
    }
    match command {
        Command::Run(options) => {
            let in_force = in_force(&options.rule_options)?;
            agent::run(&options, in_force)?;
        }
        Command::Check(options) => return Ok(check::run(&options)? == 0),
        Command::Judge(options) => {
            let in_force = in_force(&options.rule_options)?;
            return judge::run(
                &options.file,
                in_force,
                options.format,
                &mut io::stdout().lock(),
            );
        }
        Command::Replay(options) => return run_replay(&options),
        Command::Report(options) => return run_report(&options),
        Command::Rules(options) => match options.command {
            Some(RulesCommand::Check { files }) => {
                return settings::check(&files, &mut io::stdout(), &mut io::stderr())
                    .context("can't write what is found in the rules");
            }
            None => {
                let rules = in_force(&options.rule_options)?.rules;
                show(|out| settings::list(&rules, options.json, out))?;
            }
        },
        Command::Reload(ControlOptions { control }) => match service::reload(&control)? {
            Ok(changes) => show(|out| out.write_all(changes.as_bytes()))?,
            Err(refused) => {
                write_to_stderr(&refused);
                return Ok(false);
            }
        },
        Command::Status(options) => {
            let StatusOptions {
                ask,
                sources: SourceOptions { sort, filter },
                limit,
                json,
            } = options;
            let status = service::status(&ask.whom(), sort, filter, limit, json)?;
            show(|out| out.write_all(status.as_bytes()))?;
        }
        Command::Explain(options) => {
            let explained = service::explain(&options.ask.whom(), &options.event_id, options.json)?;
            show(|out| out.write_all(explained.as_bytes()))?;
        }
        Command::Top(options) => top::run(&options)?,
        Command::Detach(options) => {
            let removed = hook::remove_pins(&options.pins)?;
            show(|out| writeln!(out, "{removed}"))?;
            ensure!(
                removed.failed.is_empty(),
                "may still be attached: {}; type `recon detach` again as root",
                removed.failed.join("; ")
            );
        }
        Command::Config(options) => {
            let settings = in_force(&options)?.settings;
            show(|out| write!(out, "{settings}"))?;
        }
    }
    Ok(true)
}

fn run_replay(options: &ReplayOptions) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    let (files, local) = (&options.files, &options.local);
    let Some(folder) = &options.verify else {
        let in_force = settings::in_force(&options.rule_options, |profile| {
            rule::of_captures(profile, !local.is_empty())
        })?;
        write_to_stderr(&in_force.warnings);
        return replay::run(files, local, &in_force, options.format, &mut out);
    };
    let of_hosts = settings::in_force(&options.rule_options, rule::captured)?;
    // The others have the same warnings.
    write_to_stderr(&of_hosts.warnings);
    let of_mirror = settings::in_force(&options.rule_options, rule::mirrored)?;
    let rules = replay::ReplayRules {
        of_hosts: &of_hosts,
        of_mirror: &of_mirror,
    };
    replay::verify(folder, options.learn, local, rules, &mut out)
}

fn run_report(options: &ReportOptions) -> anyhow::Result<bool> {
    let of_rows = in_force(&options.rule_options)?;
    // The others have the same warnings.
    let of_captures = settings::in_force(&options.rule_options, |profile| {
        rule::of_captures(profile, !options.local.is_empty())
    })?;
    let rules = report::ReportRules {
        of_rows: &of_rows,
        of_captures: &of_captures,
    };
    report::run(options, rules, &mut io::stdout().lock())
}

/// Loads the rules and settings that the options ask for, and reports warnings.
fn in_force(options: &RuleOptions) -> Result<InForce, Refused> {
    let in_force = settings::in_force(options, rule::defaults)?;
    write_to_stderr(&in_force.warnings);
    Ok(in_force)
}

/// Writes to stdout. A reader that closes the pipe is not an error.
fn show(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    match write(&mut io::stdout()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("can't write to stdout"),
    }
}

/// Writes lines to stderr as they are. If that fails there is nobody to report it to.
fn write_to_stderr(lines: &str) {
    let _ = io::stderr().write_all(lines.as_bytes());
}
