//! The clsact qdisc, under which TC programs attach before Linux 6.6.
//!
//! In: an interface. Out: the qdisc exists, and no program of an earlier agent is left under it; or
//! the [`Filter`] of an earlier agent, whose program can be replaced.
//! The decision held here: a filter outlives a killed agent and counts for nobody. A filter is such
//! a leftover if no other agent claims its program (`claim.rs`). The empty qdisc stays, since
//! others may use it.

use std::io;
use std::os::unix::net::UnixDatagram;

use aya::programs::tc::{TcError, qdisc_add_clsact, qdisc_detach_program};
use aya::programs::{ProgramError, TcAttachType};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};

use super::Interface;
use super::claim::claim_interface;
use super::rtnetlink::{Asks, request};

/// Creates the qdisc for the program of that name. Returns the claim on the program, to be held as
/// long as its filter; `None` if another agent has it.
pub(super) fn prepare_qdisc(
    interface: &Interface,
    program: &str,
    direction: TcAttachType,
) -> Result<Option<UnixDatagram>, ProgramError> {
    match qdisc_add_clsact(&interface.name) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let claim = claim_interface(interface, program)?;
    if claim.is_some() {
        remove_leftover(interface, program, direction);
    }
    Ok(claim)
}

/// Removes a leftover of a program that this agent does not attach itself: the earlier agent may
/// have had other hooks, or other interfaces.
pub(super) fn clear_leftover(interface: &Interface, program: &str, direction: TcAttachType) {
    if take_filter(interface, program, direction).is_some() {
        remove_leftover(interface, program, direction);
    }
}

/// A filter of an earlier agent.
#[derive(Debug)]
pub(super) struct Filter {
    /// The interface's name.
    pub(super) interface: String,
    pub(super) direction: TcAttachType,
    pub(super) priority: u16,
    pub(super) handle: u32,
}

/// Finds the filter that runs an earlier program of that name on the interface, and claims it as
/// long as the socket lives. `None` if there is none, or if another agent has it.
pub(super) fn take_filter(
    interface: &Interface,
    program: &str,
    direction: TcAttachType,
) -> Option<(Filter, UnixDatagram)> {
    let mut found = None;
    let listed = list_filters(interface, direction, |filter| {
        if has_option(filter, &TcFilterBpfOption::ProgName(program.to_owned())) {
            found = Some((filter.header.info, filter.header.handle));
        }
    });
    let (info, handle) = listed.ok().and(found)?;
    let claim = claim_interface(interface, program).ok().flatten()?;
    let filter = Filter {
        interface: interface.name.clone(),
        direction,
        // The lower half is the protocol.
        priority: (info >> u16::BITS) as u16,
        handle: handle.into(),
    };
    Some((filter, claim))
}

/// What became of the filter of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is removed.
    Removed,
    /// There was none.
    Missing,
    /// An agent that runs has it, or nobody can tell.
    Claimed,
}

/// Removes the filter that runs a program of that name, unless an agent runs that has it.
///
/// # Errors
/// What the kernel says. There may be a filter then.
pub(super) fn remove_filter(
    interface: &Interface,
    program: &str,
    direction: TcAttachType,
) -> Result<Removal, TcError> {
    let Ok(Some(_claim)) = claim_interface(interface, program) else {
        return Ok(Removal::Claimed);
    };
    match qdisc_detach_program(&interface.name, direction, program) {
        Ok(()) => Ok(Removal::Removed),
        Err(error) if says_missing(&error) => Ok(Removal::Missing),
        Err(error) => Err(error),
    }
}

/// Whether there is no such filter, no qdisc that could have one, or no interface any more.
fn says_missing(error: &TcError) -> bool {
    let code = match error {
        TcError::IoError(error) if error.kind() == io::ErrorKind::NotFound => return true,
        TcError::IoError(error) => error.raw_os_error(),
        TcError::NetlinkError(error) => error.raw_os_error(),
        _ => None,
    };
    matches!(code, Some(libc::ENOENT | libc::EINVAL | libc::ENODEV))
}

/// The ids of the programs that filters run, in their order, and 0 for a filter of another kind.
pub(super) fn list_programs(
    interface: &Interface,
    direction: TcAttachType,
) -> io::Result<Vec<u32>> {
    let mut programs = Vec::new();
    list_filters(interface, direction, |filter| {
        // The kernel lists each priority, too.
        if u32::from(filter.header.handle) != 0 {
            programs.push(program_id(filter).unwrap_or(0));
        }
    })?;
    Ok(programs)
}

/// The priority that runs before those of all filters, if an inbound program is to have one.
/// `None` without filters: the kernel's choice leaves room for what others put in front.
pub(super) fn front_priority(interface: &Interface, direction: TcAttachType) -> Option<u16> {
    if direction != TcAttachType::Ingress {
        return None;
    }
    let mut lowest: Option<u16> = None;
    let listed = list_filters(interface, direction, |filter| {
        let priority = (filter.header.info >> u16::BITS) as u16;
        lowest = Some(lowest.map_or(priority, |lowest| lowest.min(priority)));
    });
    // Of two filters with one priority, the later one runs first.
    listed
        .ok()
        .and(lowest)
        .map(|lowest| lowest.saturating_sub(1).max(1))
}

fn program_id(filter: &TcMessage) -> Option<u32> {
    let mut attributes = filter.attributes.iter();
    attributes.find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.iter().find_map(|option| match option {
            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
            _ => None,
        }),
        _ => None,
    })
}

fn has_option(filter: &TcMessage, option: &TcFilterBpfOption) -> bool {
    let has = |attribute: &TcAttribute| match attribute {
        TcAttribute::Options(options) => options.contains(&TcOption::Bpf(option.clone())),
        _ => false,
    };
    filter.attributes.iter().any(has)
}

/// Gives each filter of that direction. There are none without the qdisc.
fn list_filters(
    interface: &Interface,
    direction: TcAttachType,
    mut filter: impl FnMut(&TcMessage),
) -> io::Result<()> {
    let minor = match direction {
        TcAttachType::Egress => TcHandle::MIN_EGRESS,
        _ => TcHandle::MIN_INGRESS,
    };
    let mut of = TcMessage::default();
    // The kernel's indices are positive.
    of.header.index = interface.index.cast_signed();
    of.header.parent = TcHandle {
        minor,
        ..TcHandle::CLSACT
    };
    let dumped = request(
        RouteNetlinkMessage::GetTrafficFilter(of),
        Asks::All,
        |reply| {
            if let RouteNetlinkMessage::NewTrafficFilter(found) = reply {
                filter(&found);
            }
        },
    );
    match dumped {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        dumped => dumped,
    }
}

fn remove_leftover(interface: &Interface, program: &str, direction: TcAttachType) {
    match qdisc_detach_program(&interface.name, direction, program) {
        Ok(()) => tracing::info!(
            "{}: removed a program of an earlier agent that did not end cleanly",
            interface.name
        ),
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(
            "{}: can't remove a program of an earlier agent: {error}",
            interface.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_refuses_is_not_missing() {
        for (code, expected) in [
            (libc::ENOENT, true),
            (libc::EINVAL, true),
            (libc::ENODEV, true),
            (libc::EPERM, false),
            (libc::ENOBUFS, false),
            (libc::EBUSY, false),
        ] {
            let error = TcError::IoError(io::Error::from_raw_os_error(code));
            assert_eq!(says_missing(&error), expected, "{error}");
        }
        let none = TcError::IoError(io::Error::new(io::ErrorKind::NotFound, "recon_ingress"));
        assert!(says_missing(&none));
    }
}
