//! Attaching to tracepoints.
//!
//! In: a loaded program. Out: it runs at each event.
//! The decision held here: if tracefs is not mounted, one thread of the agent mounts it in a mount
//! namespace that ends with the thread.

use std::io;
use std::path::Path;
use std::thread;

use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::{ProgramError, TracePoint};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::pin::Pins;
use super::socket::load_once;
use crate::diagnostic::error_chain;

/// Where tracefs is expected.
const TRACEFS: &str = "/sys/kernel/tracing";

/// Attaches to the tracepoint, on a thread that sees a tracefs.
pub(super) fn attach_to_tracepoint(
    ebpf: &mut Ebpf,
    mut pins: Option<&mut Pins>,
    program: &str,
    [category, name]: [&str; 2],
) -> Result<(), String> {
    let program_name = program;
    if let Some(pins) = pins.as_deref_mut()
        && pins.keep_tracepoint(ebpf, program, name)
    {
        return Ok(());
    }
    let attach = || -> Result<(), String> {
        let program: &mut TracePoint = ebpf
            .program_mut(program)
            .ok_or(ProgramError::UnexpectedProgramType)
            .and_then(TryInto::try_into)
            .map_err(|error| error_chain(&error))?;
        // Load before mounting: a kernel that is locked down for confidentiality refuses the
        // program, and Linux 6.12 there corrupts its own memory when a tracefs is unmounted.
        load_once(program.load()).map_err(|error| error_chain(&error))?;
        if !Path::new(TRACEFS).join("events").exists() {
            mount_tracefs().map_err(|error| {
                format!(
                    "tracefs is not mounted, and recon can't mount it: {error}; as root, type: mount -t tracefs tracefs {TRACEFS}"
                )
            })?;
        }
        let link = program.attach(category, name);
        let link = link.map_err(|error| error_chain(&error))?;
        if let Some(pins) = pins {
            let link = program.take_link(link);
            let link = link.map_err(|error| error_chain(&error))?;
            // Linux 5.15 and later.
            match FdLink::try_from(link) {
                Ok(link) => pins.pin_tracepoint(program_name, name, link)?,
                Err(_) => {
                    tracing::warn!(
                        "{name}: can't be pinned on this kernel, and ends with this process"
                    );
                    let link = program.attach(category, name);
                    link.map_err(|error| error_chain(&error))?;
                }
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let inside = thread::Builder::new().spawn_scoped(scope, attach);
        let joined = inside.map_err(|error| error.to_string())?.join();
        joined.unwrap_or_else(|_| Err("the thread that attaches panicked".to_owned()))
    })
}

/// Mounts tracefs for this thread only.
fn mount_tracefs() -> io::Result<()> {
    const NOTHING: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // Otherwise every process would see the mount.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, private, NOTHING)?;
    mount(
        Some("tracefs"),
        TRACEFS,
        Some("tracefs"),
        MsFlags::empty(),
        NOTHING,
    )?;
    Ok(())
}
