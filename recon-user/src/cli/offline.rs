//! The options of commands that read files instead of watching.
//!
//! In: arguments. Out: [`JudgeOptions`], [`ReplayOptions`], [`ReportOptions`].

use std::path::PathBuf;

use clap::Args;

use crate::address::Network;
use crate::alert::LineFormat;
use crate::settings::RuleOptions;

/// Options of `recon judge`.
#[derive(Args, Debug, Clone)]
pub struct JudgeOptions {
    /// Rows as JSON lines, ordered by time; `-` is stdin. A line that is no row is reported and
    /// skipped, and the exit code is then 1
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The format of the alerts
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: LineFormat,

    /// Which rules to run.
    #[command(flatten)]
    pub rule_options: RuleOptions,
}

pub(super) const JUDGE_EXAMPLES: &str = "\
Examples:
  recon run --events - --no-alerts | recon judge -
  recon judge events.jsonl --rules hunting.kql";

/// Options of `recon replay`.
#[derive(Args, Debug, Clone)]
pub struct ReplayOptions {
    /// Captures in the order of their times, such as the files of `tcpdump -C`: one after another
    /// they are one capture; `-` is stdin
    ///
    /// pcap and pcapng, also compressed by gzip or zstd. A file that ends within a packet gives
    /// what it holds. One that is corrupt gives the alerts so far, and the exit code is then 1.
    #[arg(
        required_unless_present = "verify",
        conflicts_with = "verify",
        value_name = "FILE"
    )]
    pub files: Vec<PathBuf>,

    /// The addresses of the host under watch, as a network; may be repeated [default: all
    /// addresses, as on a port that mirrors a network]
    ///
    /// With it, recon judges what comes to these addresses and what they send. Without it, it
    /// judges what comes to any address, and no sender.
    #[arg(long, value_name = "CIDR", value_parser = local_network)]
    pub local: Vec<Network>,

    /// The format of the alerts
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: LineFormat,

    /// Replay the captures in each folder of this one, and compare the alerts with its expect.toml
    ///
    /// A line for each case goes to stdout. The exit code is 1 if one fails.
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    pub verify: Option<PathBuf>,

    /// Write expect.toml, by what comes out, where a case has none
    #[arg(long, requires = "verify", conflicts_with = "files")]
    pub learn: bool,

    /// Which rules to run.
    #[command(flatten)]
    pub rule_options: RuleOptions,
}

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  recon replay night.pcap --local 198.51.100.7        what recon on that host would have reported
  recon replay mirror.pcapng.zst --min-severity low   the port of a switch that mirrors a network
  tcpdump -w - -i eth0 | recon replay - --rules try.kql
  recon replay --verify cases --rules try.kql         cases/*/expect.toml says what must come";

/// Options of `recon report`.
#[derive(Args, Debug, Clone)]
pub struct ReportOptions {
    /// Alerts of `recon run`, rows of `recon run --events`, or captures, also compressed by gzip or
    /// zstd; `-` is stdin. The content says which of them a file holds
    ///
    /// Alerts and rows go together: incidents come from the alerts, and what each source tried from
    /// the rows. A capture goes with neither. A line that can't be read is reported, on the page
    /// too, and the exit code is then 1.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Write the page to this file, whole or not at all [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Replace the file of --out if it is there
    #[arg(long, requires = "out")]
    pub force: bool,

    /// The addresses of the host under watch in a capture, as for `recon replay`; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = local_network)]
    pub local: Vec<Network>,

    /// Which rules to run over rows and captures.
    #[command(flatten)]
    pub rule_options: RuleOptions,
}

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  recon report /var/log/recon/alerts.jsonl --out night.html   the incidents of a night
  recon report alerts.jsonl rows.jsonl --out night.html       and each port that each source tried
  recon report night.pcap --local 198.51.100.7 --out night.html
  journalctl -u recon -o cat | grep '^{' | recon report - --min-severity medium --out night.html";

fn local_network(text: &str) -> Result<Network, String> {
    text.parse()
}
