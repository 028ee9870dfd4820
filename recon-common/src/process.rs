//! What the kernel reports of this host's own processes: a program that starts, a connect that is
//! pending.
//!
//! In: nothing. Out: the layouts [`ExecEvent`] and [`PendingConnect`], the same for the kernel and
//! the agent, and the sizes of their maps.
//! The decisions held here:
//! - A process that executes another program keeps its pid. So a sender is an [`ImageId`], which
//!   says which of its programs sent.
//! - The sender of a packet is recorded by socket when a process connects or sends, not guessed
//!   from the packet: a retransmission runs under whatever task is current.
//! - Records by socket are direct-mapped arrays, since socket cookies are consecutive: a hash's
//!   insert and delete cost 0.3 µs per connection, as much as everything else.

use crate::Address;

/// Bytes of a program's path that are reported; longer paths are cut.
pub const FILENAME_LENGTH: usize = 256;
/// `TASK_COMM_LEN` of the kernel's linux/sched.h.
pub const NAME_LENGTH: usize = 16;

/// A program that a process runs, from one execution to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ImageId {
    /// The pid, in the initial pid namespace.
    pub pid: u32,
    /// How many programs were executed under that pid before and with this one, modulo 256.
    pub number: u8,
}

impl ImageId {
    /// Bits of a pid (`PID_MAX_LIMIT` of the kernel's linux/threads.h is 4,194,304).
    const PID_BITS: u32 = 22;

    /// Both in one word, which is the pid alone before the first execution.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.pid | (self.number as u32) << Self::PID_BITS
    }

    /// Reads such a word.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(word: u32) -> Self {
        Self {
            pid: word & ((1 << Self::PID_BITS) - 1),
            number: (word >> Self::PID_BITS) as u8,
        }
    }

    /// Where the number of a pid's latest program is counted: the entry of the array, and the byte
    /// in it.
    #[inline(always)]
    #[must_use]
    pub const fn place(pid: u32) -> (u32, usize) {
        let each = NUMBERS_EACH as u32;
        (pid / each, (pid % each) as usize)
    }
}

/// Pids whose programs are counted in one entry of an array, whose entries have 8 bytes or more.
pub const NUMBERS_EACH: usize = 8;

/// A program that a process starts to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ExecEvent {
    /// Id of the process's cgroup: the inode number of its folder.
    pub cgroup: u64,
    /// The process and the number of the program: a packed [`ImageId`].
    pub image: u32,
    /// Real user id.
    pub user: u32,
    /// The task's name, up to its first 0.
    pub name: [u8; NAME_LENGTH],
    /// The executed path as the caller gave it, up to its first 0.
    pub filename: [u8; FILENAME_LENGTH],
}

/// A TCP connection that a process has requested and that the kernel has not started yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PendingConnect {
    /// Cookie of the socket, 0 in an empty slot.
    pub cookie: u64,
    /// The requested address.
    pub remote: Address,
    /// The caller: a packed [`ImageId`].
    pub pid: u32,
    /// The requested port.
    pub port: u16,
    /// 0 as the kernel programs write it. The agent marks here what it has counted and not emptied.
    pub reserved: u16,
}

/// Slots for pending connects, a power of two. Most last microseconds. One that failed at once
/// stays for two polls, and is lost if that many newer sockets connect meanwhile.
pub const PENDING_CONNECT_SLOTS: u32 = 1 << 14;
/// Slots for accepted connections that have not ended, a power of two, 8 bytes each. The end of one
/// is lost when it outlives that many newer sockets.
pub const ACCEPTED_SLOTS: u32 = 1 << 17;
/// Bytes of the ring of started programs, a power of two: about 800 programs between two reads.
pub const EXEC_EVENT_BYTES: u32 = 1 << 18;
/// Slots for the senders of sockets, a power of two, 8 bytes each. One is lost when that many newer
/// sockets have sent.
pub const SENDER_SLOTS: u32 = 1 << 16;

/// Slots by pid, a power of two, 8 bytes each: for the latest process of each pid and who started
/// it, and as many for the namespaces in which processes have called. One is lost when that many
/// newer processes have started, or called in another namespace.
pub const PID_SLOTS: u32 = 1 << 16;

/// The slot of a pid.
#[inline(always)]
#[must_use]
pub const fn pid_slot(pid: u32) -> u32 {
    pid & (PID_SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_word() {
        for (pid, number) in [(0, 0), (1, 0), (1, 1), (4_194_303, 255)] {
            let image = ImageId { pid, number };
            assert_eq!(ImageId::unpack(image.pack()), image);
        }
        let first = ImageId { pid: 70, number: 0 };
        assert_eq!(first.pack(), 70);
        assert_eq!([ImageId::place(0), ImageId::place(17)], [(0, 0), (2, 1)]);
    }

    #[test]
    fn the_layouts_have_no_padding() {
        assert_eq!(size_of::<ExecEvent>(), 16 + NAME_LENGTH + FILENAME_LENGTH);
        assert_eq!(size_of::<PendingConnect>(), size_of::<Address>() + 16);
    }
}
