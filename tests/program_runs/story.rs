//! Stories: frames one after the other, each with what it counts as.
//!
//! In: stories. Out: nothing, or the first step at which the host build or the kernel differs. The
//! decision held here: a story runs once with each of the two inbound programs, since they share
//! what they remember.

use anyhow::Result;
use recon_common::Direction;
use recon_common::protocol::{ETHERNET_HEADER, IPV4_HEADER};
use recon_tests::frame::Path;

use crate::Counted;
use crate::kernel::{INBOUND, Kernel, OUTBOUND};
use crate::model::Model;
use crate::outbound::{LOCAL_V4, LOCAL_V6, REMOTE_V4, REMOTE_V6};

/// Who sends a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum By {
    /// A remote.
    Remote,
    /// This host.
    Host,
    /// A guest, whose packets this host forwards.
    Guest,
}

/// A frame, and what it counts as after the previous ones.
pub(crate) type Step = (By, Vec<u8>, Counted);
/// A name, and steps.
pub(crate) type Story = (&'static str, Vec<Step>);

pub(crate) const PORT: u16 = 8080;
pub(crate) const CLIENT: u16 = 40_000;
/// Where the header after IPv4 starts.
pub(crate) const TRANSPORT: usize = ETHERNET_HEADER + IPV4_HEADER;

pub(crate) fn inward() -> Path {
    Path::new(REMOTE_V4, LOCAL_V4)
}

pub(crate) fn outward() -> Path {
    Path::new(LOCAL_V4, REMOTE_V4)
}

pub(crate) fn inward_v6() -> Path {
    Path::new(REMOTE_V6, LOCAL_V6)
}

pub(crate) fn outward_v6() -> Path {
    Path::new(LOCAL_V6, REMOTE_V6)
}

/// Runs each story through the host build and through the kernel's programs.
pub(crate) fn check_stories(stories: Vec<Story>) -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    for (name, story) in stories {
        for inbound in INBOUND {
            let model = Model::default();
            for (step, (by, frame, counted)) in story.iter().enumerate() {
                let (direction, program) = match by {
                    By::Remote => (Direction::In, inbound),
                    By::Host | By::Guest => (Direction::Out, OUTBOUND),
                };
                model.is_from_guest.set(*by == By::Guest);
                assert_eq!(
                    model.run(direction, frame).counted,
                    *counted,
                    "{name}, step {step}: the host build"
                );
                let outcome = kernel.run_program(program, frame, &context(*by))?;
                assert_eq!(
                    outcome.unwrap_verdict().counted,
                    *counted,
                    "{name}, step {step}: {program}"
                );
            }
            kernel.forget_flows()?;
        }
    }
    Ok(())
}

/// The `struct __sk_buff` of such a frame; empty for the kernel's own.
fn context(by: By) -> Vec<u8> {
    /// Where it has the interface that the packet came in on, before the one it is on.
    const INGRESS: usize = 36;
    const LOOPBACK: u32 = 1;
    match by {
        By::Remote | By::Host => Vec::new(),
        By::Guest => [&[0; INGRESS][..], &LOOPBACK.to_ne_bytes()].concat(),
    }
}
