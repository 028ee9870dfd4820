//! Checks of the host: capabilities, limits, the kernel's features, /proc.
//!
//! In: the process and the kernel. Out: lines.

use std::fs;

use super::report::{Line, Report};
use crate::agent::actors::sees_all_processes;
use crate::agent::descriptors::raise_limit;
use crate::agent::doubts::{Memory, doubts};
use crate::agent::sight::{grant, lacks};
use crate::cli::RunOptions;
use crate::diagnostic::visible;
use crate::drain::Grace;
use crate::hook::{
    Capabilities, Capability, ProcessSight, SeenPins, SocketHooks, missing_capabilities,
};
use crate::process_limits::check_memory;
use crate::sandbox;
use crate::settings::InForce;

const PRIVILEGES: &str = "privileges";
const KERNEL: &str = "kernel";
const LIMITS: &str = "limits";
const PROCESSES: &str = "processes";

/// The capabilities, each with the rules that lose by it.
pub(super) fn check_privileges(
    in_force: Option<&InForce>,
    sockets: Option<&SocketHooks>,
    report: &mut Report,
) {
    let missing = missing_capabilities();
    for required in [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon] {
        let name = required.name();
        report.push(match missing.contains(&name) {
            false => Line::ok(PRIVILEGES, name, "is there"),
            true => Line::failure(PRIVILEGES, name, "is missing")
                .costs("recon can't load or attach its programs, and does not start")
                .mend(grant(name)),
        });
    }
    let rules = in_force.map_or(&[][..], |in_force| &in_force.rules);
    let sees_starts = sockets.is_some_and(SocketHooks::sees_starts);
    let lacks = lacks(ProcessSight::of_agent(), sees_starts, rules);
    for optional in [
        Capability::SysPtrace,
        Capability::DacReadSearch,
        Capability::SysAdmin,
    ] {
        let name = optional.name();
        let lack = lacks.iter().find(|lack| lack.capability == name);
        report.push(match lack {
            None => Line::ok(PRIVILEGES, name, "is there"),
            Some(lack) => Line::loss(PRIVILEGES, name, "is missing")
                .costs(&lack.costs)
                .mend(grant(name)),
        });
    }
}

/// Limits of this process, and the memory that the options take. Returns whether there is memory
/// for one more table, to try it.
pub(super) fn check_limits(
    run: &RunOptions,
    in_force: Option<&InForce>,
    pins: &SeenPins,
    report: &mut Report,
) -> bool {
    report.push(match raise_limit() {
        Ok(()) => Line::ok(LIMITS, "open files", "there is room"),
        Err(error) => Line::failure(LIMITS, "open files", error),
    });
    let entries = run.table_entries;
    let memory = Memory::of_machine();
    let may_try = memory.is_none_or(|memory| memory.has_room(entries));
    let Some(in_force) = in_force else {
        return may_try;
    };
    let settings = &in_force.settings;
    report.push(
        match check_memory(settings.memory(), settings.databases.bytes()) {
            Ok(()) => Line::ok(LIMITS, "address space", "allows what the settings do"),
            Err(error) => Line::failure(LIMITS, "address space", error),
        },
    );
    // The next start takes the table over.
    let memory = memory.map(|memory| match has_table(pins) {
        true => memory.with_table(entries),
        false => memory,
    });
    match doubts(in_force, run.interval, entries, memory) {
        Ok(doubts) if doubts.is_empty() => {
            report.push(Line::ok(LIMITS, "memory", "there is room for the table"));
        }
        Ok(doubts) => {
            for doubt in doubts {
                report.push(Line::note(LIMITS, "options", doubt));
            }
        }
        Err(error) => report.push(Line::failure(LIMITS, "memory", error)),
    }
    may_try
}

/// Whether the next start finds a table, so that it takes no memory for one.
fn has_table(pins: &SeenPins) -> bool {
    pins.is_in_use || pins.sets.iter().any(|set| set.refusal.is_none())
}

/// What is known of the kernel without loading anything.
pub(super) fn check_kernel(report: &mut Report) {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let release = format!("Linux {release} on {}", std::env::consts::ARCH);
    report.push(Line::note(KERNEL, "release", release));
    report.push(match Grace::detect() {
        Grace::Membarrier => Line::ok(KERNEL, "membarrier", "polls are exact at once"),
        Grace::NextPoll => Line::note(
            KERNEL,
            "membarrier",
            "is refused (nohz_full): counts are read one interval later",
        ),
    });
    report.push(match sandbox::landlock_version() {
        Some(version) => Line::ok(KERNEL, "landlock", format!("version {version}")),
        None => Line::loss(KERNEL, "landlock", "is missing or turned off")
            .costs("the running agent may open any file that its user may")
            .mend("boot with landlock in the kernel's list of security modules (lsm=)"),
    });
    report.push(match sandbox::has_seccomp() {
        true => Line::ok(KERNEL, "seccomp", "filters system calls"),
        false => Line::loss(KERNEL, "seccomp", "has no filters")
            .costs("the running agent may make any system call")
            .mend("use a kernel that is built with CONFIG_SECCOMP_FILTER"),
    });
    if let Some(lockdown) = read("/sys/kernel/security/lockdown")
        && lockdown.contains("[confidentiality]")
    {
        let says = "the kernel is locked down for confidentiality";
        report.push(
            Line::loss(KERNEL, "lockdown", says)
                .costs("the tracepoints of started programs do not load")
                .mend("boot with lockdown=integrity"),
        );
    }
    if let Some(disabled) = read("/proc/sys/kernel/unprivileged_bpf_disabled") {
        let says = match disabled.as_str() {
            "0" => "any user may load programs of some kinds: kernel.unprivileged_bpf_disabled=0",
            _ => "only users with CAP_BPF load programs",
        };
        report.push(Line::note(KERNEL, "unprivileged_bpf_disabled", says));
    }
}

/// What /proc shows.
pub(super) fn check_processes(report: &mut Report) {
    report.push(match sees_all_processes() {
        true => Line::ok(PROCESSES, "pid namespace", "/proc shows all processes"),
        false => Line::loss(PROCESSES, "pid namespace", "/proc belongs to a container")
            .costs("alerts name wrong processes or none")
            .mend("run recon in the host's pid namespace (docker run --pid=host)"),
    });
    // A process of root, which a hidden /proc does not show to others.
    let held = Capabilities::held();
    if read("/proc/1/stat").is_none() && !held.has(Capability::SysPtrace) {
        report.push(
            Line::loss(PROCESSES, "hidepid", "/proc hides other users' processes")
                .costs("alerts name processes of recon's own user only")
                .mend("mount /proc with hidepid=0, or with gid= of a group that recon is in; CAP_SYS_PTRACE helps, too"),
        );
    }
}

fn read(path: &str) -> Option<String> {
    let text = fs::read(path).ok()?;
    Some(visible(text.trim_ascii()))
}
