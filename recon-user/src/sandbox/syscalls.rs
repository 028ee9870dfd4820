//! The system calls that a running agent makes: seccomp.
//!
//! In: the table in [`super::calls`]. Out: filters in force for every thread.
//! The decisions held here: what has no row fails with EPERM. clone3 fails with ENOSYS: its flags
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
use super::threads::{Failures, Order, on_each};

/// The filters, ready for the kernel.
pub(super) struct Filters {
    agent: BpfProgram,
    readers: BpfProgram,
    not_available: BpfProgram,
}

impl Filters {
    /// Compiles the tables for this architecture.
    ///
    /// # Errors
    /// The crate knows no such architecture.
    pub(super) fn compile() -> io::Result<Self> {
        let own = std::process::id();
        let agent = allowed(own, |_| true, |call| vec![call.with]);
        let mut readers = allowed(
            own,
            |call| call.by == All,
            |call| vec![call.with, call.readers],
        )?;
        // Of two filters that refuse, the newer one names the error: this is left to the other one.
        readers.insert(libc::SYS_clone3, Vec::new());
        let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let no_such_call = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        Ok(Self {
            agent: program(agent?, refuse.clone(), SeccompAction::Allow)?,
            readers: program(readers, refuse, SeccompAction::Allow)?,
            not_available: program(clone3, SeccompAction::Allow, no_such_call)?,
        })
    }

    /// Puts them into force: one for all threads, and one more for those of `readers`.
    ///
    /// # Errors
    /// This kernel has no filters, or a thread has another one.
    pub(super) fn install(self, readers: &[libc::pid_t]) -> io::Result<Failures> {
        for filter in [&self.agent, &self.not_available] {
            seccompiler::apply_filter_all_threads(filter).map_err(io::Error::other)?;
        }
        let readers = |thread| readers.contains(&thread);
        Ok(on_each(Order::Filter(self.readers), readers))
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

/// The rules of the rows that `concerns` selects, with what `with` requires of each together.
fn allowed(
    own: u32,
    concerns: impl Fn(&Call) -> bool,
    with: impl Fn(&Call) -> Vec<With>,
) -> io::Result<BTreeMap<c_long, Vec<SeccompRule>>> {
    let mut rules = BTreeMap::new();
    for call in COMMON.iter().chain(OLD).filter(|call| concerns(call)) {
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
