//! Hooks and the runs of their programs, as numbers for metrics.
//!
//! In: what this agent holds, and the kernel's statistics. Out: [`HookCount`]s and
//! [`ProgramRuns`].
//! The decision held here: hooks count by their kind and not by their interface. A host with
//! containers has a thousand interfaces a day, and each would be a series of its own.

use std::time::Duration;

use super::attach::{Egress, Ingress, TcKind};
use super::bpf::program_runs;
use super::on_interface::OnInterface;
use super::{BARE_INGRESS, Hooks, SocketHooks, TC_INGRESS, XDP};

/// On how many interfaces a hook is, or whether it is on the cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HookCount {
    /// The hook.
    pub(crate) name: &'static str,
    /// Where it is attached.
    pub(crate) attached: usize,
    /// Where it should be and is not.
    pub(crate) missing: usize,
}

/// How often a program has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgramRuns {
    /// The program.
    pub(crate) name: String,
    /// Its runs. 0 while nobody has the kernel count them.
    pub(crate) runs: u64,
    /// How long they took together.
    pub(crate) time: Duration,
}

/// The hooks of interfaces.
const ON_INTERFACES: [&str; 6] = [
    "xdp_native",
    "xdp_generic",
    "tcx_ingress",
    "clsact_ingress",
    "tcx_egress",
    "clsact_egress",
];

const fn ingress_name(ingress: Ingress) -> &'static str {
    match ingress {
        Ingress::XdpNative => "xdp_native",
        Ingress::XdpGeneric => "xdp_generic",
        Ingress::Tc(TcKind::Tcx) => "tcx_ingress",
        Ingress::Tc(TcKind::Clsact) => "clsact_ingress",
    }
}

const fn egress_name(egress: &Egress) -> &'static str {
    match egress {
        Egress::Tc(TcKind::Tcx) => "tcx_egress",
        // What is tried last.
        Egress::Tc(TcKind::Clsact) | Egress::Missing(_) => "clsact_egress",
    }
}

impl OnInterface {
    /// The inbound and the outbound hook, and whether each is attached.
    fn named_hooks(&self) -> Option<[(&'static str, bool); 2]> {
        let attached = self.attached.as_ref()?;
        let is_inbound = |program: &str| [XDP, TC_INGRESS, BARE_INGRESS].contains(&program);
        let has_inbound = !self.missing.iter().any(|program| is_inbound(program));
        let has_outbound = self.missing.iter().all(|program| is_inbound(program));
        let is_there = !matches!(attached.egress, Egress::Missing(_));
        Some([
            (ingress_name(attached.ingress), has_inbound),
            (egress_name(&attached.egress), has_outbound && is_there),
        ])
    }
}

impl Hooks {
    /// How many hooks of each kind are attached. `sockets` are those of this start.
    pub(crate) fn count_hooks(&self, sockets: &SocketHooks) -> Vec<HookCount> {
        let mut counts: Vec<_> = ON_INTERFACES.map(HookCount::none).into();
        let on_interfaces = self.on_interfaces.values();
        let on_interfaces = on_interfaces.filter_map(OnInterface::named_hooks).flatten();
        let on_cgroup = self.on_cgroup.iter().flat_map(|on| &on.hooks);
        let on_cgroup = on_cgroup.map(|hook| (hook.hook, hook.is_held()));
        let watched: Vec<_> = on_cgroup.collect();
        let is_watched = |name: &str| watched.iter().any(|(watched, _)| *watched == name);
        // Nobody can detach what is on a tracepoint but this process.
        let others = sockets.attached.iter().filter(|name| !is_watched(name));
        let others = others.map(|&name| (name, true));
        let missing = sockets.missing.iter().map(|missing| (missing.hook, false));
        let all = on_interfaces.chain(watched.iter().copied());
        for (name, is_attached) in all.chain(others).chain(missing) {
            add(&mut counts, name, is_attached);
        }
        counts
    }

    /// How often each loaded program has run. Without those that the kernel says nothing of.
    pub(crate) fn program_runs(&self) -> Vec<ProgramRuns> {
        let programs = self.ebpf.programs();
        let runs = programs.filter_map(|(name, program)| {
            let (runs, nanos) = program_runs(program.fd().ok()?).ok()?;
            Some(ProgramRuns {
                name: name.to_owned(),
                runs,
                time: Duration::from_nanos(nanos),
            })
        });
        runs.collect()
    }
}

impl HookCount {
    const fn none(name: &'static str) -> Self {
        Self {
            name,
            attached: 0,
            missing: 0,
        }
    }
}

fn add(counts: &mut Vec<HookCount>, name: &'static str, is_attached: bool) {
    let place = counts.iter().position(|count| count.name == name);
    let place = place.unwrap_or_else(|| {
        counts.push(HookCount::none(name));
        counts.len() - 1
    });
    let count = &mut counts[place];
    match is_attached {
        true => count.attached += 1,
        false => count.missing += 1,
    }
}
