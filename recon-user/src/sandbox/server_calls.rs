//! The table of system calls that the thread makes which answers scrapes.
//!
//! In: nothing. Out: the rows, of which [`super::syscalls`] makes a filter on top of that of all
//! threads.
//!
//! The decision held here: the thread accepts clients, reads and writes. It opens no file and no
//! socket, connects to nobody, starts no thread and asks bpf(2) for nothing. Whoever takes it over
//! has the memory of the process, and reads and writes what is open in it.

use super::calls::By::Agent;
use super::calls::With::{Any, Masked};
use super::calls::{Call, NO_EXECUTION, call};

/// What every Linux has that recon runs on.
pub(super) const SERVER: &[Call] = &[
    // Clients.
    call(libc::SYS_accept4, Agent, Any),
    call(libc::SYS_read, Agent, Any),
    call(libc::SYS_readv, Agent, Any),
    call(libc::SYS_recvfrom, Agent, Any),
    call(libc::SYS_write, Agent, Any),
    call(libc::SYS_writev, Agent, Any),
    call(libc::SYS_sendto, Agent, Any),
    call(libc::SYS_sendmsg, Agent, Any),
    call(libc::SYS_getpeername, Agent, Any),
    call(libc::SYS_getsockopt, Agent, Any),
    call(libc::SYS_shutdown, Agent, Any),
    call(libc::SYS_close, Agent, Any),
    call(libc::SYS_epoll_ctl, Agent, Any),
    call(libc::SYS_epoll_pwait, Agent, Any),
    call(libc::SYS_epoll_pwait2, Agent, Any),
    // What it says of this process: /proc/self/statm is open.
    call(libc::SYS_pread64, Agent, Any),
    call(libc::SYS_getrusage, Agent, Any),
    // Memory.
    call(libc::SYS_mmap, Agent, Masked(2, NO_EXECUTION, 0)),
    call(libc::SYS_mprotect, Agent, Masked(2, NO_EXECUTION, 0)),
    call(libc::SYS_mremap, Agent, Any),
    call(libc::SYS_munmap, Agent, Any),
    call(libc::SYS_madvise, Agent, Any),
    call(libc::SYS_brk, Agent, Any),
    // Waiting, time, the end.
    call(libc::SYS_futex, Agent, Any),
    call(libc::SYS_sched_yield, Agent, Any),
    call(libc::SYS_clock_gettime, Agent, Any),
    call(libc::SYS_gettimeofday, Agent, Any),
    call(libc::SYS_getrandom, Agent, Any),
    call(libc::SYS_restart_syscall, Agent, Any),
    call(libc::SYS_exit, Agent, Any),
    call(libc::SYS_exit_group, Agent, Any),
    // Signals: the order to give up privileges, an abort.
    call(libc::SYS_rt_sigaction, Agent, Any),
    call(libc::SYS_rt_sigprocmask, Agent, Any),
    call(libc::SYS_rt_sigreturn, Agent, Any),
    call(libc::SYS_sigaltstack, Agent, Any),
    call(libc::SYS_getpid, Agent, Any),
    call(libc::SYS_gettid, Agent, Any),
];

/// What only older architectures still have.
#[cfg(target_arch = "x86_64")]
pub(super) const OLD_SERVER: &[Call] = &[call(libc::SYS_epoll_wait, Agent, Any)];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLD_SERVER: &[Call] = &[];
