//! The hooks that see processes: a cgroup's socket hooks, and the tracepoints of started
//! programs and processes.
//!
//! In: the loaded object and a [`Cgroup`]. Out: [`SocketHooks`], which says what is watched, and
//! what each unavailable hook costs.
//! The decisions held here: each of these hooks only adds to what packets show, so none of them
//! ends the agent.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::cgroup_sock::CgroupSockLinkId;
use aya::programs::cgroup_sock_addr::CgroupSockAddrLinkId;
use aya::programs::sock_ops::SockOpsLinkId;
use aya::programs::{CgroupAttachMode, CgroupSock, CgroupSockAddr, Program, ProgramError, SockOps};

use super::Cgroup;
use super::attached::is_attached;
use super::error::summarise_reason;
use super::pin::{PinnedLink, Pins, attach_lasting};
use super::tracepoint::attach_to_tracepoint;
use crate::diagnostic::error_chain;

/// The hooks of a cgroup: program, name, number in enum bpf_attach_type (linux/bpf.h), and what is
/// lost without it. In the order in which they attach: sock_ops must see a connection that connect4
/// has recorded, or it would look failed.
const CGROUP_HOOKS: [(&str, &str, u32, &str); 6] = [
    (
        "recon_sock_ops",
        SOCK_OPS,
        3,
        "accepted connections, their ends and failed connections are not counted",
    ),
    (CONNECTS[0], "connect4", 10, CONNECT_COSTS),
    (CONNECTS[1], "connect6", 11, CONNECT_COSTS),
    ("recon_sendmsg4", "sendmsg4", 14, SENDMSG_COSTS),
    ("recon_sendmsg6", "sendmsg6", 15, SENDMSG_COSTS),
    (
        "recon_sock_create",
        "sock_create",
        2,
        "the process that sends through a raw or a ping socket is unknown",
    ),
];
const SOCK_OPS: &str = "sock_ops";
const CONNECTS: [&str; 2] = ["recon_connect4", "recon_connect6"];
const CONNECT_COSTS: &str =
    "connections that fail at once are not counted, and the process of others may be unknown";
const SENDMSG_COSTS: &str = "the process that sends a datagram may be unknown";

const EXEC: &str = "sched_process_exec";

/// The tracepoints: program, category, name, and what is lost without it.
const TRACEPOINTS: [(&str, &str, &str, &str); 2] = [
    (
        "recon_exec",
        "sched",
        EXEC,
        "a process that ends within a poll may have no name",
    ),
    (
        "recon_fork",
        "task",
        "task_newtask",
        "who started a process that ends within a poll may be unknown",
    ),
];

/// A hook that is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingHook {
    /// The hook.
    pub(crate) hook: &'static str,
    /// What the kernel says.
    pub(crate) reason: String,
    /// What is lost without it.
    pub(crate) costs: &'static str,
}

impl fmt::Display for MissingHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hook,
            reason,
            costs,
        } = self;
        write!(f, "no {hook} hook ({reason}): {costs}")
    }
}

/// What is watched of this host's own processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketHooks {
    /// The cgroup whose sockets are watched.
    pub(crate) cgroup: Option<PathBuf>,
    /// The hooks that attached.
    pub(crate) attached: Vec<&'static str>,
    /// Those that did not.
    pub(crate) missing: Vec<MissingHook>,
}

impl fmt::Display for SocketHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cgroup {
            Some(folder) => write!(f, "sockets of {}: ", folder.display())?,
            None => f.write_str("sockets: ")?,
        }
        match &self.attached[..] {
            [] => f.write_str("no hook"),
            attached => f.write_str(&attached.join(", ")),
        }
    }
}

impl SocketHooks {
    /// Whether failed connections can be told from others.
    #[must_use]
    pub(crate) fn sees_failures(&self) -> bool {
        self.attached.contains(&SOCK_OPS)
    }

    /// Whether sockets of other network namespaces are seen.
    #[must_use]
    pub(crate) fn sees_namespaces(&self) -> bool {
        let mut hooks = CGROUP_HOOKS.iter();
        hooks.any(|(_, hook, ..)| self.attached.contains(hook))
    }

    /// Whether programs are seen as they start.
    #[must_use]
    pub(crate) fn sees_starts(&self) -> bool {
        self.attached.contains(&EXEC)
    }

    fn record_outcome(
        &mut self,
        hook: &'static str,
        costs: &'static str,
        result: Result<(), String>,
    ) {
        match result {
            Ok(()) => self.attached.push(hook),
            Err(reason) => self.missing.push(MissingHook {
                hook,
                reason: summarise_reason(&reason),
                costs,
            }),
        }
    }
}

/// Why there is no cgroup to watch.
fn no_cgroup() -> &'static str {
    match Path::new("/proc/self/mounts").exists() {
        true => "cgroup2 is not mounted",
        false => "/proc is not mounted, so recon can't find cgroup2",
    }
}

