//! What the running agent may still do, once it is attached.
//!
//! In: the files that it will open again. Out: a process whose threads hold only the capabilities
//! and system calls that polling needs; a [`Reduced`] that says what was reduced and what could not
//! be.
//!
//! The decisions held here:
//! - [`reduce`] runs last at the start. A layer that this kernel lacks costs that layer, never the
//!   start.
//! - A system call that is not listed fails with EPERM. It does not kill: a monitor that dies of a
//!   call that some library has begun to make is what an attacker wants.
//! - The kernel counts a process inside a Landlock domain as one that may not look into processes
//!   outside of it: not even at which program they run. So the threads that read other processes
//!   (`process/reader.rs`) stay outside of the domain. Their system calls let them open files for
//!   reading only.
//! - A sink that has a TCP peer needs a socket of another kind than all the rest of recon. Only its
//!   own thread may make one, and Landlock lets it connect to that port alone.
//! - The thread that answers scrapes hears strangers. It keeps no capability, and can open neither
//!   files nor sockets: what it needs is open by then.
//! - Loading programs and creating maps are not among the calls. Whoever takes over the agent can't
//!   give the kernel another program.

mod calls;
mod paths;
mod server_calls;
mod syscalls;
mod threads;

use std::fmt;
use std::os::fd::AsRawFd;

use crate::hook::Capabilities;
use crate::process::reader;
pub(crate) use paths::{Paths, landlock_version};
pub(crate) use syscalls::{SpecialThreads, is_available as has_seccomp};
use threads::{Failures, Order, on_each};

/// What was reduced, in each thread.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reduced {
    /// What is kept, if all others were dropped.
    capabilities: Option<Capabilities>,
    has_no_new_privileges: bool,
    has_filter: bool,
    /// The folders below which files may be written, if Landlock limits that.
    written: Option<Vec<String>>,
    /// Whom sinks connect to.
    peers: Vec<String>,
    /// Why a layer is missing.
    pub(crate) missing: Vec<String>,
}

/// Reduces all threads of this process to what a running agent needs.
pub(crate) fn reduce(paths: &Paths, special: &SpecialThreads) -> Reduced {
    let mut reduced = Reduced {
        peers: paths.peers(),
        ..Reduced::default()
    };
    // The calls that come later are prepared first: afterwards there is less that they may do.
    let filters = syscalls::Filters::compile(special);
    let domain = paths.ruleset();
    if let Err(error) = reader::start() {
        reduced.lacks("the thread that reads other processes", &error);
    }
    let readers = reader::threads();

    let keep = Capabilities::held().and(Capabilities::NEEDED);
    let inside = domain.as_ref().ok().map(AsRawFd::as_raw_fd);
    let mut failures = on_each(Order::Reduce(keep, None), |it| readers.contains(&it));
    let is_server = |thread| special.server == Some(thread);
    let listing = &special.listing;
    let is_other =
        |thread| !readers.contains(&thread) && !is_server(thread) && !listing.contains(&thread);
    failures |= on_each(Order::Reduce(keep, inside), is_other);
    failures |= on_each(Order::Reduce(Capabilities::NONE, inside), is_server);
    if !listing.is_empty() {
        reduced.lacks(
            "Landlock for the thread that looks for another recon, which has no capabilities",
            &"the kernel still lists the Unix sockets for it, and it ends after that",
        );
    }
    let written = domain.as_ref().ok().map(|_| paths.written());
    reduced.note_reduced(keep, written, failures);
    if let Err(error) = &domain {
        reduced.lacks("Landlock", error);
    }
    match filters.and_then(|filters| filters.install(&readers, special)) {
        Ok(failures) => {
            reduced.has_filter = true;
            reduced.note(failures);
        }
        Err(error) => reduced.lacks("the filter of system calls", &error),
    }
    reduced
}

impl Reduced {
    fn lacks(&mut self, layer: &str, error: &dyn fmt::Display) {
        self.missing.push(format!(
            "sandbox: without {layer}: {error}; recon goes on with the rest"
        ));
    }

    /// Notes what each thread has done of an order to keep these capabilities, and to write below
    /// these folders alone.
    fn note_reduced(
        &mut self,
        keep: Capabilities,
        written: Option<Vec<String>>,
        failures: Failures,
    ) {
        let has_done = |layer| !failures.contains(Failures::THREAD) && !failures.contains(layer);
        self.capabilities = has_done(Failures::CAPABILITIES).then_some(keep);
        self.has_no_new_privileges = has_done(Failures::NEW_PRIVILEGES);
        self.written = written.filter(|_| has_done(Failures::DOMAIN));
        self.note(failures);
    }

    fn note(&mut self, failures: Failures) {
        for (failure, layer) in failures.names() {
            // Without CAP_SETPCAP, nothing but executing a file could use the bounding set, and
            // that takes new privileges.
            if failure != Failures::BOUNDING || !self.has_no_new_privileges {
                self.lacks(layer, &"a thread could not be reduced");
            }
        }
    }
}

impl fmt::Display for Reduced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut privileges = Vec::new();
        privileges.extend(self.capabilities.map(|kept| format!("keeps {kept}")));
        if self.has_no_new_privileges {
            privileges.push("no new privileges".to_owned());
        }
        let mut layers = Vec::new();
        if !privileges.is_empty() {
            layers.push(privileges.join(", "));
        }
        if self.has_filter {
            let network = match self.peers.as_slice() {
                [] => "connects to a network".to_owned(),
                peers => format!(
                    "connects to a network, except for sinks to {}",
                    peers.join(", ")
                ),
            };
            layers.push(format!(
                "{} system calls, none that executes, loads a program or {network}",
                syscalls::count()
            ));
        }
        layers.extend(self.written.as_deref().map(|folders| match folders {
            [] => "writes no file".to_owned(),
            folders => format!("writes only below {}", folders.join(", ")),
        }));
        match layers.is_empty() {
            true => f.write_str("sandbox: nothing is reduced"),
            false => write!(f, "sandbox: {}", layers.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests;
