//! Programs that were started.
//!
//! In: the kernel's ring. Out: each [`Executed`], once, as soon as it is there: a scanner may be gone a moment later.

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use recon_common::Executed;
use recon_common::process::{FILENAME_LENGTH, NAME_LENGTH};
use tokio::io::unix::AsyncFd;

use super::{DrainError, map_error};

const EXECUTED: &str = "EXECUTED";

/// Reads the ring of started programs.
pub struct Executions(AsyncFd<RingBuf<MapData>>);

impl Executions {
    /// Takes the ring out of a loaded kernel object. To be called inside a runtime.
    ///
    /// # Errors
    /// [`DrainError::NoMap`] if the object is not the one this agent was built with; [`DrainError::Ring`] if it can't be waited for.
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        let map = ebpf
            .take_map(EXECUTED)
            .ok_or(DrainError::NoMap { name: EXECUTED })?;
        let ring = map.try_into().map_err(map_error(EXECUTED))?;
        // SAFETY: the ring owns its descriptor until it is dropped, and never changes it.
        let ring = unsafe { AsyncFd::register(ring) };
        ring.map(Self)
            .map_err(|error| DrainError::Ring(error.into()))
    }

    /// Waits until there is one.
    pub async fn wait(&mut self) {
        match self.0.readable_mut().await {
            Ok(mut ready) => ready.clear_ready(),
            // The runtime ends: each poll looks here as well.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives all that are there to `program`.
    pub fn drain(&mut self, mut program: impl FnMut(&Executed)) {
        let ring = self.0.get_mut();
        while let Some(entry) = ring.next() {
            // One of another size is of another build's object, which `Drain` has refused.
            if let Some(executed) = read(&entry) {
                program(&executed);
            }
        }
    }
}

/// The bytes as the kernel program has written them.
fn read(bytes: &[u8]) -> Option<Executed> {
    let (cgroup, rest) = bytes.split_first_chunk()?;
    let (process, rest) = rest.split_first_chunk()?;
    let (user, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_first_chunk::<NAME_LENGTH>()?;
    let (filename, _) = rest.split_first_chunk::<FILENAME_LENGTH>()?;
    Some(Executed {
        cgroup: u64::from_ne_bytes(*cgroup),
        process: u32::from_ne_bytes(*process),
        user: u32::from_ne_bytes(*user),
        name: *name,
        filename: *filename,
    })
}