/// Attaches all available hooks. Returns those of the cgroup, to be watched, too.
pub(super) fn attach_socket_hooks(
    ebpf: &mut Ebpf,
    mut pins: Option<&mut Pins>,
    cgroup: Option<&Cgroup>,
) -> (SocketHooks, Vec<CgroupHook>) {
    let mut watched = Vec::new();
    let mut sockets = SocketHooks {
        cgroup: cgroup.map(|cgroup| cgroup.watched.clone()),
        ..SocketHooks::default()
    };
    for (program, hook, attach_type, costs) in CGROUP_HOOKS {
        let result = match cgroup {
            Some(cgroup) => {
                let pins = pins.as_deref_mut();
                let link = attach_lasting(ebpf, pins, program, hook, cgroup);
                link.map_err(|error| error_chain(&error))
            }
            None => Err(no_cgroup().to_owned()),
        };
        let result = result.map(|link| {
            watched.push(CgroupHook {
                program,
                hook,
                attach_type,
                link: Some(link),
            });
        });
        sockets.record_outcome(hook, costs, result);
    }
    for (program, category, name, costs) in TRACEPOINTS {
        sockets.record_outcome(
            name,
            costs,
            attach_to_tracepoint(ebpf, pins.as_deref_mut(), program, [category, name]),
        );
    }
    (sockets, watched)
}

/// A hook of the cgroup that attached.
#[derive(Debug)]
pub(super) struct CgroupHook {
    program: &'static str,
    pub(super) hook: &'static str,
    attach_type: u32,
    /// `None` while it is detached.
    link: Option<CgroupLink>,
}

/// What attaches a program to the cgroup.
#[derive(Debug)]
pub(super) enum CgroupLink {
    SockAddr(CgroupSockAddrLinkId),
    Sock(CgroupSockLinkId),
    SockOps(SockOpsLinkId),
    /// It outlives this process.
    Pinned(PinnedLink),
}

impl CgroupHook {
    /// Whether the kernel still has the program on the cgroup. A cgroup that was removed has none.
    pub(super) fn is_attached(&self, ebpf: &Ebpf, folder: &File) -> bool {
        let (Some(program), true) = (ebpf.program(self.program), self.link.is_some()) else {
            return false;
        };
        let Ok(info) = program.info() else {
            return true;
        };
        let target = folder.as_raw_fd().cast_unsigned();
        match is_attached(target, self.attach_type, info.id()) {
            Ok(is_attached) => is_attached,
            // Unknown is no reason to attach a second time.
            Err(error) => error.raw_os_error() != Some(libc::ENODEV),
        }
    }

    /// Whether this agent holds it attached.
    pub(super) const fn is_held(&self) -> bool {
        self.link.is_some()
    }

    /// The link, if it outlives this process.
    pub(super) const fn pinned(&self) -> Option<&PinnedLink> {
        match &self.link {
            Some(CgroupLink::Pinned(link)) => Some(link),
            _ => None,
        }
    }

    /// Attaches it again.
    pub(super) fn attach_again(
        &mut self,
        ebpf: &mut Ebpf,
        pins: Option<&mut Pins>,
        cgroup: &Cgroup,
    ) -> Result<(), ProgramError> {
        if let Some(link) = self.link.take() {
            // It holds nothing any more.
            let _ = link.detach(ebpf, self.program);
        }
        self.link = Some(attach_lasting(ebpf, pins, self.program, self.hook, cgroup)?);
        Ok(())
    }
}

impl CgroupLink {
    fn detach(self, ebpf: &mut Ebpf, name: &str) -> Result<(), ProgramError> {
        match (self, ebpf.program_mut(name)) {
            (Self::SockAddr(link), Some(Program::CgroupSockAddr(program))) => program.detach(link),
            (Self::Sock(link), Some(Program::CgroupSock(program))) => program.detach(link),
            (Self::SockOps(link), Some(Program::SockOps(program))) => program.detach(link),
            (Self::Pinned(link), _) => link.remove().map_err(ProgramError::IOError),
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }
}

/// Detaches the hooks that record connects before the hook that sees them start.
pub(super) fn detach_connects(ebpf: &mut Ebpf) {
    for name in CONNECTS {
        if let Some(Program::CgroupSockAddr(program)) = ebpf.program_mut(name) {
            // A program that was never loaded has nothing to detach.
            let _ = program.unload();
        }
    }
}

/// The cookie of this thread's network namespace. It takes a socket, and no port.
///
/// # Errors
/// There is no descriptor left, or the kernel has no cookies (before Linux 5.14).
pub(crate) fn netns_cookie() -> io::Result<u64> {
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: the kernel writes `length` bytes, the size of the cookie, to the cookie.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(cookie),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn attach_to_cgroup(
    ebpf: &mut Ebpf,
    name: &str,
    cgroup: &Cgroup,
) -> Result<CgroupLink, ProgramError> {
    let folder = cgroup.open().map_err(ProgramError::IOError)?;
    // A link (Linux 5.7 and later) always coexists with other programs, of this cgroup and of those
    // below, and takes no flag for that: despite its name, this mode is the one without flags.
    let mode = CgroupAttachMode::Single;
    match ebpf.program_mut(name) {
        Some(Program::CgroupSockAddr(program)) => {
            let program: &mut CgroupSockAddr = program;
            load_once(program.load())?;
            program.attach(folder, mode).map(CgroupLink::SockAddr)
        }
        Some(Program::CgroupSock(program)) => {
            let program: &mut CgroupSock = program;
            load_once(program.load())?;
            program.attach(folder, mode).map(CgroupLink::Sock)
        }
        Some(Program::SockOps(program)) => {
            let program: &mut SockOps = program;
            load_once(program.load())?;
            program.attach(folder, mode).map(CgroupLink::SockOps)
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// A program that is attached again is loaded already.
pub(super) fn load_once(loaded: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        loaded => loaded,
    }
}
