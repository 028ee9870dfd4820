//! Checks of hooks: the programs are loaded and attached for a moment.
//!
//! In: the options. Out: lines, and which socket hooks are available.
//! The decision held here: the socket hooks attach to the cgroup that would be watched, as only
//! that tells whether it takes them. They run for the moment until they are detached, and count
//! into maps that nobody reads.

use super::report::{Line, Report};
use crate::agent::record;
use crate::cli::RunOptions;
use crate::diagnostic::error_chain;
use crate::drain::{Drain, Grace};
use crate::hook::{
    Capabilities, Capability, Cgroup, Feature, Hooks, Interface, KernelFeatures, ProgramOptions,
    SeenPins, SocketHooks, TcKind, Trial, expected_ingress, is_recon_xdp, missing_capabilities,
    select_interfaces, watched_by_agents,
};
use crate::settings::InForce;

const INTERFACES: &str = "interfaces";
const SOCKETS: &str = "sockets";
const KERNEL: &str = "kernel";

/// Checks the interfaces, the cgroup and all programs, which are loaded if they `may_try` to take
/// the memory.
pub(super) fn check_hooks(
    run: &RunOptions,
    in_force: Option<&InForce>,
    pins: &SeenPins,
    may_try: bool,
    report: &mut Report,
) -> Option<SocketHooks> {
    let reason = match (missing_capabilities().is_empty(), may_try) {
        (false, _) => Some("capabilities are missing: see below"),
        (true, false) => Some("the machine has no memory for one more table: see the limits"),
        (true, true) => None,
    };
    let loaded = match reason {
        None => load(run, in_force, report),
        Some(reason) => {
            let says = format!("not tried, since {reason}");
            report.push(Line::note(KERNEL, "programs", says));
            None
        }
    };
    check_interfaces(run, pins, report);
    let cgroup = match Cgroup::select(run.cgroup.as_deref()) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            report.push(Line::failure(SOCKETS, "cgroup", error_chain(&error)));
            return None;
        }
    };
    report.push(match &cgroup {
        Some(cgroup) => Line::ok(SOCKETS, "cgroup", cgroup.watched.display()),
        None => Line::loss(SOCKETS, "cgroup", "cgroup2 is not mounted")
            .costs("no socket hook attaches")
            .mend("mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
    });
    let mut hooks = loaded?;
    let sockets = hooks.attach_sockets(cgroup.as_ref());
    for &attached in &sockets.attached {
        report.push(Line::ok(SOCKETS, attached, "attaches"));
    }
    for missing in &sockets.missing {
        let says = format!("does not attach: {}", missing.reason);
        report.push(Line::loss(SOCKETS, missing.hook, says).costs(missing.costs));
    }
    check_batches(&mut hooks, report);
    hooks.detach();
    Some(sockets)
}

/// Polls once. It takes the maps out of the object, so no program can be loaded afterwards.
fn check_batches(hooks: &mut Hooks, report: &mut Report) {
    let read = Drain::open(hooks.ebpf(), Grace::detect()).and_then(|mut drain| {
        drain.poll(|_, _, _| {})?;
        Ok(())
    });
    report.push(match read {
        Ok(()) => Line::ok(
            KERNEL,
            "batches",
            "a poll reads and empties a table at once",
        ),
        Err(error) => Line::failure(KERNEL, "batches", error_chain(&error)),
    });
}

/// Loads the packet programs and tries what they and their maps need.
fn load(run: &RunOptions, in_force: Option<&InForce>, report: &mut Report) -> Option<Hooks> {
    let netns = in_force.map(|in_force| in_force.settings.netns);
    let names = in_force.map(|in_force| in_force.settings.enrich.names);
    let options = ProgramOptions {
        table_entries: run.table_entries,
        netns: netns.unwrap_or_default(),
        kernel_log: run.kernel_log,
        dns_names: names.unwrap_or_default(),
        record: in_force.and_then(|in_force| {
            let payload = in_force.settings.record.payload.0;
            record::folder(run, &in_force.settings).map(|_| payload)
        }),
    };
    let mut hooks = match Hooks::load_pinned(options, None) {
        Ok(hooks) => hooks,
        Err(error) => {
            report.push(Line::failure(KERNEL, "programs", error_chain(&error)));
            return None;
        }
    };
    report.push(Line::ok(
        KERNEL,
        "programs",
        "the kernel takes maps and programs",
    ));
    check_features(report);
    check_bare(&mut hooks, report);
    match hooks.try_hooks() {
        Ok(trial) => check_trial(&trial, report),
        Err(error) => {
            let is_allowed = Capabilities::held().has(Capability::SysAdmin);
            let hint = match is_allowed {
                true => "",
                false => "; it takes CAP_SYS_ADMIN",
            };
            let says = format!("not tried: no network namespace to try it in: {error}{hint}");
            report.push(Line::note(KERNEL, "xdp and tc", says));
        }
    }
    Some(hooks)
}

