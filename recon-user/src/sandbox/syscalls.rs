//! The system calls that a running agent makes: seccomp.
//!
//! In: the table in [`super::calls`]. Out: filters in force for every thread.
//! The decisions held here: the kernel lets a thread do what all of its filters allow, so the
//! filter of all threads also has what the threads of sinks need, and another one takes that from
//! all others. What has no row fails with EPERM. clone3 fails with ENOSYS: its flags
//! are in memory, where no filter sees them, and the C library then calls clone, whose flags are
//! checked.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::calls::By::All;
use super::calls::With::{Any, Masked, OneOf};
use super::calls::{COMMON, Call, OLD, With};
use super::server_calls::{OLD_SERVER, SERVER};
use super::threads::{Failures, Order, on_each};

/// The filters, ready for the kernel.
pub(super) struct Filters {
    agent: BpfProgram,
    readers: BpfProgram,
    server: BpfProgram,
    not_available: BpfProgram,
    /// For threads that are not of such a sink. Without one there is nothing to take from them.
    not_peers: Option<BpfProgram>,
    not_journals: Option<BpfProgram>,
}

/// Threads that may do more or less than others, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialThreads {
    /// Their sinks have TCP peers.
    pub(crate) peers: Vec<libc::pid_t>,
    /// Their sinks are journald.
    pub(crate) journals: Vec<libc::pid_t>,
    /// The one that answers scrapes: it needs no capability and few calls.
    pub(crate) server: Option<libc::pid_t>,
    /// Those that list sockets. The kernel may hold them for as long as strangers like: they are
    /// not asked to reduce themselves, and end with their lists.
    pub(crate) listing: Vec<libc::pid_t>,
}

impl Filters {
    /// Compiles the tables for this architecture.
    ///
    /// # Errors
    /// The crate knows no such architecture.
    pub(super) fn compile(special: &SpecialThreads) -> io::Result<Self> {
        let own = std::process::id();
        let all = || COMMON.iter().chain(OLD);
        let mut agent = allowed(own, all(), |call| vec![call.with])?;
        if !special.peers.is_empty() {
            let sockets = agent.entry(libc::SYS_socket).or_default();
            sockets.extend(tcp_sockets()?);
        }
        if !special.journals.is_empty() {
            // Large entries are files in memory.
            agent.insert(libc::SYS_memfd_create, Vec::new());
        }
        let of_readers = all().filter(|call| call.by == All);
        let mut readers = allowed(own, of_readers, |call| vec![call.with, call.readers])?;
        let server = SERVER.iter().chain(OLD_SERVER);
        let mut server = allowed(own, server, |call| vec![call.with])?;
        // Of two filters that refuse, the newer one names the error: this is left to the other one.
        for newer in [&mut readers, &mut server] {
            newer.insert(libc::SYS_clone3, Vec::new());
        }
        let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let no_such_call = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let without = |threads: &[_], calls: BTreeMap<_, _>| {
            let is_needed = !threads.is_empty();
            let filter = || program(calls, SeccompAction::Allow, refuse.clone());
            is_needed.then(filter).transpose()
        };
        let sockets = BTreeMap::from([(libc::SYS_socket, tcp_sockets()?)]);
        let files = BTreeMap::from([(libc::SYS_memfd_create, Vec::new())]);
        Ok(Self {
            agent: program(agent, refuse.clone(), SeccompAction::Allow)?,
            not_peers: without(&special.peers, sockets)?,
            not_journals: without(&special.journals, files)?,
            readers: program(readers, refuse.clone(), SeccompAction::Allow)?,
            server: program(server, refuse.clone(), SeccompAction::Allow)?,
            not_available: program(clone3, SeccompAction::Allow, no_such_call)?,
        })
    }

