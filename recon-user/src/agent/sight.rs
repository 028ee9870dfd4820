//! What recon can't see for lack of hooks and capabilities, and which rules that costs.
//!
//! In: the hooks that attached, what /proc shows, the rules in force. Out: warnings, and the
//! signals not to trust.
//! The decision held here: these capabilities are not required, since all rules on remotes work
//! without them. Each that is missing is named with the rules that lose by it and how to grant it.

use std::collections::BTreeSet;
use std::fmt;

use recon_common::Signal;

use super::actors;
use crate::hook::{AttachedHooks, Cgroup, Egress, Hooks, ProcessSight, SocketHooks};
use crate::kql::Field;
use crate::row::SignalSet;
use crate::rule::Configured;
use crate::settings::InForce;
use crate::stream::Query;

/// Attaches the hooks that identify processes, and logs which are available.
pub(super) fn attach_sockets(
    hooks: &mut Hooks,
    cgroup: Option<&Cgroup>,
    in_force: &InForce,
) -> SocketHooks {
    let sockets = hooks.attach_sockets(cgroup);
    tracing::info!("{sockets}");
    for missing in &sockets.missing {
        tracing::warn!("{missing}");
    }
    let mut sight = ProcessSight::of_agent();
    sight.namespaces |= !sockets.sees_namespaces();
    for lack in lacks(sight, sockets.sees_starts(), &in_force.rules) {
        tracing::warn!("{lack}");
    }
    if !actors::sees_all_processes() {
        tracing::warn!(
            "/proc belongs to the pid namespace of a container: alerts name wrong processes or none; run recon in the host's pid namespace (docker run --pid=host)"
        );
    }
    sockets
}

/// The signals to ignore because hooks are missing. Without an outbound hook, an answer looks like
/// an unsolicited datagram. Without the hook that sees connections begin, every connection looks
/// failed.
pub(super) fn untrusted(sockets: &SocketHooks, taken: &[AttachedHooks]) -> SignalSet {
    let mut untrusted = SignalSet::default();
    let is_blind = |taken: &AttachedHooks| matches!(taken.egress, Egress::Missing(_));
    if taken.iter().any(is_blind) {
        untrusted.insert(Signal::Datagram);
    }
    if !sockets.sees_failures() {
        untrusted.insert(Signal::ConnectFailed);
    }
    untrusted
}

/// A capability that is missing, and not required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// Its name.
    pub(crate) capability: &'static str,
    /// What recon can't do for lack of it.
    pub(crate) costs: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, costs } = self;
        let grant = grant(capability);
        write!(f, "{capability} is missing, so {costs}; {grant}")
    }
}

/// What each missing capability costs.
pub(crate) fn lacks(sight: ProcessSight, sees_starts: bool, rules: &[Configured]) -> Vec<Lack> {
    let queries: Vec<_> = rules.iter().cloned().map(Query::new).collect();
    let ids = |concerns: fn(&Query) -> bool| {
        let named = queries.iter().filter(|query| concerns(query));
        let ids: BTreeSet<_> = named.map(Query::id).collect();
        Vec::from_iter(ids).join(", ")
    };
    let mut lacks = Vec::new();
    if !sight.programs {
        let rules = ids(|query| query.needs_tool() || query.needs_process());
        let costs = match (rules.as_str(), sees_starts) {
            ("", _) => String::new(),
            (rules, true) => format!(
                "{rules} do not recognize programs of other users that started before recon; "
            ),
            (rules, false) => format!("{rules} do not fire for processes of other users; "),
        };
        lacks.push(Lack {
            capability: "CAP_SYS_PTRACE",
            costs: format!(
                "recon can't read which program another user's process runs: {costs}alerts may lack its executable and who accepts a connection"
            ),
        });
    }
    if !sight.descriptors {
        let rules = ids(|query| {
            let served = [Signal::Accepted, Signal::Used];
            served.iter().any(|&by| query.filter.signals.contains(by))
        });
        let of_rules = match rules.as_str() {
            "" => String::new(),
            rules => format!(" of {rules}"),
        };
        lacks.push(Lack {
            capability: "CAP_DAC_READ_SEARCH",
            costs: format!(
                "recon can't read the descriptors of other users' processes: alerts{of_rules} may not say which process accepts"
            ),
        });
    }
    if !sight.namespaces {
        let rules = ids(|query| query.reads(|field| field == Field::NetworkNamespace));
        let of_rules = match rules.as_str() {
            "" => String::new(),
            rules => format!(", and so do the rows that {rules} read"),
        };
        lacks.push(Lack {
            capability: "CAP_SYS_ADMIN",
            costs: format!(
                "recon can't ask which network namespace is which: alerts call all but its own unknown{of_rules}"
            ),
        });
    }
    lacks
}

/// How to grant a capability.
pub(crate) fn grant(capability: &str) -> String {
    format!("run recon as root, or add {capability} to AmbientCapabilities of its systemd unit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Profile, defaults};

    #[test]
    fn each_missing_capability_is_named_with_the_rules_that_lose_by_it() {
        let rules = defaults(Profile::Outcomes)
            .into_iter()
            .map(Configured::plain);
        let rules: Vec<_> = rules.collect();
        let sight = |programs, descriptors, namespaces| ProcessSight {
            programs,
            descriptors,
            namespaces,
        };
        assert_eq!(lacks(sight(true, true, true), true, &rules), []);
        for (sight, sees_starts, expected) in [
            (
                sight(false, true, true),
                true,
                &[
                    "CAP_SYS_PTRACE is missing",
                    "outbound-scan-tool",
                    "do not recognize programs of other users that started before recon",
                ][..],
            ),
            (
                sight(false, true, true),
                false,
                &[
                    "outbound-scan-tool",
                    "do not fire for processes of other users",
                ],
            ),
            (
                sight(true, false, true),
                false,
                &["CAP_DAC_READ_SEARCH is missing", "scan-then-connect"],
            ),
            (
                sight(true, true, false),
                true,
                &[
                    "CAP_SYS_ADMIN is missing",
                    "its own unknown; run recon as root",
                ],
            ),
        ] {
            let lacks = lacks(sight, sees_starts, &rules);
            let [lack] = &lacks[..] else {
                panic!("{lacks:?}")
            };
            let warning = lack.to_string();
            for &text in expected {
                assert!(warning.contains(text), "no {text:?} in {warning}");
            }
        }
        assert_eq!(lacks(sight(false, false, false), true, &[]).len(), 3);
    }
}
