//! The socket hooks `connect` and `sendmsg` of a cgroup: whom processes call.
//!
//! In: connect(2), and sendmsg(2) on datagram sockets. Out: who sends on which socket, pending
//! connects, from whom this host expects datagrams, and the calls of containers. The hooks always
//! return 1: the call goes on as without recon.
//! The decision held here: TCP's states do not show a connect(2) that fails before its first
//! packet, such as one to an unreachable network. So connect records a pending connect, TCP's start
//! removes it ([`super::socket`]), and one that the agent finds at two polls has failed. What a
//! container's process sends leaves this host as a forwarded packet, without its socket: in another
//! network namespace than the agent's, the system call itself counts, unless the datagram answers
//! one that has come from that remote's port. Anybody may make a namespace and call there, so the
//! agent counts only those of these calls whose packets leave this host.

use core::arch::asm;
use core::ffi::c_void;
use core::mem::offset_of;

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, bpf_sock_addr as SockAddr};
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie};
use aya_ebpf::macros::{cgroup_sock_addr, map};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::SockAddrContext;
use recon_common::process::PENDING_CONNECT_SLOTS;
use recon_common::protocol::{ip_protocol, port};
use recon_common::{Address, Counter, Flow, FlowMarks, Key, Loss, NetnsId, PendingConnect, Signal};

use crate::flow_state::KernelMarks;
use crate::{count, sender};

/// By socket cookie. The agent maps it into its memory.
#[map]
static PENDING_CONNECT: Array<PendingConnect> =
    Array::with_max_entries(PENDING_CONNECT_SLOTS, BPF_F_MMAPABLE);

/// Cookie of the agent's network namespace, 0 if the kernel does not report it (before Linux 5.14).
/// The agent sets it before it loads the programs.
#[unsafe(no_mangle)]
static OWN_NETNS: Global<u64> = Global::new(0);

/// Whether the sockets of all network namespaces count as this host's. The agent sets it before it
/// loads the programs.
#[unsafe(no_mangle)]
static ALL_NETNS: Global<u32> = Global::new(0);

/// The verdict 'go on'.
pub(super) const GO_ON: u32 = 1;

/// A field of a context, of 32 bits or as the given instruction loads it. The verifier only accepts
/// access at a constant offset from the context's start, and LLVM likes to compute pointers into
/// it.
macro_rules! field {
    ($context:expr, $Context:ty, $field:ident $(, $word:literal)?) => {
        field!(
            "{value} = *(u32 *)({context} + {offset})",
            $context, offset_of!($Context, $field) $(+ 4 * $word)?
        ) as u32
    };
    ($load:literal, $context:expr, $offset:expr) => {{
        let value: u64;
        // SAFETY: reads a field of the program's own context.
        unsafe {
            asm!(
                $load,
                value = out(reg) value,
                context = in(reg) $context,
                offset = const $offset,
                options(pure, readonly, nostack),
            );
        }
        value
    }};
}
pub(super) use field;

/// The IPv6 address in four such fields.
macro_rules! address {
    ($context:expr, $Context:ty, $field:ident) => {
        Address::from_words([
            field!($context, $Context, $field),
            field!($context, $Context, $field, 1),
            field!($context, $Context, $field, 2),
            field!($context, $Context, $field, 3),
        ])
    };
}
pub(super) use address;

#[cgroup_sock_addr(connect4)]
pub(crate) fn recon_connect4(context: SockAddrContext) -> i32 {
    handle_connect(&Call::v4(context.sock_addr))
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn recon_connect6(context: SockAddrContext) -> i32 {
    handle_connect(&Call::v6(context.sock_addr))
}

#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn recon_sendmsg4(context: SockAddrContext) -> i32 {
    handle_sendmsg(&Call::v4(context.sock_addr))
}

#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn recon_sendmsg6(context: SockAddrContext) -> i32 {
    handle_sendmsg(&Call::v6(context.sock_addr))
}

/// A system call on a socket, with the remote end that it names.
struct Call {
    context: *mut SockAddr,
    remote: Address,
}

impl Call {
    #[inline(always)]
    fn v4(context: *mut SockAddr) -> Self {
        Self {
            context,
            remote: Address::from_v4_word(field!(context, SockAddr, user_ip4)),
        }
    }

    #[inline(always)]
    fn v6(context: *mut SockAddr) -> Self {
        Self {
            context,
            remote: address!(context, SockAddr, user_ip6),
        }
    }

    #[inline(always)]
    fn port(&self) -> u16 {
        u16::from_be(field!(self.context, SockAddr, user_port) as u16)
    }

    #[inline(always)]
    fn protocol(&self) -> u8 {
        field!(self.context, SockAddr, protocol) as u8
    }

