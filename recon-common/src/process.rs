//! What the kernel reports of this host's own processes: a program that starts, a connect that is
//! pending.
//!
//! In: nothing. Out: the layouts [`ExecEvent`] and [`PendingConnect`], the same for the kernel and
//! the agent, and the sizes of their maps.
//! The decision held here: the sender of a packet is recorded by socket when a process connects or
//! sends, not guessed from the packet: a retransmission runs under whatever task is current.
//! Records by socket are direct-mapped arrays, since socket cookies are consecutive: a hash's
//! insert and delete cost 0.3 µs per connection, as much as everything else.

use crate::Address;

/// Bytes of a program's path that are reported; longer paths are cut.
pub const FILENAME_LENGTH: usize = 256;
/// `TASK_COMM_LEN` of the kernel's linux/sched.h.
pub const NAME_LENGTH: usize = 16;

/// A program that a process starts to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ExecEvent {
    /// Id of the process's cgroup: the inode number of its folder.
    pub cgroup: u64,
    /// The pid, in the initial pid namespace.
    pub pid: u32,
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
    /// The pid of the caller.
    pub pid: u32,
    /// The requested port.
    pub port: u16,
    /// Always 0.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_have_no_padding() {
        assert_eq!(size_of::<ExecEvent>(), 16 + NAME_LENGTH + FILENAME_LENGTH);
        assert_eq!(size_of::<PendingConnect>(), size_of::<Address>() + 16);
    }
}
