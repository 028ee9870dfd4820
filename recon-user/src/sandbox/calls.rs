//! The table of system calls that a running agent makes.
//!
//! Out: the rows, of which [`super::syscalls`] makes a filter for seccomp(2).
//!
//! The decisions held here: a row is the call, which threads make it, and with which arguments. A
//! call without a row is refused: execve, fork, ptrace, mount, unshare, loading of modules,
//! keyrings, userfaultfd, io_uring and all others. No memory becomes executable. A socket is local
//! or netlink: recon talks to nobody, except for a thread whose sink has a peer.

use libc::c_long;

/// Which threads make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// All.
    All,
    /// Not those that only read other processes.
    Agent,
}

/// With which arguments. Numbers of arguments begin with 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum With {
    Any,
    /// That argument is one of these.
    OneOf(u8, &'static [u64]),
    /// That argument, under the mask, is the value.
    Masked(u8, u64, u64),
}

use By::{Agent, All};
use With::{Any, Masked, OneOf};

/// A row.
pub(super) struct Call {
    pub(super) number: c_long,
    pub(super) by: By,
    pub(super) with: With,
    /// What readers must also fulfil.
    pub(super) readers: With,
}

pub(super) const fn call(number: c_long, by: By, with: With) -> Call {
    Call {
        number,
        by,
        with,
        readers: Any,
    }
}

