//! Rows of the test of `--xdp`: which hooks each choice gets, and how the agent reports them.

use anyhow::Result;
use recon_tests::kernel::{self, Linux};
use recon_tests::report;
use recon_tests::seen::Seen;

/// The hooks on sockets, in every mode.
pub(super) const SOCKET_HOOKS: [&str; 6] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "sock_create",
    "sock_ops",
];

pub(super) struct Mode {
    pub(super) arguments: &'static str,
    /// How the agent reports it.
    pub(super) inbound: &'static str,
    /// What the kernel has attached.
    pub(super) attached: &'static str,
}

/// TC stands for TCX, or for clsact on kernels without it.
pub(super) const MODES: &[Mode] = &[
    Mode {
        // Native XDP costs a veth pair its segmentation offload.
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

/// How this kernel attaches TC programs, in the words of the agent and of the harness.
pub(super) fn tc() -> Result<[&'static str; 2]> {
    Ok(match Linux::running()? {
        older if older < kernel::TCX => ["clsact"; 2],
        _ => ["TCX", "tcx"],
    })
}

/// Reports the hooks of the agent, by its start lines.
pub(super) fn report_hooks(arguments: &str, seen: &Seen) {
    for line in &seen.log {
        if let Some((_, hooks)) = line.split_once("inbound by ")
            && let Some((inbound, outbound)) = hooks.split_once(", outbound by ")
        {
            report::record(report::HOOK, &format!("inbound, `{arguments}`"), inbound);
            // The rest of the line says what that costs.
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