    /// The port of its socket, which a call that sends has chosen by now.
    #[inline(always)]
    fn local_port(&self) -> u16 {
        // SAFETY: the context is the program's own, and its socket outlives the program's run.
        unsafe {
            let socket = (*self.context).__bindgen_anon_1.sk;
            if socket.is_null() {
                return 0;
            }
            (*socket).src_port as u16
        }
    }

    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: the context is the program's own.
        unsafe { bpf_get_socket_cookie(self.context.cast()) }
    }

    /// The network namespace of its socket; see [`other_netns`].
    #[inline(always)]
    fn netns(&self) -> u32 {
        other_netns(self.context.cast())
    }

    /// What it sends to, from an address that is not known yet.
    #[inline(always)]
    fn flow(&self) -> Flow {
        Flow {
            remote: self.remote,
            local: Address::UNSPECIFIED,
            remote_port: self.port(),
            local_port: 0,
            protocol: self.protocol(),
        }
    }
}

/// The network namespace of the socket of that context: the word of a [`NetnsId`], 0 if it is the
/// agent's or if the kernel does not report it.
#[inline(always)]
pub(super) fn other_netns(context: *mut c_void) -> u32 {
    let own = OWN_NETNS.load();
    if own == 0 {
        return 0;
    }
    // SAFETY: the context is the program's own.
    match unsafe { bpf_get_netns_cookie(context) } {
        cookie if cookie == own => 0,
        cookie => NetnsId::word(cookie),
    }
}

/// Whether what happens to a socket of that namespace is not to be believed without its packets.
#[inline(always)]
pub(super) fn is_foreign(netns: u32) -> bool {
    ALL_NETNS.load() == 0 && netns != 0
}

#[inline(always)]
fn handle_connect(call: &Call) -> i32 {
    let cookie = call.cookie();
    let pid = sender::record_sender(cookie);
    let netns = call.netns();
    sender::record_netns(pid, netns);
    // MPTCP connects through sockets of its own, which TCP reports. connect on a datagram socket
    // sends nothing.
    if call.protocol() == ip_protocol::TCP {
        if !is_foreign(netns) {
            record_pending(&PendingConnect {
                cookie,
                remote: call.remote,
                pid,
                port: call.port(),
                reserved: 0,
            });
        }
        // Its packets can't be attributed to this process.
        if netns != 0 {
            count::count_key(&Key::for_flow(&call.flow(), Signal::SynSent, pid));
        }
    } else if call.protocol() == ip_protocol::UDP && netns == 0 {
        expect_datagrams(&call.flow());
    }
    GO_ON as i32
}

/// Remembers that this host sends to that port of the remote, and from which port unless its socket
/// has none yet: the answer may come by another way than what is sent, of which a packet hook may
/// not see both.
#[inline(always)]
fn expect_datagrams(flow: &Flow) {
    let end = KernelMarks::find(&flow.remote_end());
    end.expect_answers();
    if flow.local_port != 0 {
        end.of_sender(flow.local_port).expect_answers();
    }
}

#[inline(always)]
fn record_pending(pending: &PendingConnect) {
    let Some(slot) = PENDING_CONNECT.get_ptr_mut(pending_slot(pending.cookie)) else {
        return;
    };
    // SAFETY: the slot has the size and alignment of a `PendingConnect` and is never freed. A
    // reader that sees it half written looks a second time.
    unsafe {
        let before = (*slot).cookie;
        if before != 0 && before != pending.cookie {
            count::add_to_shared_counter(Counter::Lost(Loss::PendingConnectsFull), 1);
        }
        slot.write(*pending);
    }
}

/// TCP has started to connect that socket: its states show the rest.
#[inline(always)]
pub(super) fn forget_pending(cookie: u64) {
    if let Some(pending) = PENDING_CONNECT.get_ptr_mut(pending_slot(cookie)) {
        // SAFETY: as in `record_pending`.
        unsafe {
            if (*pending).cookie == cookie {
                (*pending).cookie = 0;
            }
        }
    }
}

#[inline(always)]
fn pending_slot(cookie: u64) -> u32 {
    cookie as u32 & (PENDING_CONNECT_SLOTS - 1)
}

#[inline(always)]
fn handle_sendmsg(call: &Call) -> i32 {
    let pid = sender::record_sender(call.cookie());
    if call.protocol() != ip_protocol::UDP {
        return GO_ON as i32;
    }
    let flow = call.flow();
    let netns = call.netns();
    if netns == 0 {
        expect_datagrams(&Flow {
            local_port: call.local_port(),
            ..flow
        });
    // Whether it is a DNS query is not visible here, and a resolver's queries are no fan-out. A
    // server answers, at whatever address of the container.
    } else if call.port() != port::DNS && !KernelMarks::find(&flow).was_reached() {
        sender::record_netns(pid, netns);
        count::count_key(&Key::for_flow(&flow, Signal::DatagramSent, pid));
    }
    GO_ON as i32
}
