//! The clsact qdisc, under which TC programs attach before Linux 6.6.
//!
//! In: an interface. Out: the qdisc exists; the filters under it, and the end of one.
//! The decision held here: the empty qdisc stays, since others may use it.

use std::fmt;
use std::io;

use aya::programs::links::Link as _;
use aya::programs::tc::{SchedClassifierLink, TcError, qdisc_add_clsact};
use aya::programs::{ProgramError, TcAttachType};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};

use super::Interface;
use super::attach::tc_name;
use super::claim::Subject;
use super::rtnetlink::{Asks, request};

/// Creates the qdisc, unless it is there.
pub(super) fn prepare_qdisc(interface: &Interface) -> Result<(), ProgramError> {
    match qdisc_add_clsact(&interface.name) {
        Ok(()) | Err(TcError::AlreadyAttached) => Ok(()),
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A filter with the name of a program of recon's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// The interface's name and index.
    pub(super) interface: String,
    pub(super) index: u32,
    pub(super) direction: TcAttachType,
    pub(super) priority: u16,
    pub(super) handle: u32,
    /// The name and the id of the program that it runs.
    pub(super) name: &'static str,
    pub(super) program: u32,
}

impl Filter {
    /// Whether it is there.
    pub(super) fn is_on(&self, interface: &Interface, direction: TcAttachType) -> bool {
        self.index == interface.index && self.direction == direction
    }

    /// What its agent claims.
    pub(super) const fn subject(&self) -> Subject {
        Subject::program(self.name, self.program, self.index)
    }

    /// What stands for it in the kernel.
    pub(super) fn link(&self) -> io::Result<SchedClassifierLink> {
        let handle = self.handle.into();
        SchedClassifierLink::attached(&self.interface, self.direction, self.priority, handle, None)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, program, .. } = self;
        write!(f, "the filter {name} (program id {program})")
    }
}

/// The filters that run a program of that interface's name for that direction, whoever has attached
/// them.
///
/// # Errors
/// The kernel does not list filters.
pub(super) fn list_own_names(
    interface: &Interface,
    direction: TcAttachType,
) -> io::Result<Vec<Filter>> {
    let name = tc_name(interface, direction);
    let named = TcFilterBpfOption::ProgName(name.to_owned());
    let mut filters = Vec::new();
    list_filters(interface, direction, |found| {
        if let Some(program) = program_id(found).filter(|_| has_option(found, &named)) {
            filters.push(Filter {
                interface: interface.name.clone(),
                index: interface.index,
                direction,
                // The lower half is the protocol.
                priority: (found.header.info >> u16::BITS) as u16,
                handle: found.header.handle.into(),
                name,
                program,
            });
        }
    })?;
    Ok(filters)
}

/// What became of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is removed.
    Removed,
    /// It was not there any more.
    Missing,
}

/// Removes the filter, if it still runs that program: another one may have its place by now.
///
/// # Errors
/// What the kernel says. The filter may be there then.
pub(super) fn remove_filter(filter: &Filter) -> Result<Removal, ProgramError> {
    let interface = Interface {
        name: filter.interface.clone(),
        index: filter.index,
        ..Interface::default()
    };
    let mut is_there = false;
    list_filters(&interface, filter.direction, |found| {
        let priority = (found.header.info >> u16::BITS) as u16;
        is_there |= priority == filter.priority
            && u32::from(found.header.handle) == filter.handle
            && program_id(found) == Some(filter.program);
    })
    .map_err(ProgramError::IOError)?;
    if !is_there {
        return Ok(Removal::Missing);
    }
    let link = filter.link().map_err(ProgramError::IOError);
    match link.and_then(SchedClassifierLink::detach) {
        Ok(()) => Ok(Removal::Removed),
        Err(error) if says_missing(&error) => Ok(Removal::Missing),
        Err(error) => Err(error),
    }
}

/// Whether there is no such filter, no qdisc that could have one, or no interface any more.
fn says_missing(error: &ProgramError) -> bool {
    let code = match error {
        ProgramError::IOError(error) => error.raw_os_error(),
        ProgramError::NetlinkError(error) => error.raw_os_error(),
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
            let error = ProgramError::IOError(io::Error::from_raw_os_error(code));
            assert_eq!(says_missing(&error), expected, "{error}");
        }
    }
}
