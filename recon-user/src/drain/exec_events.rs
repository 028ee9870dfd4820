//! Programs as they are started.
//!
//! In: the kernel's ring. Out: each [`ExecEvent`], once, as soon as it arrives: a scanner may be
//! gone a moment later. And which program of a process is its latest,
//! and who started it.

use std::fs;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use recon_common::process::{FILENAME_LENGTH, NAME_LENGTH, NUMBERS_EACH, PID_SLOTS, pid_slot};
use recon_common::{ExecEvent, ImageId};
use tokio::io::unix::AsyncFd;

use super::DrainError;
use super::error::map_error;
use super::shared_array::SharedArray;

const EXEC_EVENTS: &str = "EXEC_EVENTS";
const IMAGES: &str = "IMAGES";
const FORKS: &str = "FORKS";

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

/// The number of the latest program of each pid, as the kernel programs count them.
#[derive(Debug)]
pub(crate) struct ImageNumbers(Option<SharedArray<[u8; NUMBERS_EACH]>>);

impl ImageNumbers {
    /// Takes the array out of a loaded kernel object.
    ///
    /// # Errors
    /// [`DrainError::NoMap`] if the object is not the one this agent was built with.
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        let map = |data| SharedArray::map(data, Self::entries());
        super::map_shared(ebpf, IMAGES, map).map(|numbers| Self(Some(numbers)))
    }

    /// All numbers are 0: nothing counts them.
    pub(crate) const fn uncounted() -> Self {
        Self(None)
    }

    /// How many entries the array needs for all pids of this kernel.
    pub(crate) fn entries() -> u32 {
        /// `PID_MAX_LIMIT` of the kernel's linux/threads.h.
        const MOST_PIDS: u32 = 1 << 22;
        let text = fs::read_to_string("/proc/sys/kernel/pid_max").ok();
        let pids = text.and_then(|text| text.trim().parse().ok());
        let pids: u32 = pids.unwrap_or(MOST_PIDS).min(MOST_PIDS);
        ImageId::place(pids).0 + 1
    }

    /// The number of the program that the process runs now.
    pub(crate) fn number(&self, pid: u32) -> u8 {
        let (entry, byte) = ImageId::place(pid);
        let numbers = self.0.as_ref().and_then(|array| array.get(entry as usize));
        // SAFETY: the entry is within the mapping, and any bytes are numbers. The kernel may write
        // to them meanwhile.
        numbers.map_or(0, |numbers| unsafe { numbers.read_volatile() }[byte])
    }

    /// Numbers of the first pids, which a test sets.
    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        const ENTRIES: u32 = 1 << 10;
        Self(Some(SharedArray::zeroed(ENTRIES)))
    }

    /// Counts a program, as the kernel does.
    #[cfg(test)]
    pub(crate) fn count(&self, pid: u32) -> ImageId {
        let (entry, byte) = ImageId::place(pid);
        let array = self.0.as_ref().expect("an array");
        let numbers = array.value(entry as usize);
        // SAFETY: the entry is within the mapping, and nobody else writes to it.
        let numbers = unsafe { &mut *numbers.as_ptr() };
        numbers[byte] = numbers[byte].wrapping_add(1);
        ImageId {
            pid,
            number: numbers[byte],
        }
    }
}

/// Who started a process, as the kernel programs record it.
#[derive(Debug)]
pub(crate) struct Forks(Option<SharedArray<u64>>);

impl Forks {
    /// Takes the array out of a loaded kernel object.
    ///
    /// # Errors
    /// [`DrainError::NoMap`] if the object is not the one this agent was built with.
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        super::map_shared(ebpf, FORKS, |data| SharedArray::map(data, PID_SLOTS))
            .map(|forks| Self(Some(forks)))
    }

    /// Nothing records them.
    pub(crate) const fn unrecorded() -> Self {
        Self(None)
    }

    /// The process with that pid as it started, and the program that started it.
    pub(crate) fn find(&self, pid: u32) -> Option<(ImageId, ImageId)> {
        let slot = self.0.as_ref()?.get(pid_slot(pid) as usize)?;
        // SAFETY: the slot is within the mapping. The kernel may write to it meanwhile, and a read
        // of 8 bytes is whole.
        let fork = unsafe { slot.read_volatile() };
        let child = ImageId::unpack(fork as u32);
        let parent = ImageId::unpack((fork >> u32::BITS) as u32);
        (child.pid == pid && parent.pid != 0).then_some((child, parent))
    }

    /// Slots that a test fills.
    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        Self(Some(SharedArray::zeroed(PID_SLOTS)))
    }

    /// Records a start, as the kernel does.
    #[cfg(test)]
    pub(crate) fn record(&self, child: ImageId, parent: ImageId) {
        let slots = self.0.as_ref().expect("an array");
        let slot = slots.value(pid_slot(child.pid) as usize);
        let fork = u64::from(child.pack()) | u64::from(parent.pack()) << u32::BITS;
        // SAFETY: the slot is within the mapping, and nobody else writes to it.
        unsafe { slot.write_volatile(fork) };
    }
}

/// Parses the bytes that the kernel program has written.
fn parse_event(bytes: &[u8]) -> Option<ExecEvent> {
    let (cgroup, rest) = bytes.split_first_chunk()?;
    let (image, rest) = rest.split_first_chunk()?;
    let (user, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_first_chunk::<NAME_LENGTH>()?;
    let (filename, _) = rest.split_first_chunk::<FILENAME_LENGTH>()?;
    Some(ExecEvent {
        cgroup: u64::from_ne_bytes(*cgroup),
        image: u32::from_ne_bytes(*image),
        user: u32::from_ne_bytes(*user),
        name: *name,
        filename: *filename,
    })
}
