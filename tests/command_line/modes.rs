//! The rows of the test of `--xdp`: which hooks each choice gets, and how an agent says so.

use anyhow::Result;
use recon_tests::kernel::{self, Linux};
use recon_tests::report;
use recon_tests::seen::Seen;

/// Whatever the mode.
pub(super) const SOCKET_HOOKS: [&str; 5] =
    ["connect4", "connect6", "sendmsg4", "sendmsg6", "sock_ops"];

pub(super) struct Mode {
    pub(super) arguments: &'static str,
    /// How the agent says it.
    pub(super) inbound: &'static str,
    /// What is there.
    pub(super) attached: &'static str,
}

/// TC stands for TCX, and for clsact before that.
pub(super) const MODES: &[Mode] = &[
    Mode {
        // A veth pair has native XDP, and pays for it.
        arguments: "--xdp auto",
        inbound: "TC ingress",
        attached: "TC ingress",
    },
    Mode {
        arguments: "--xdp native",
        inbound: "native XDP",
        attached: "xdp",
    },
    Mode {
        arguments: "--xdp generic",
        inbound: "generic XDP",
        attached: "xdp",
    },
    Mode {
        arguments: "--xdp off",
        inbound: "TC ingress",
        attached: "TC ingress",
    },
];

/// How this kernel attaches TC programs: as the agent says it, and as the harness does.
pub(super) fn tc() -> Result<[&'static str; 2]> {
    Ok(match Linux::running()? {
        older if older < kernel::TCX => ["clsact"; 2],
        _ => ["TCX", "tcx"],
    })
}

/// Tells what the agent got, by its start lines.
pub(super) fn tell_hooks(arguments: &str, seen: &Seen) {
    for line in &seen.log {
        if let Some((_, hooks)) = line.split_once("inbound by ")
            && let Some((inbound, outbound)) = hooks.split_once(", outbound by ")
        {
            report::record(report::HOOK, &format!("inbound, `{arguments}`"), inbound);
            // What follows says what that costs.
            let outbound = outbound.split(';').next().unwrap_or(outbound);
            report::record(report::HOOK, "outbound", outbound);
        }
        if let Some((_, hooks)) = line.split_once("sockets of ")
            && let Some((_, sockets)) = hooks.split_once(": ")
        {
            report::record(report::HOOK, "sockets and programs", sockets);
        }
    }
}
