//! Which agent watches an interface.
//!
//! In: an interface. Out: a claim that ends with this process, and a warning if another agent has
//! one; [`clsact`] says how a claim is kept.

use std::os::unix::net::UnixDatagram;

use super::{Interface, clsact};

/// The claim of an agent on an interface.
pub(super) const AGENT: &str = "agent";

/// Claims the interface for this agent, and warns if another one has it.
pub(super) fn claim(interface: &Interface) -> Option<UnixDatagram> {
    match clsact::claim_interface(interface, AGENT) {
        Ok(Some(claim)) => Some(claim),
        Ok(None) => {
            log::warn!(
                "{}: another recon watches it: each alert about its packets is written twice, and its packets cost twice the time; end one of the two",
                interface.name
            );
            None
        }
        Err(error) => {
            log::debug!("{}: can't look for another recon: {error}", interface.name);
            None
        }
    }
}
