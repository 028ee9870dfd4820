//! Which agent has an interface, or a program on it.
//!
//! In: an interface and a name. Out: a claim that ends with this process, or the news that another
//! agent has it.
//! The decisions held here:
//! - A claim is the address of a socket, which the kernel frees when the process ends, however that
//!   happens.
//! - Any user may bind any abstract address. So an address that a user holds who can't run an agent
//!   claims nothing: the next one is taken. Who holds one is asked of the kernel; where it does not
//!   say, the holder is taken for an agent.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::unistd::{Uid, User, geteuid};

use super::unix_diag::find_owner;
use super::{Interface, SERVICE_USER};

/// The claim of an agent on an interface.
pub(super) const AGENT: &str = "agent";
/// How many addresses of one claim are tried. Each that a stranger holds costs a list of all local
/// sockets.
const ADDRESSES: usize = 4;

/// Claims the interface for this agent, and warns if another one has it.
pub(super) fn claim(interface: &Interface) -> Option<UnixDatagram> {
    match claim_interface(interface, AGENT) {
        Ok(Some(claim)) => Some(claim),
        Ok(None) => {
            tracing::warn!(
                "{}: another recon watches it: each alert about its packets is written twice, and its packets cost twice the time; end one of the two",
                interface.name
            );
            None
        }
        Err(error) => {
            tracing::debug!("{}: can't look for another recon: {error}", interface.name);
            None
        }
    }
}

/// Claims `what` on the interface for this process as long as the socket lives; `None` if another
/// agent has it.
pub(super) fn claim_interface(
    interface: &Interface,
    what: &str,
) -> io::Result<Option<UnixDatagram>> {
    for number in 0..ADDRESSES {
        // Abstract addresses belong to a network namespace, as interface indices do.
        let name = address(interface, what, number);
        match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?) {
            Ok(socket) => return Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
        match find_owner(name.as_bytes()) {
            Ok(Some(user)) if !may_run_agents(user) => tracing::warn!(
                "{}: user {user} holds the address {name} of recon and is no agent: another one is used",
                interface.name
            ),
            Ok(_) => return Ok(None),
            Err(error) => {
                tracing::debug!("{}: can't see who holds {name}: {error}", interface.name);
                return Ok(None);
            }
        }
    }
    // A stranger holds them all. No other agent can be found then, and none is likely.
    UnixDatagram::unbound().map(Some)
}

/// The name of the address that is tried as that one.
fn address(interface: &Interface, what: &str, number: usize) -> String {
    let first = format!("recon/{what}/{}", interface.index);
    match number {
        0 => first,
        number => format!("{first}/{number}"),
    }
}

/// Whether an agent may belong to that user: root, this process's user, or the service's.
fn may_run_agents(user: u32) -> bool {
    let user = Uid::from_raw(user);
    let is_service =
        || matches!(User::from_uid(user), Ok(Some(found)) if found.name == SERVICE_USER);
    user.is_root() || user == geteuid() || is_service()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::setfsuid;

    use super::*;
    use crate::hook::list_interfaces;

    fn bind(interface: &Interface, number: usize) -> UnixDatagram {
        let name = address(interface, AGENT, number);
        let address = SocketAddr::from_abstract_name(name).expect("an address");
        UnixDatagram::bind_addr(&address).expect("a socket")
    }

    #[test]
    fn a_stranger_claims_nothing() {
        const NOBODY: Uid = Uid::from_raw(65_534);
        if !geteuid().is_root() {
            return;
        }
        let work = || {
            // Both of this thread only.
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            let bind_all = |interface: &Interface, numbers: std::ops::Range<usize>| {
                setfsuid(NOBODY);
                let held: Vec<_> = numbers.map(|number| bind(interface, number)).collect();
                setfsuid(Uid::from_raw(0));
                held
            };
            let interfaces = list_interfaces().expect("interfaces");
            let loopback = interfaces.first().expect("the loopback interface");
            let claim = || claim_interface(loopback, AGENT).expect("an answer");
            for strangers in 0..ADDRESSES {
                let _held = bind_all(loopback, 0..strangers);
                let own = claim();
                assert!(own.is_some(), "{strangers} strangers");
                assert!(claim().is_none(), "an agent after {strangers} strangers");
            }
            let _held = bind_all(loopback, 0..ADDRESSES);
            assert!(claim().is_some(), "strangers alone");
        };
        thread::spawn(work).join().expect("the work");
    }
}
