//! How the agents of a host know of each other.
//!
//! In: what an agent uses: an interface, or a program that a filter of clsact runs there. Out: a
//! [`Claim`], which others see and which ends with this process; and what a listed address claims.
//! The decisions held here:
//! - A claim is a datagram socket with an abstract address, which the kernel frees when the process
//!   ends, however that happens. Abstract addresses belong to a network namespace, as the indexes
//!   of interfaces do.
//! - Any user may bind any abstract address. So an address ends in random bits, which nobody can
//!   take beforehand, and a claim is a listed socket of a user who may run agents. Whatever sockets
//!   a stranger has, they are no claims, and keep nobody from making one.
//! - A claim keeps nobody out: it says that an agent lives. That of a filter names its program's
//!   id, and is bound before the filter is there. So filters of agents that begin at once are told
//!   apart, and nothing has to be decided between them (`leftover.rs`).
//! - An older recon has bound `recon/WHAT/INDEX`, or that with a number behind it: it claims all
//!   programs of that name.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::unistd::{Uid, geteuid};

use super::service_user::is_service_user;
use super::{BARE_EGRESS, BARE_INGRESS, TC_EGRESS, TC_INGRESS};
use crate::seed::random_number;

/// The claim of an agent on an interface as such.
const AGENT: &str = "agent";
/// What claims name.
const NAMES: [&str; 5] = [AGENT, TC_INGRESS, TC_EGRESS, BARE_INGRESS, BARE_EGRESS];
/// How each address begins.
const PREFIX: &str = "recon/";
/// Hexadecimal digits of a random number.
const DIGITS: usize = 16;

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    name: &'static str,
    interface: u32,
    /// The id of the program of that name. `None` in the claim of an older recon on all of that
    /// name, and of an interface as such.
    program: Option<u32>,
}

impl Subject {
    /// The interface with that index: an agent watches it.
    pub(super) const fn interface(index: u32) -> Self {
        Self {
            name: AGENT,
            interface: index,
            program: None,
        }
    }

    /// The program with that name and id on the interface with that index.
    pub(super) const fn program(name: &'static str, id: u32, interface: u32) -> Self {
        Self {
            name,
            interface,
            program: Some(id),
        }
    }

    /// The same for all programs of that name.
    pub(super) const fn any_program(self) -> Self {
        Self {
            program: None,
            ..self
        }
    }
}

/// Who makes claims, as those who list them tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimant(u64);

impl Claimant {
    /// A new one.
    pub(super) fn random() -> Self {
        Self(random_number())
    }
}

/// What is claimed as long as this lives.
#[derive(Debug)]
pub(super) struct Claim(#[expect(dead_code, reason = "the kernel lists it")] UnixDatagram);

impl Claim {
    /// Claims `subject`.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(super) fn bind(subject: Subject, by: Claimant) -> io::Result<Self> {
        let address = SocketAddr::from_abstract_name(name(subject, by))?;
        UnixDatagram::bind_addr(&address).map(Self)
    }

    /// The same for a program, and a warning instead of an error.
    pub(super) fn bind_program(program: Subject, shown: &str) -> Option<Self> {
        let claim = Self::bind(program, Claimant::random());
        let warn = |error: &io::Error| {
            tracing::warn!(
                "{shown}: can't claim its program {}: {error}: another recon that starts on this host, and recon detach, may remove the filter, and this one attaches it again at its next look; let recon open more files (LimitNOFILE=)",
                program.name
            );
        };
        claim.inspect_err(warn).ok()
    }
}

/// An address that nobody has, nor can foresee.
fn name(subject: Subject, by: Claimant) -> String {
    let Subject {
        name,
        interface,
        program,
    } = subject;
    let program = program.map_or_else(String::new, |id| format!("{id}/"));
    let (Claimant(by), random) = (by, random_number());
    format!("{PREFIX}{name}/{interface}/{program}{by:0DIGITS$x}{random:0DIGITS$x}")
}

/// What the socket with that address claims, and who has bound it, if it is a claim.
pub(super) fn read_name(address: &[u8]) -> Option<(Subject, Option<Claimant>)> {
    let text = std::str::from_utf8(address).ok()?;
    let mut parts = text.strip_prefix(PREFIX)?.split('/');
    let name = parts.next()?;
    let name = NAMES.into_iter().find(|&known| known == name)?;
    let interface = parts.next()?.parse().ok()?;
    let (program, random) = match (parts.next(), parts.next()) {
        (Some(id), Some(random)) => (id.parse().ok(), Some(random)),
        (random, _) => (None, random),
    };
    let by = random.filter(|random| random.len() == 2 * DIGITS);
    let by = by.and_then(|random| u64::from_str_radix(random.get(..DIGITS)?, 16).ok());
    let subject = Subject {
        name,
        interface,
        program,
    };
    Some((subject, by.map(Claimant)))
}

/// Whether an agent may belong to that user: root, this process's user, or the service's. `None` if
/// the service's user can't be looked up.
pub(super) fn may_run_agents(user: u32) -> Option<bool> {
    let user = Uid::from_raw(user);
    match user.is_root() || user == geteuid() {
        true => Some(true),
        false => is_service_user(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_claimed_and_by_whom() {
        let by = Claimant(0xfeed);
        for subject in [
            Subject::interface(2),
            Subject::program(TC_INGRESS, 57, 2),
            Subject::program(BARE_EGRESS, u32::MAX, u32::MAX),
        ] {
            let [one, other] = [(); 2].map(|()| name(subject, by));
            assert_ne!(one, other);
            assert_eq!(read_name(one.as_bytes()), Some((subject, Some(by))));
            SocketAddr::from_abstract_name(one).expect("an address");
        }
    }

    /// `recon/WHAT/INDEX`, and the same with a number.
    #[test]
    fn names_of_an_older_recon_claim_all_programs() {
        for (name, expected) in [
            ("recon/agent/2", Some(Subject::interface(2))),
            ("recon/agent/2/1", Some(Subject::interface(2))),
            (
                "recon/recon_ingress/2",
                Some(Subject::program(TC_INGRESS, 1, 2).any_program()),
            ),
            (
                "recon/recon_ip_out/7/3",
                Some(Subject::program(BARE_EGRESS, 1, 7).any_program()),
            ),
            ("recon/other/2", None),
            ("recon/agent", None),
            ("recon/agent/", None),
            ("recon/agent/x", None),
            ("recon/agent/4294967296", None),
            ("recon", None),
            ("", None),
        ] {
            let read = read_name(name.as_bytes());
            assert_eq!(read, expected.map(|subject| (subject, None)), "{name}");
        }
        for odd in [
            &b"recon/agent/2\0"[..],
            b"recon/agent/\xff",
            b"\0recon/agent/2",
        ] {
            assert_eq!(read_name(odd), None, "{odd:?}");
        }
    }
}