pub(super) const NO_EXECUTION: u64 = libc::PROT_EXEC as u64;
/// What turns an open into a write.
const WRITES: u64 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;
/// A new thread of this process, in no new namespace.
const THREAD: u64 = libc::CLONE_THREAD as u64;
const THREAD_OR_NAMESPACE: u64 = THREAD
    | (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u64;
const FAMILIES: &[u64] = &[libc::AF_UNIX as u64, libc::AF_NETLINK as u64];
const PRCTLS: &[u64] = &[
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    libc::PR_SET_VMA as u64,
    libc::PR_CAPBSET_READ as u64,
    // Once more for a thread's own filter.
    libc::PR_SET_NO_NEW_PRIVS as u64,
    libc::PR_GET_NO_NEW_PRIVS as u64,
];
/// `PERF_EVENT_IOC_*` of linux/perf_event.h: a tracepoint is turned on and off by its event.
const PERF_ENABLE: u64 = 0x2400;
const PERF_DISABLE: u64 = 0x2401;
const IOCTLS: &[u64] = &[
    PERF_ENABLE,
    PERF_DISABLE,
    libc::TCGETS,
    libc::FIONBIO,
    libc::FIOCLEX,
    // What a socket has sent and its peer has not taken.
    libc::TIOCOUTQ,
    // if_nametoindex(3).
    libc::SIOCGIFINDEX,
    libc::SIOCGIFNAME,
];

/// `BPF_*` of enum bpf_cmd, linux/bpf.h: maps are read, emptied and frozen, programs attached,
/// detached, pinned and test-run. Not among them: BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_BTF_LOAD and
/// BPF_RAW_TRACEPOINT_OPEN.
const BPF: &[u64] = &[
    1,  // MAP_LOOKUP_ELEM
    2,  // MAP_UPDATE_ELEM
    3,  // MAP_DELETE_ELEM
    4,  // MAP_GET_NEXT_KEY
    6,  // OBJ_PIN
    7,  // OBJ_GET
    8,  // PROG_ATTACH
    9,  // PROG_DETACH
    10, // PROG_TEST_RUN
    11, // PROG_GET_NEXT_ID
    12, // MAP_GET_NEXT_ID
    13, // PROG_GET_FD_BY_ID
    14, // MAP_GET_FD_BY_ID
    15, // OBJ_GET_INFO_BY_FD
    16, // PROG_QUERY
    21, // MAP_LOOKUP_AND_DELETE_ELEM
    22, // MAP_FREEZE
    24, // MAP_LOOKUP_BATCH
    25, // MAP_LOOKUP_AND_DELETE_BATCH
    26, // MAP_UPDATE_BATCH
    27, // MAP_DELETE_BATCH
    28, // LINK_CREATE
    29, // LINK_UPDATE
    30, // LINK_GET_FD_BY_ID
    31, // LINK_GET_NEXT_ID
    34, // LINK_DETACH
];

/// What every Linux has that recon runs on.
pub(super) const COMMON: &[Call] = &[
    // Files and folders.
    Call {
        readers: Masked(2, WRITES, libc::O_RDONLY as u64),
        ..call(libc::SYS_openat, All, Any)
    },
    call(libc::SYS_close, All, Any),
    call(libc::SYS_read, All, Any),
    call(libc::SYS_pread64, All, Any),
    call(libc::SYS_readv, All, Any),
    call(libc::SYS_write, All, Any),
    call(libc::SYS_writev, All, Any),
    call(libc::SYS_pwrite64, Agent, Any),
    call(libc::SYS_lseek, All, Any),
    call(libc::SYS_fstat, All, Any),
    call(libc::SYS_newfstatat, All, Any),
    call(libc::SYS_statx, All, Any),
    call(libc::SYS_statfs, Agent, Any),
    call(libc::SYS_fstatfs, Agent, Any),
    call(libc::SYS_getdents64, All, Any),
    call(libc::SYS_readlinkat, All, Any),
    call(libc::SYS_faccessat, Agent, Any),
    call(libc::SYS_faccessat2, Agent, Any),
    call(libc::SYS_getcwd, Agent, Any),
    call(libc::SYS_mkdirat, Agent, Any),
    call(libc::SYS_unlinkat, Agent, Any),
    call(libc::SYS_renameat, Agent, Any),
    call(libc::SYS_renameat2, Agent, Any),
    call(libc::SYS_linkat, Agent, Any),
    call(libc::SYS_fchmod, Agent, Any),
    // A file that is rotated keeps its group. Without CAP_CHOWN that must be one of recon's.
    call(libc::SYS_fchown, Agent, Any),
    call(libc::SYS_fchmodat, Agent, Any),
    call(libc::SYS_umask, Agent, Any),
    call(libc::SYS_ftruncate, Agent, Any),
    call(libc::SYS_fallocate, Agent, Any),
    call(libc::SYS_fsync, Agent, Any),
    call(libc::SYS_fdatasync, Agent, Any),
    call(libc::SYS_flock, Agent, Any),
    call(libc::SYS_copy_file_range, Agent, Any),
    call(libc::SYS_sendfile, Agent, Any),
    call(libc::SYS_fcntl, All, Any),
    call(libc::SYS_ioctl, Agent, OneOf(1, IOCTLS)),
    call(libc::SYS_dup, Agent, Any),
    call(libc::SYS_dup3, Agent, Any),
    call(libc::SYS_pipe2, Agent, Any),
    call(libc::SYS_eventfd2, Agent, Any),
    // Memory.
    call(libc::SYS_mmap, All, Masked(2, NO_EXECUTION, 0)),
    call(libc::SYS_mprotect, All, Masked(2, NO_EXECUTION, 0)),
    call(libc::SYS_mremap, All, Any),
    call(libc::SYS_munmap, All, Any),
    call(libc::SYS_madvise, All, Any),
    call(libc::SYS_brk, All, Any),
    // Threads and time.
    call(libc::SYS_clone, All, Masked(0, THREAD_OR_NAMESPACE, THREAD)),
    call(libc::SYS_set_robust_list, All, Any),
    call(libc::SYS_rseq, All, Any),
    call(libc::SYS_futex, All, Any),
    call(libc::SYS_membarrier, Agent, Any),
    call(libc::SYS_sched_yield, All, Any),
    call(libc::SYS_sched_getaffinity, All, Any),
    call(libc::SYS_getcpu, All, Any),
    call(libc::SYS_nanosleep, All, Any),
    call(libc::SYS_clock_nanosleep, All, Any),
    call(libc::SYS_clock_gettime, All, Any),
    call(libc::SYS_clock_getres, All, Any),
    call(libc::SYS_gettimeofday, All, Any),
    call(libc::SYS_times, All, Any),
    call(libc::SYS_exit, All, Any),
    call(libc::SYS_exit_group, All, Any),
    call(libc::SYS_restart_syscall, All, Any),
    // Signals: an abort, and only of recon itself, as `install` adds.
    call(libc::SYS_rt_sigaction, All, Any),
    call(libc::SYS_rt_sigprocmask, All, Any),
    call(libc::SYS_rt_sigreturn, All, Any),
    call(libc::SYS_sigaltstack, All, Any),
    // Who recon is, and its limits.
    call(libc::SYS_getpid, All, Any),
    call(libc::SYS_gettid, All, Any),
    call(libc::SYS_getppid, All, Any),
    call(libc::SYS_getuid, All, Any),
    call(libc::SYS_geteuid, All, Any),
    call(libc::SYS_getgid, All, Any),
    call(libc::SYS_getegid, All, Any),
    call(libc::SYS_uname, All, Any),
    call(libc::SYS_sysinfo, All, Any),
    call(libc::SYS_getrandom, All, Any),
    call(libc::SYS_getrusage, All, Any),
    call(libc::SYS_getrlimit, All, Any),
    // Without new limits it only reads them.
    call(libc::SYS_prlimit64, All, OneOf(2, &[0])),
    call(libc::SYS_prctl, All, OneOf(0, PRCTLS)),
    call(libc::SYS_capget, All, Any),
    call(libc::SYS_seccomp, All, Any),
    // Waiting, sockets, the kernel.
    call(libc::SYS_epoll_create1, Agent, Any),
    call(libc::SYS_epoll_ctl, Agent, Any),
    call(libc::SYS_epoll_pwait, Agent, Any),
    call(libc::SYS_epoll_pwait2, Agent, Any),
    call(libc::SYS_ppoll, Agent, Any),
    call(libc::SYS_socket, All, OneOf(0, FAMILIES)),
    call(libc::SYS_socketpair, Agent, OneOf(0, FAMILIES)),
    call(libc::SYS_bind, Agent, Any),
    call(libc::SYS_connect, Agent, Any),
    call(libc::SYS_listen, Agent, Any),
    call(libc::SYS_accept, Agent, Any),
    call(libc::SYS_accept4, Agent, Any),
    call(libc::SYS_sendto, Agent, Any),
    call(libc::SYS_sendmsg, Agent, Any),
    call(libc::SYS_recvfrom, Agent, Any),
    call(libc::SYS_recvmsg, Agent, Any),
    call(libc::SYS_getsockname, Agent, Any),
    call(libc::SYS_getpeername, Agent, Any),
    call(libc::SYS_getsockopt, All, Any),
    call(libc::SYS_setsockopt, Agent, Any),
    call(libc::SYS_shutdown, Agent, Any),
    call(libc::SYS_bpf, Agent, OneOf(0, BPF)),
    call(libc::SYS_setns, All, OneOf(1, &[libc::CLONE_NEWNET as u64])),
];

/// What only older architectures still have: the same calls under their first numbers.
#[cfg(target_arch = "x86_64")]
pub(super) const OLD: &[Call] = &[
    Call {
        readers: Masked(1, WRITES, libc::O_RDONLY as u64),
        ..call(libc::SYS_open, All, Any)
    },
    call(libc::SYS_stat, All, Any),
    call(libc::SYS_lstat, All, Any),
    call(libc::SYS_access, Agent, Any),
    call(libc::SYS_readlink, All, Any),
    call(libc::SYS_mkdir, Agent, Any),
    call(libc::SYS_rmdir, Agent, Any),
    call(libc::SYS_unlink, Agent, Any),
    call(libc::SYS_rename, Agent, Any),
    call(libc::SYS_chmod, Agent, Any),
    call(libc::SYS_poll, Agent, Any),
    call(libc::SYS_epoll_wait, Agent, Any),
    call(libc::SYS_dup2, Agent, Any),
    call(libc::SYS_pipe, Agent, Any),
    call(libc::SYS_time, All, Any),
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLD: &[Call] = &[];
