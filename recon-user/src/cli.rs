//! The command line.
//!
//! In: arguments. Out: [`Cli`]: what parses here is well-formed, and what it names is checked
//! before anything is attached.

mod offline;
mod running;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use recon_common::table::TABLE_ENTRIES;
use tracing::level_filters::LevelFilter;

use offline::{JUDGE_EXAMPLES, REPLAY_EXAMPLES, REPORT_EXAMPLES};
pub use offline::{JudgeOptions, ReplayOptions, ReportOptions};
pub use running::{ControlOptions, ExplainOptions, SourceOptions, StatusOptions, TopOptions};

use crate::alert::LineFormat;
use crate::duration::Range;
use crate::hook::{InterfaceTerm, XdpChoice};
use crate::logging::LogFormat;
use crate::metrics::MetricsAddress;
use crate::service::{LONG_VERSION, SHORT_VERSION};
use crate::settings::RuleOptions;

/// Reports who scans or floods this host, and which of its processes scan others, from inside the
/// kernel
///
/// eBPF programs count what scanners and flooders send, how this host answers, and which of its own
/// processes reach out. An agent polls the counts and applies the detections of ATT&CK TA0043.
/// Packets are never dropped, delayed or changed.
#[derive(Parser, Debug)]
#[command(
    name = "recon",
    version = SHORT_VERSION,
    long_version = LONG_VERSION,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log every poll that saw packets; use twice for every poll
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// How to write the log on stderr [default: journald where stderr leads to the journal, else
    /// text]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

impl Cli {
    /// The log level that `-v` asks for.
    pub fn log_level(&self) -> LevelFilter {
        match self.verbose {
            0 => LevelFilter::INFO,
            1 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Watch interfaces and write alerts to stdout, one JSON line (Elastic Common Schema) each
    ///
    /// Everything else goes to stderr. Ctrl-C or SIGTERM drains once more, writes the last alerts,
    /// detaches and exits. SIGHUP reads settings, rules and lists again, and opens the files of
    /// --events and --alerts again.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunOptions),
    /// Say what this kernel, these interfaces, these privileges and this configuration allow
    ///
    /// Takes the options of `recon run`. Each line is one part: what a missing one costs, and how
    /// to mend it. Nothing stays attached, and no packet is counted. The exit code is 0 if all is
    /// available, 1 if recon works with losses, 2 if it can't run.
    Check(CheckOptions),
    /// Run the rules over rows that `recon run --events` has written, and write the same alerts
    ///
    /// The clock is that of the rows. Nothing is attached, and no privileges are needed.
    #[command(after_help = JUDGE_EXAMPLES)]
    Judge(JudgeOptions),
    /// Read captures (pcap, pcapng), and write the alerts that recon would have written
    ///
    /// The clock is that of the capture. Nothing is attached, and no privileges are needed. What a
    /// capture does not show, such as processes, is absent. A summary goes to stderr.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayOptions),
    /// Write one page of HTML about alerts, rows or captures
    ///
    /// Incidents over time, which source tried which port and what it found, processes of this host
    /// that scan, and what is not known. The page loads nothing and needs no server. Nothing is
    /// attached, and no privileges are needed.
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportOptions),
    /// List the rules in force, which are KQL queries over DeviceNetworkEvents, or check rule files
    #[command(args_conflicts_with_subcommands = true)]
    Rules(RulesOptions),
    /// Make a running recon read its settings, rules and lists again, and say what that changes
    ///
    /// A configuration with an error is refused, with the same messages as at a start, and the one
    /// before it stays in force. The exit code is then 1. What the rules have counted stays.
    Reload(ControlOptions),
    /// Show once what a running recon knows of itself and sees: sources, incidents, losses
    Status(StatusOptions),
    /// Show on the terminal what a running recon sees, once a second
    ///
    /// Sources with their verdicts, ports and outcomes, open incidents, processes and losses. Keys:
    /// q ends, s sorts, / filters, Enter follows one source, ? shows all keys.
    Top(TopOptions),
    /// Say step by step what an incident rests on
    ///
    /// The rule, what was counted in which window, what is known of the source, and which lines
    /// were written. recon explains open incidents, and those of which it has written lines since
    /// its start, up to a bound.
    Explain(ExplainOptions),
    /// Show the settings in force, in the format of the file for --config
    #[command(after_help = CONFIG_EXAMPLE)]
    Config(RuleOptions),
    /// Remove the programs, maps and links that `recon run --pins` has left attached
    ///
    /// The exit code is 0 also if nothing was there, and 1 if a recon that runs uses them. Filters
    /// under clsact (before Linux 6.6) are removed from the interfaces of this network namespace.
    Detach(DetachOptions),
}

/// Options of `recon detach`.
#[derive(Args, Debug, Clone)]
pub struct DetachOptions {
    /// The folder that `recon run --pins` was given
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/recon")]
    pub pins: PathBuf,
}

/// Options of `recon check`.
#[derive(Args, Debug, Clone)]
pub struct CheckOptions {
    /// What `recon run` would be started with.
    #[command(flatten)]
    pub run: RunOptions,

