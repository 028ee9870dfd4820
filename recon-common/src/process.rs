//! What the kernel tells of this host's own processes: a program that was started, a connection that was asked for.
//!
//! In: nothing but shapes. Out: [`ExecEvent`] and [`PendingConnect`], the same for the kernel and the agent, and the sizes of what holds them.
//! The decision held here: who sends a packet is noted by socket when a process connects or sends, not guessed from the packet: a
//! retransmission runs under whatever task is current. Notes by socket are direct-mapped arrays, since socket cookies are consecutive: a
//! hash's insert and delete cost 0.3 µs a connection, as much as all the rest.

use crate::Address;

/// Bytes of a program's path that are told of; longer ones are cut.
pub const FILENAME_LENGTH: usize = 256;
/// `TASK_COMM_LEN` of the kernel's linux/sched.h.
pub const NAME_LENGTH: usize = 16;

/// A program that a process has started to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ExecEvent {
    /// Id of the process's cgroup: the inode number of its folder.
    pub cgroup: u64,
    /// Id of the process, in the kernel's own numbering.
    pub pid: u32,
    /// Real user id.
    pub user: u32,
    /// The task's name, up to its first 0.
    pub name: [u8; NAME_LENGTH],
    /// The path that was executed, as it was given, up to its first 0.
    pub filename: [u8; FILENAME_LENGTH],
}

/// A TCP connection that a process has asked for, and that the kernel has not begun yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PendingConnect {
    /// Cookie of the socket, 0 where nothing is asked for.
    pub cookie: u64,
    /// The address asked for.
    pub remote: Address,
    /// Id of the process that asks.
    pub pid: u32,
    /// The port asked for.
    pub port: u16,
    /// Always 0.
    pub reserved: u16,
}

/// Slots for connections in the making, a power of two. Each is there for microseconds; what fails at once stays for two polls, and
/// is lost when that many newer sockets connect meanwhile.
pub const PENDING_CONNECT_SLOTS: u32 = 1 << 14;
/// Bytes of the ring that tells of executed programs, a power of two: about 800 programs between two looks.
pub const EXEC_EVENT_BYTES: u32 = 1 << 18;
/// Slots for the senders of sockets, a power of two, 8 bytes each. One is lost when that many newer sockets have sent.
pub const SENDER_SLOTS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_have_no_padding() {
        assert_eq!(size_of::<ExecEvent>(), 16 + NAME_LENGTH + FILENAME_LENGTH);
        assert_eq!(size_of::<PendingConnect>(), size_of::<Address>() + 16);
    }
}
