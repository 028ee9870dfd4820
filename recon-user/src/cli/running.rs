//! The options of commands that ask a running recon.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::contact::{SourceFilter, SourceOrder};
use crate::duration::Range;
use crate::service::{DEFAULT_SOCKET, Whom};

/// The socket of a running recon.
#[derive(Args, Debug, Clone)]
pub struct ControlOptions {
    /// The socket of `recon run --control`
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub control: PathBuf,
}

/// A running recon, and how long it may take.
#[derive(Args, Debug, Clone)]
pub struct AskOptions {
    /// Whom to ask.
    #[command(flatten)]
    pub socket: ControlOptions,

    /// How long to wait for an answer, from 100ms to 1m; a recon that is stopped is an error at
    /// once
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    pub timeout: Duration,
}

impl AskOptions {
    /// Whom to ask.
    #[must_use]
    pub fn whom(&self) -> Whom {
        Whom {
            socket: self.socket.control.clone(),
            timeout: self.timeout,
        }
    }
}

/// Which sources to show.
#[derive(Args, Debug, Clone)]
pub struct SourceOptions {
    /// By what to sort sources, the greatest first
    #[arg(long, value_enum, value_name = "ORDER", default_value_t)]
    pub sort: SourceOrder,

    /// Which sources to show: an address, its first numbers, a network, or a verdict
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub filter: Option<String>,
}

/// Options of `recon status`.
#[derive(Args, Debug, Clone)]
pub struct StatusOptions {
    /// Whom to ask.
    #[command(flatten)]
    pub ask: AskOptions,

    /// Which sources to show.
    #[command(flatten)]
    pub sources: SourceOptions,

    /// How many sources to show, up to 200 [default: 10, or 200 with --json]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=200))]
    pub limit: Option<u16>,

    /// Write a JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Options of `recon explain`.
#[derive(Args, Debug, Clone)]
pub struct ExplainOptions {
    /// The incident, by the `event.id` of its alerts
    #[arg(value_name = "EVENT_ID", value_parser = event_id)]
    pub event_id: String,

    /// Whom to ask.
    #[command(flatten)]
    pub ask: AskOptions,

    /// Write a JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Options of `recon top`.
#[derive(Args, Debug, Clone)]
pub struct TopOptions {
    /// Whom to ask.
    #[command(flatten)]
    pub socket: ControlOptions,

    /// Which sources to show first.
    #[command(flatten)]
    pub sources: SourceOptions,

    /// How often to ask, from 100ms to 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = timeout)]
    pub interval: Duration,

    /// Show no colours; so does NO_COLOR in the environment
    #[arg(long)]
    pub no_color: bool,
}

/// A poll may take two seconds, and a reader of a screen waits for no more than a minute.
const TIMEOUT: Range = Range {
    least: Duration::from_millis(100),
    most: Duration::from_secs(60),
    example: "5s",
};

fn timeout(text: &str) -> Result<Duration, String> {
    TIMEOUT.parse_flag(text)
}

fn filter(text: &str) -> Result<String, String> {
    text.parse::<SourceFilter>().map(|_| text.trim().to_owned())
}

fn event_id(text: &str) -> Result<String, String> {
    const DIGITS: usize = 32;
    let text = text.trim();
    let is_one = text.len() == DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| text.to_owned()).ok_or_else(|| {
        format!("an event.id has {DIGITS} hexadecimal digits: copy it from the alert")
    })
}