    /// Write a JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Options of `recon rules`.
#[derive(Args, Debug, Clone)]
pub struct RulesOptions {
    /// What to do instead of listing rules.
    #[command(subcommand)]
    pub command: Option<RulesCommand>,

    /// Which rules to list.
    #[command(flatten)]
    pub rule_options: RuleOptions,

    /// Write an array of JSON objects instead of a table
    #[arg(long)]
    pub json: bool,
}

/// What to do with rules.
#[derive(Subcommand, Debug, Clone)]
pub enum RulesCommand {
    /// Report the errors in rule files, and list the rules in those without any
    ///
    /// Every error goes to stderr, with its line and column. Nothing is attached, and no privileges
    /// are needed.
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// Files of KQL queries (.kql), Markdown with queries in blocks fenced as kusto or kql
        /// (.md), or folders of such files
        #[arg(required = true, value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
    },
}

const CHECK_EXAMPLES: &str = "\
Example of a rule:
  // id: smb-scan
  // severity: medium
  // technique: T1595.001
  // window: 1h
  DeviceNetworkEvents
  | where LocalPort == 445 and not(ipv4_is_private(RemoteIP))
  | summarize hits = count() by RemoteIP, LocalIP
  | where hits > 10";

pub(crate) const CONFIG_EXAMPLE: &str = r#"Example of a file of settings, in TOML:
  local_networks = ["198.51.100.0/24"]     # private here
  allow = ["192.0.2.10"]                   # our own vulnerability scanner: no rule counts it
  scanners = ["probe"]
  not_scanners = ["nping"]
  min_severity = "low"
  include_private = false
  quiet = "10m"                            # an incident unchanged for that long is over

  [alerts]
  lines = 20                               # of one rule, or "unlimited"; scanners of one poll go first
  per = "1m"                               # then a line says how many more there were
  informational_per_hour = 20              # of one informational rule; a digest counts the rest

  [limits]
  memory = "256MiB"

  [sinks.audit]                            # a name of your own; lines go there besides stdout
  type = "file"                            # or journald, syslog, unix, tcp
  path = "/var/log/recon/audit.jsonl"
  rotate = "100MiB"
  fsync = "line"                           # what counts as written survives a power failure

  [rules.smb-scan]                         # by its id; `recon rules` lists them
  threshold = 20
  window = "30m"
  severity = "high"
  cooldown = "1h"
  allow = ["203.0.113.0/24"]
  deny = ["203.0.113.7"]                   # counts even so

  [rules."port-scan/distinct_ports"]       # one of two measures
  enabled = false"#;

const RUN_EXAMPLES: &str = "\
Examples:
  recon run                                   every interface that is up, except loopback
  recon run -i eth0 -i eth1                   these two
  recon run -i 'eth*' -i 'veth[0-9]*'         all with such names, also those that come later
  recon run -i '!docker0'                     all but this one
  recon run -i eth0 --include-private         in a lab on private addresses
  recon run --cgroup /sys/fs/cgroup/system.slice   processes of services only
  recon run --min-severity medium | jq .rule.id,.source.ip";

/// Options of `recon run`.
#[derive(Args, Debug, Clone)]
pub struct RunOptions {
    /// Interface to watch, by a name or a pattern, or `!` and one not to watch; may be repeated
    /// [default: all that are up, except loopback]
    ///
    /// Patterns have *, ? and [a-z]. What matches is watched as it appears, and so is what the
    /// default chooses.
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub interfaces: Vec<InterfaceTerm>,

    /// How often to drain the kernel's counts and judge them, from 10ms to 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,