/// What the kernel lacks of what recon uses when it is there.
fn check_features(report: &mut Report) {
    let features = KernelFeatures::of_kernel();
    for feature in Feature::ALL {
        let name = feature.name();
        let lacks = format!("is missing; Linux {} and later have it", feature.since());
        report.push(match (features.has(feature), feature) {
            (true, _) => Line::ok(KERNEL, name, "is there"),
            // It costs nothing that anybody sees.
            (false, Feature::CoarseClock) => Line::note(KERNEL, name, lacks).costs(feature.costs()),
            (false, _) => Line::loss(KERNEL, name, lacks)
                .costs(feature.costs())
                .mend(format!("use Linux {} or later", feature.since())),
        });
    }
}

/// The programs for interfaces whose packets start with IP.
fn check_bare(hooks: &mut Hooks, report: &mut Report) {
    let refused = hooks.try_bare();
    if refused.is_empty() {
        let says = "the kernel takes the programs for packets without Ethernet header";
        report.push(Line::ok(KERNEL, "tunnels", says));
    }
    for (program, reason) in refused {
        report.push(
            Line::loss(KERNEL, "tunnels", format!("{program}: {reason}"))
                .costs("interfaces without Ethernet header (tun, WireGuard, PPP) are not watched")
                .mend("name interfaces with -i that have one, or use another kernel"),
        );
    }
}

fn check_trial(trial: &Trial, report: &mut Report) {
    report.push(match &trial.xdp {
        Ok(()) => Line::ok(KERNEL, "xdp", "attaches in the stack"),
        Err(reason) => Line::loss(KERNEL, "xdp", format!("does not attach: {reason}"))
            .costs("recon takes TC ingress: a flood costs more of the processor"),
    });
    report.push(match &trial.tc {
        Ok(TcKind::Tcx) => Line::ok(KERNEL, "tc", "attaches as TCX"),
        Ok(TcKind::Clsact) => Line::ok(KERNEL, "tc", "attaches under clsact: the kernel has no TCX"),
        Err(reason) => Line::loss(KERNEL, "tc", format!("does not attach: {reason}"))
            .costs("recon sees nothing of what this host sends, and interfaces without XDP can't be watched"),
    });
}

fn check_interfaces(run: &RunOptions, pins: &SeenPins, report: &mut Report) {
    let interfaces = match select_interfaces(&run.interfaces, run.xdp, &pins.programs) {
        Ok(interfaces) => interfaces,
        Err(error) => {
            report.push(Line::failure(INTERFACES, "selection", error_chain(&error)));
            return;
        }
    };
    let watched = watched_by_agents(&interfaces);
    for interface in &interfaces {
        let has_agent = watched.contains(&interface.index);
        check_interface(interface, has_agent, run, pins, report);
    }
}

fn check_interface(
    interface: &Interface,
    has_agent: bool,
    run: &RunOptions,
    pins: &SeenPins,
    report: &mut Report,
) {
    let name = &interface.name;
    let expected = expected_ingress(interface, run.xdp);
    report.push(match interface.xdp_program {
        Some(program) if pins.is_in_use && is_recon_xdp(program) => {
            let says = format!("inbound by recon's own XDP program (id {program}) that runs");
            Line::ok(INTERFACES, name, says)
        }
        Some(program) if is_recon_xdp(program) => {
            let says = format!(
                "recon's own XDP program is attached (id {program}), and not by the pins of this start: recon takes {expected}"
            );
            let line = Line::loss(INTERFACES, name, says)
                .costs("a flood costs more of the processor, and what it counts is read by another recon or by nobody");
            match has_agent {
                true => line.mend("end the recon that runs"),
                false => line.mend("name its folder with --pins, or type `recon detach` with it"),
            }
        }
        Some(program) => Line::loss(
            INTERFACES,
            name,
            format!("another XDP program is attached (id {program}): recon takes {expected}"),
        )
        .costs("recon does not see what that program drops"),
        None => Line::ok(INTERFACES, name, format!("inbound by {expected}")),
    });
    if !interface.is_up {
        let says = "is down; recon counts its packets once it is up";
        report.push(Line::note(INTERFACES, name, says));
    }
    if has_agent && pins.is_in_use {
        let says = "the recon that runs watches it; the next one takes its hooks over";
        report.push(Line::note(INTERFACES, name, says));
    } else if has_agent {
        report.push(
            Line::loss(INTERFACES, name, "another recon watches it")
                .costs("each alert about its packets is written twice, and its packets cost twice the time")
                .mend("end one of the two"),
        );
    }
}
