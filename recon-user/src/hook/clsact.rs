//! The clsact qdisc, under which TC programs attach before Linux 6.6.
//!
//! In: an interface. Out: the qdisc exists, and no program of an earlier agent is left under it.
//! The decision held here: a filter outlives a killed agent and counts for nobody. A filter is such
//! a leftover if no other agent holds the interface's name in this network namespace: a socket
//! address that ends with the process. The empty qdisc stays, since others may use it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use aya::programs::tc::{TcError, qdisc_add_clsact, qdisc_detach_program};
use aya::programs::{ProgramError, TcAttachType};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};

use super::Interface;
use super::rtnetlink::{Asks, request};

/// Creates the qdisc for the program of that name, and claims the program as long as this process
/// lives.
pub(super) fn prepare_qdisc(
    interface: &Interface,
    program: &str,
    direction: TcAttachType,
) -> Result<(), ProgramError> {
    match qdisc_add_clsact(&interface.name) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(claim) = claim_interface(interface, program)? {
        remove_leftover(interface, program, direction);
        // Held until the process ends, in whatever way.
        std::mem::forget(claim);
    }
    Ok(())
}

/// Removes a leftover of a program that this agent may not attach itself: the earlier agent may
/// have had other hooks.
pub(super) fn clear_leftover(
    interface: &Interface,
    program: &str,
    direction: TcAttachType,
) -> Result<(), ProgramError> {
    let claim = claim_interface(interface, program)?;
    if claim.is_some() {
        remove_leftover(interface, program, direction);
    }
    Ok(())
}

/// Whether a filter runs the program with that id. It goes with its qdisc.
pub(super) fn has_filter(
    interface: &Interface,
    direction: TcAttachType,
    program: u32,
) -> io::Result<bool> {
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
    let runs = |attribute: &TcAttribute| match attribute {
        TcAttribute::Options(options) => {
            let id = TcOption::Bpf(TcFilterBpfOption::ProgId(program));
            options.contains(&id)
        }
        _ => false,
    };
    let mut is_there = false;
    let dumped = request(
        RouteNetlinkMessage::GetTrafficFilter(of),
        Asks::All,
        |reply| {
            if let RouteNetlinkMessage::NewTrafficFilter(filter) = reply {
                is_there |= filter.attributes.iter().any(runs);
            }
        },
    );
    match dumped {
        // The qdisc is gone.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        dumped => dumped.map(|()| is_there),
    }
}

fn remove_leftover(interface: &Interface, program: &str, direction: TcAttachType) {
    match qdisc_detach_program(&interface.name, direction, program) {
        Ok(()) => log::info!(
            "{}: removed a program of an earlier agent that did not end cleanly",
            interface.name
        ),
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => log::warn!(
            "{}: can't remove a program of an earlier agent: {error}",
            interface.name
        ),
    }
}

/// Claims the interface for this process as long as the socket lives; `None` if another agent has
/// it.
pub(super) fn claim_interface(
    interface: &Interface,
    program: &str,
) -> io::Result<Option<UnixDatagram>> {
    // Abstract addresses belong to a network namespace, as interface indices do.
    let name = format!("recon/{program}/{}", interface.index);
    match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error),
    }
}