    /// Where to see inbound packets: XDP in the driver, generic XDP in the stack, or `off` for TC
    /// ingress
    ///
    /// `auto` tries native, then generic. A native attach resets the queues of some network cards.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = XdpChoice::Auto)]
    pub xdp: XdpChoice,

    /// Watch only the sockets of processes in this cgroup [default: the root of cgroup2, all
    /// processes]
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,

    /// Leave programs, maps and links in this folder of a bpffs when recon ends, such as
    /// /sys/fs/bpf/recon, and go on with those that are there
    ///
    /// The hooks count while no recon runs, and the next one reports what they counted. `recon
    /// detach` removes them.
    #[arg(long, value_name = "DIR")]
    pub pins: Option<PathBuf>,

    /// Which rules to apply.
    #[command(flatten)]
    pub rule_options: RuleOptions,

    /// Also append the counted rows, a JSON line for each poll and key, to this file, or write them
    /// to stdout with `-`
    ///
    /// The columns are those of DeviceNetworkEvents, and `Count`: what a SIEM ingests, and what
    /// `recon judge` reads.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,

    /// Keep in this folder over a restart what recon has counted: windows, verdicts and open
    /// incidents
    ///
    /// recon creates it. Without it, whatever was counted before a restart is forgotten.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Leave the headers of the packets of each alert in this folder, a pcapng file each
    ///
    /// The alert names its file. recon creates the folder and deletes the oldest files, by `size`
    /// in `[record]` of recon.toml. Nothing of payloads is kept unless `payload` there says so.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,

    /// The format of the alerts
    ///
    /// Elastic Common Schema has a field for all that recon knows. The other formats are mappings
    /// of it, and have what they lack a field for in a place for extras.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: LineFormat,

    /// Append the alerts to this file instead of writing them to stdout; SIGHUP opens it again
    #[arg(long, value_name = "FILE", conflicts_with = "no_alerts")]
    pub alerts: Option<PathBuf>,

    /// Write no alerts
    #[arg(long, requires = "events")]
    pub no_alerts: bool,

    /// Listen on this Unix socket for `recon reload`, `status`, `top` and `explain`; only root and
    /// the user that recon runs as may use it
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,

    /// Answer Prometheus here: a loopback address with a port such as 127.0.0.1:9753, or unix:PATH
    ///
    /// `GET /metrics` is OpenMetrics. `GET /healthz` is 200 while polls drain the counts and recon
    /// is neither blind nor tampered with, else 503 and the reason. Whoever may connect may read
    /// both.
    #[arg(long, value_name = "ADDR", value_parser = MetricsAddress::parse)]
    pub metrics: Option<MetricsAddress>,

    /// Keys (remote, local, port, kind) that the kernel's table holds for one interval; once it is
    /// half full, new sources must be seen more often to get one
    #[arg(long, value_name = "N", default_value_t = TABLE_ENTRIES,
          value_parser = table_entries, allow_negative_numbers = true)]
    pub table_entries: u32,

    /// Log frames that the kernel programs can't read: why, where, and their first bytes
    ///
    /// At most 20 lines at once, then one a second; the log says how many frames more there were.
    #[arg(long)]
    pub kernel_log: bool,

    /// Keep all privileges after attaching: capabilities, system calls and files
    ///
    /// By default recon keeps only what it needs from then on, and the log says what that is.
    #[arg(long)]
    pub no_sandbox: bool,
}

/// The kernel's grace period must fit into the interval, and the interval into a 60 s window.
const INTERVAL: Range = Range {
    least: Duration::from_millis(10),
    most: Duration::from_secs(60),
    example: "500ms",
};

fn interval(text: &str) -> Result<Duration, String> {
    INTERVAL.parse_flag(text)
}

fn table_entries(text: &str) -> Result<u32, String> {
    /// Two generations of that many keys take 3.5 GiB.
    const MOST: u32 = 1 << 24;
    let entries = text.parse().ok();
    let entries = entries.filter(|entries| (1..=MOST).contains(entries));
    entries.ok_or_else(|| {
        format!("`{text}` is not a number of entries: use a whole number from 1 to {MOST}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn intervals() {
        for (text, millis) in [
            ("1s", Some(1000)),
            ("50ms", Some(50)),
            ("1m", Some(60_000)),
            ("9ms", None),
            ("61s", None),
            ("-1s", None),
            ("soon", None),
        ] {
            assert_eq!(
                interval(text).ok(),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