    /// Puts them into force: one for all threads, one more for those of `readers`, another one more
    /// for the server, and one for all but those of sinks. A thread that is started later has those
    /// of the thread that starts it.
    ///
    /// # Errors
    /// This kernel has no filters, or a thread has another one.
    pub(super) fn install(
        self,
        readers: &[libc::pid_t],
        special: &SpecialThreads,
    ) -> io::Result<Failures> {
        for filter in [&self.agent, &self.not_available] {
            seccompiler::apply_filter_all_threads(filter).map_err(io::Error::other)?;
        }
        let mut failures = Failures::default();
        for (filter, not) in [
            (self.not_peers, &special.peers),
            (self.not_journals, &special.journals),
        ] {
            if let Some(filter) = filter {
                let is_other =
                    |thread| !not.contains(&thread) && !special.listing.contains(&thread);
                failures |= on_each(Order::Filter(filter), is_other);
            }
        }
        let readers = |thread| readers.contains(&thread);
        failures |= on_each(Order::Filter(self.readers), readers);
        failures |= on_each(Order::Filter(self.server), |it| special.server == Some(it));
        Ok(failures)
    }
}

fn program(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matching: SeccompAction,
) -> io::Result<BpfProgram> {
    let architecture: TargetArch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, matching, architecture);
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

/// The rules that select sockets for TCP.
fn tcp_sockets() -> io::Result<Vec<SeccompRule>> {
    /// `SOCK_TYPE_MASK` of linux/net.h: the type without its flags.
    const TYPE: u64 = 0xf;
    let rule = |family: libc::c_int| {
        let is_stream = SeccompCondition::new(
            1,
            Width::Dword,
            Compare::MaskedEq(TYPE),
            libc::SOCK_STREAM as u64,
        );
        SeccompRule::new(vec![equals(0, family as u64)?, is_stream?])
    };
    let rules = [libc::AF_INET, libc::AF_INET6].map(rule).into_iter();
    rules.map(|rule| rule.map_err(io::Error::other)).collect()
}

/// The rules of these rows, with what `with` requires of each together.
fn allowed<'a>(
    own: u32,
    calls: impl Iterator<Item = &'a Call>,
    with: impl Fn(&Call) -> Vec<With>,
) -> io::Result<BTreeMap<c_long, Vec<SeccompRule>>> {
    let mut rules = BTreeMap::new();
    for call in calls {
        rules.insert(call.number, rules_of(&with(call))?);
    }
    let to_itself = equals(0, own.into()).map_err(io::Error::other)?;
    let to_itself = SeccompRule::new(vec![to_itself]).map_err(io::Error::other)?;
    rules.insert(libc::SYS_tgkill, vec![to_itself]);
    Ok(rules)
}

/// One of these rules must hold. None means any arguments.
fn rules_of(all: &[With]) -> io::Result<Vec<SeccompRule>> {
    let mut rules: Vec<Vec<SeccompCondition>> = vec![Vec::new()];
    for with in all {
        let choices = match *with {
            Any => continue,
            OneOf(argument, values) => values
                .iter()
                .map(|&value| equals(argument, value))
                .collect::<Result<Vec<_>, _>>(),
            Masked(argument, mask, value) => {
                SeccompCondition::new(argument, Width::Dword, Compare::MaskedEq(mask), value)
                    .map(|condition| vec![condition])
            }
        };
        let choices = choices.map_err(io::Error::other)?;
        rules = rules
            .iter()
            .flat_map(|rule| {
                choices.iter().map(|choice| {
                    let mut rule = rule.clone();
                    rule.push(choice.clone());
                    rule
                })
            })
            .collect();
    }
    let rules = rules.into_iter().filter(|rule| !rule.is_empty());
    rules
        .map(|rule| SeccompRule::new(rule).map_err(io::Error::other))
        .collect()
}

/// The whole argument: the kernel reads some as 64 bits.
fn equals(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Width::Qword, Compare::Eq, value)
}

/// How many system calls are left.
pub(super) fn count() -> usize {
    // And tgkill.
    COMMON.len() + OLD.len() + 1
}

/// Whether this kernel has filters of system calls.
pub(crate) fn is_available() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: the kernel reads the action, which lives as long as the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            NO_FLAGS,
            &raw const action,
        )
    };
    result == 0
}
