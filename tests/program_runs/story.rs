//! Stories: frames one after the other, each with what it counts as.
//!
//! In: stories. Out: nothing, or the first step at which the host build or the kernel differs. The
//! decision held here: a story runs once with each of the two inbound programs, since they share
//! what they remember.

use std::io;

use anyhow::Result;
use recon_common::Direction;
use recon_common::protocol::{ETHERNET_HEADER, IPV4_HEADER};
use recon_tests::frame::Path;
use recon_tests::kernel::{Linux, TEST_RUN_INGRESS};
use recon_tests::report;

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

/// Runs each story through the host build and through the kernel's programs, whose test runs know
/// no guest on an old kernel.
pub(crate) fn check_stories(stories: Vec<Story>) -> Result<()> {
    let mut kernel = Kernel::in_own_namespace()?;
    let has_guests = takes_guests(&mut kernel)?;
    for (name, story) in stories {
        let is_for_kernel = has_guests || story.iter().all(|(by, ..)| *by != By::Guest);
        if !is_for_kernel {
            let reason =
                "only in the host build: this kernel's test runs take no ingress interface";
            report::skip(name, reason);
        }
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
                if !is_for_kernel {
                    continue;
                }
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

/// Whether this kernel's test runs take a guest's frame. An old one refuses the interface that it
/// came in on.
fn takes_guests(kernel: &mut Kernel) -> Result<bool> {
    const SHORTEST_FRAME: [u8; 64] = [0; 64];
    let Err(error) = kernel.run_program(OUTBOUND, &SHORTEST_FRAME, &context(By::Guest)) else {
        return Ok(true);
    };
    let is_refused = error.chain().any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.and_then(io::Error::raw_os_error) == Some(libc::EINVAL)
    });
    match is_refused && Linux::running()? < TEST_RUN_INGRESS {
        true => Ok(false),
        false => Err(error),
    }
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
