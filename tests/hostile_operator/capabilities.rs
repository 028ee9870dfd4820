//! What recon says of each capability that it lacks.

use std::process::{Command, Stdio};

use anyhow::ensure;
use recon_tests::agent::recon;
use recon_tests::process::run;
use recon_tests::{Agent, Lab, PATIENCE, rows};

use super::{INTERVAL, ensure_nothing_attached};

/// All capabilities that operation.md lists.
const ALL: &[&str] = &[
    "net_admin",
    "bpf",
    "perfmon",
    "sys_ptrace",
    "dac_read_search",
    "sys_admin",
];

struct Row {
    name: &'static str,
    lacks: &'static [&'static str],
    /// Whether recon refuses to start.
    is_refused: bool,
    says: &'static [&'static str],
    does_not_say: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        name: "none missing",
        lacks: &[],
        is_refused: false,
        says: &[],
        does_not_say: &["is missing"],
    },
    Row {
        name: "no CAP_NET_ADMIN",
        lacks: &["net_admin"],
        is_refused: true,
        says: &["needs CAP_NET_ADMIN:"],
        does_not_say: &[],
    },
    Row {
        name: "no CAP_BPF",
        lacks: &["bpf", "sys_admin"],
        is_refused: true,
        says: &["needs CAP_BPF:"],
        does_not_say: &[],
    },
    Row {
        name: "no CAP_PERFMON",
        lacks: &["perfmon", "sys_admin"],
        is_refused: true,
        says: &["needs CAP_PERFMON:"],
        does_not_say: &[],
    },
    Row {
        name: "no CAP_SYS_PTRACE",
        lacks: &["sys_ptrace"],
        is_refused: false,
        says: &[
            "CAP_SYS_PTRACE is missing",
            "outbound-scan-tool",
            "add CAP_SYS_PTRACE to AmbientCapabilities",
        ],
        does_not_say: &["CAP_DAC_READ_SEARCH is missing"],
    },
    Row {
        name: "no CAP_DAC_READ_SEARCH",
        lacks: &["dac_read_search"],
        is_refused: false,
        says: &[
            "CAP_DAC_READ_SEARCH is missing",
            "scan-then-connect",
            "add CAP_DAC_READ_SEARCH to AmbientCapabilities",
        ],
        does_not_say: &["CAP_SYS_PTRACE is missing"],
    },
    Row {
        name: "no CAP_SYS_ADMIN",
        lacks: &["sys_admin"],
        is_refused: false,
        says: &[
            "CAP_SYS_ADMIN is missing",
            "add CAP_SYS_ADMIN to AmbientCapabilities",
        ],
        does_not_say: &[
            "CAP_SYS_PTRACE is missing",
            "CAP_DAC_READ_SEARCH is missing",
        ],
    },
    Row {
        name: "only the three that are needed",
        lacks: &["sys_ptrace", "dac_read_search", "sys_admin"],
        is_refused: false,
        says: &[
            "CAP_SYS_PTRACE is missing",
            "CAP_DAC_READ_SEARCH is missing",
            "CAP_SYS_ADMIN is missing",
        ],
        does_not_say: &[],
    },
];

#[test]
fn each_missing_capability_is_named_with_what_it_costs() {
    rows::check(
        ROWS,
        |row| row.name,
        |row| {
            let lab = Lab::new()?;
            let recon = recon(&format!("run -i veth0 {INTERVAL}"))?;
            let held = ALL.iter().filter(|name| !row.lacks.contains(name));
            let held: String = held.map(|name| format!(",+{name}")).collect();
            let mut command = Command::new("setpriv");
            command
                .args(["--inh-caps=-all", &format!("--bounding-set=-all{held}")])
                .arg(recon.get_program())
                .args(recon.get_args())
                .args(lab.watched_sockets());
            let log = if row.is_refused {
                let finished = run(lab.host(), command, PATIENCE)?;
                ensure!(!finished.status.success(), "{}", finished.output);
                finished.output
            } else {
                let agent = Agent::spawn(&lab, command, Stdio::piped())?;
                let stopped = agent.stop()?;
                ensure!(stopped.status.success(), "{}", stopped.seen);
                stopped.seen.log.join("\n")
            };
            for &text in row.says {
                ensure!(log.contains(text), "no {text:?} in: {log}");
            }
            for &text in row.does_not_say {
                ensure!(!log.contains(text), "{text:?} in: {log}");
            }
            ensure_nothing_attached(&lab)
        },
    );
}
