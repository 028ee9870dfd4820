//! Programs as they are started.
//!
//! In: the kernel's ring. Out: each [`ExecEvent`], once, as soon as it arrives: a scanner may be
//! gone a moment later.

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use recon_common::ExecEvent;
use recon_common::process::{FILENAME_LENGTH, NAME_LENGTH};
use tokio::io::unix::AsyncFd;

use super::DrainError;
use super::error::map_error;

const EXEC_EVENTS: &str = "EXEC_EVENTS";

/// Reads the ring of started programs.
pub(crate) struct ExecEvents(AsyncFd<RingBuf<MapData>>);

impl ExecEvents {
    /// Takes the ring out of a loaded kernel object. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`DrainError::NoMap`] if the object is not the one this agent was built with;
    /// [`DrainError::Ring`] if it can't be waited for.
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        let map = ebpf
            .take_map(EXEC_EVENTS)
            .ok_or(DrainError::NoMap { name: EXEC_EVENTS })?;
        let ring = map.try_into().map_err(map_error(EXEC_EVENTS))?;
        // SAFETY: the ring owns its descriptor until it is dropped, and never changes it.
        let ring = unsafe { AsyncFd::register(ring) };
        ring.map(Self)
            .map_err(|error| DrainError::Ring(error.into()))
    }

    /// Waits for an event.
    pub(crate) async fn wait(&mut self) {
        match self.0.readable_mut().await {
            Ok(mut ready) => ready.clear_ready(),
            // The runtime ends. Each poll reads the ring as well.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives all events in the ring to `program`.
    pub(crate) fn drain(&mut self, mut program: impl FnMut(&ExecEvent)) {
        let ring = self.0.get_mut();
        while let Some(entry) = ring.next() {
            // An event of another size comes from another build's object, which `Drain` has
            // refused.
            if let Some(executed) = parse_event(&entry) {
                program(&executed);
            }
        }
    }
}

/// Parses the bytes that the kernel program has written.
fn parse_event(bytes: &[u8]) -> Option<ExecEvent> {
    let (cgroup, rest) = bytes.split_first_chunk()?;
    let (pid, rest) = rest.split_first_chunk()?;
    let (user, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_first_chunk::<NAME_LENGTH>()?;
    let (filename, _) = rest.split_first_chunk::<FILENAME_LENGTH>()?;
    Some(ExecEvent {
        cgroup: u64::from_ne_bytes(*cgroup),
        pid: u32::from_ne_bytes(*pid),
        user: u32::from_ne_bytes(*user),
        name: *name,
        filename: *filename,
    })
}
