//! In which network namespace a process calls.
//!
//! In: the records of the socket hooks, by pid. Out: the namespace in which a program called last,
//! if that is not the agent's.

use aya::Ebpf;
use recon_common::process::{PID_SLOTS, pid_slot};
use recon_common::{ImageId, NetnsId};

use super::DrainError;
use super::shared_array::SharedArray;

const CALLERS: &str = "CALLERS";

/// The namespaces of callers, as the kernel programs record them.
#[derive(Debug)]
pub(crate) struct Callers(SharedArray<u64>);

impl Callers {
    /// Takes the array out of a loaded kernel object.
    ///
    /// # Errors
    /// [`DrainError::NoMap`] if the object is not the one this agent was built with.
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, DrainError> {
        super::map_shared(ebpf, CALLERS, |data| SharedArray::map(data, PID_SLOTS)).map(Self)
    }

    /// No process has called.
    #[cfg(test)]
    pub(crate) fn unrecorded() -> Self {
        Self(SharedArray::zeroed(PID_SLOTS))
    }

    /// The namespace in which that program called last.
    pub(crate) fn find(&self, image: ImageId) -> Option<NetnsId> {
        let slot = self.0.get(pid_slot(image.pid) as usize)?;
        // SAFETY: the slot is within the mapping. The kernel may write to it meanwhile, and a read
        // of 8 bytes is whole.
        let call = unsafe { slot.read_volatile() };
        let netns = NetnsId::read((call >> u32::BITS) as u32);
        netns.filter(|_| call as u32 == image.pack())
    }

    /// Slots that a test fills.
    #[cfg(test)]
    pub(crate) fn of_test(image: ImageId, netns: u32) -> Self {
        let slots = SharedArray::zeroed(PID_SLOTS);
        let call = u64::from(image.pack()) | u64::from(netns) << u32::BITS;
        // SAFETY: the slot is within the mapping, and nobody else writes to it.
        unsafe { slots.value(pid_slot(image.pid) as usize).write(call) };
        Self(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_not_the_one_that_its_pid_ran_before() {
        let image = ImageId { pid: 7, number: 2 };
        let callers = Callers::of_test(image, 40);
        let found = |image| callers.find(image).and_then(NetnsId::cookie);
        assert_eq!(found(image), Some(40));
        assert_eq!(found(ImageId { number: 3, ..image }), None);
        assert_eq!(found(ImageId { pid: 8, number: 2 }), None);
        assert!(Callers::unrecorded().find(image).is_none());
    }
}
