//! The socket hooks of a cgroup: what processes do with sockets, and what becomes of the
//! connections.
//!
//! In: connect(2), sendmsg(2) on datagram sockets, and TCP's states. Out: who sends on which
//! socket, accepted connections and their ends, failed connections. `connect` and `sendmsg` always
//! return 1: the call goes on as without recon.
//! The decision held here: TCP's states show how a connection ended (6 of 6 kinds of failure), but
//! not a connect(2) that fails before its first packet, such as one to an unreachable network. So
//! connect records a pending connect, TCP's start removes it, and one that the agent finds at two
//! polls has failed. What a container's process sends leaves this host as a forwarded packet,
//! without its socket: in another network namespace than the agent's, the system call itself
//! counts, unless the datagram answers one that has come from that remote's port.
//! Whoever makes a network namespace of his own can open connections there between any two
//! addresses. So one that another namespace accepts counts only if this host has forwarded its
//! SYN-ACK, and one that fails there does not count. Of calls there the agent counts those whose
//! packets leave this host.

use core::arch::asm;
use core::ffi::c_void;
use core::mem::offset_of;

use aya_ebpf::Global;
use aya_ebpf::bindings::{
    BPF_F_MMAPABLE, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE, BPF_TCP_SYN_SENT,
    bpf_sock_addr as SockAddr, bpf_sock_ops as SockOps,
};
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie};
use aya_ebpf::macros::{cgroup_sock_addr, map, sock_ops};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::{SockAddrContext, SockOpsContext};
use recon_common::process::PENDING_CONNECT_SLOTS;
use recon_common::protocol::linux::AF_INET;
use recon_common::protocol::{ip_protocol, port};
use recon_common::{Address, Counter, Ending, Flow, FlowMarks, Key, Loss, PendingConnect, Signal};

use super::hide_number;
use crate::flow_state::KernelMarks;
use crate::{accepted, count, sender};

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

/// A 64-bit field of a context.
macro_rules! wide_field {
    ($context:expr, $Context:ty, $field:ident) => {
        field!(
            "{value} = *(u64 *)({context} + {offset})",
            $context,
            offset_of!($Context, $field)
        )
    };
}

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

    /// Whether its packets can't be attributed to this process: it is in another network namespace.
    #[inline(always)]
    fn is_in_container(&self) -> bool {
        is_in_other_netns(self.context.cast())
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

/// Whether the socket of that context is in another network namespace than the agent.
#[inline(always)]
fn is_in_other_netns(context: *mut c_void) -> bool {
    let own = OWN_NETNS.load();
    // SAFETY: the context is the program's own.
    own != 0 && unsafe { bpf_get_netns_cookie(context) } != own
}

/// Whether what happens to the socket of that context is not to be believed without its packets.
#[inline(always)]
fn is_foreign(context: *mut c_void) -> bool {
    ALL_NETNS.load() == 0 && is_in_other_netns(context)
}

#[inline(always)]
fn handle_connect(call: &Call) -> i32 {
    let cookie = call.cookie();
    let pid = sender::record_sender(cookie);
    // MPTCP connects through sockets of its own, which TCP reports. connect on a datagram socket
    // sends nothing.
    if call.protocol() == ip_protocol::TCP {
        if !is_foreign(call.context.cast()) {
            record_pending(&PendingConnect {
                cookie,
                remote: call.remote,
                pid,
                port: call.port(),
                reserved: 0,
            });
        }
        if call.is_in_container() {
            count::count_key(&Key::for_flow(&call.flow(), Signal::SynSent, pid));
        }
    } else if call.protocol() == ip_protocol::UDP && !call.is_in_container() {
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
    if !call.is_in_container() {
        expect_datagrams(&Flow {
            local_port: call.local_port(),
            ..flow
        });
    // Whether it is a DNS query is not visible here, and a resolver's queries are no fan-out. A
    // server answers, at whatever address of the container.
    } else if call.port() != port::DNS && !KernelMarks::find(&flow).was_reached() {
        count::count_key(&Key::for_flow(&flow, Signal::DatagramSent, pid));
    }
    GO_ON as i32
}

#[sock_ops]
pub(crate) fn recon_sock_ops(context: SockOpsContext) -> u32 {
    match field!(context.ops, SockOps, op) {
        BPF_SOCK_OPS_TCP_CONNECT_CB => tcp_connect_started(&context),
        BPF_SOCK_OPS_STATE_CB => tcp_state_changed(&context),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => connection_accepted(&context),
        _ => {}
    }
    // Without a reply, the kernel does what it or another program would have done without recon.
    GO_ON
}

/// TCP starts to connect: from here on its states show how that ends.
#[inline(always)]
fn tcp_connect_started(context: &SockOpsContext) {
    let cookie = socket_cookie(context);
    if let Some(pending) = PENDING_CONNECT.get_ptr_mut(pending_slot(cookie)) {
        // SAFETY: as in `record_pending`.
        unsafe {
            if (*pending).cookie == cookie {
                (*pending).cookie = 0;
            }
        }
    }
    watch_states(context);
}

/// A remote has opened a connection: from here on TCP's states show how it ends.
#[inline(always)]
fn connection_accepted(context: &SockOpsContext) {
    let flow = connection_flow(context);
    let marks = KernelMarks::find(&flow);
    if is_foreign(context.ops.cast()) && !marks.accepted().was_reached() {
        return;
    }
    // Its end is then known to be one without a look-up, and its reset refuses nothing.
    marks.expect_answers();
    marks.mark_reached();
    accepted::record_start(socket_cookie(context));
    watch_states(context);
    count::count_key(&Key::for_flow(&flow, Signal::Accepted, 0));
}

#[inline(always)]
fn watch_states(context: &SockOpsContext) {
    // All programs of the socket's cgroups share its flags, so recon only adds to them.
    let flags = field!(context.ops, SockOps, bpf_sock_ops_cb_flags) | BPF_SOCK_OPS_STATE_CB_FLAG;
    // If it fails, so does the count of this connection: nothing else can be done here.
    let _ = context.set_cb_flags(flags as i32);
}

#[inline(always)]
fn tcp_state_changed(context: &SockOpsContext) {
    let (old, new) = (
        field!(context.ops, SockOps, __bindgen_anon_1),
        field!(context.ops, SockOps, __bindgen_anon_1, 1),
    );
    if new != BPF_TCP_CLOSE {
        return;
    }
    let cookie = socket_cookie(context);
    let (signal, detail) = if old == BPF_TCP_SYN_SENT {
        if is_foreign(context.ops.cast()) {
            return;
        }
        let pid = sender::recorded_sender(cookie).unwrap_or(0);
        (Signal::ConnectFailed, pid)
    } else if let Some(lived) = accepted::forget_start(cookie) {
        let ending = connection_ending(context, lived).pack();
        (Signal::Ended, hide_number(ending.into()) as u32)
    } else {
        return;
    };
    let flow = connection_flow(context);
    count::count_key(&Key::for_flow(&flow, signal, detail));
}

/// What crossed a connection that lived so many milliseconds.
///
/// The kernel counts a FIN as a byte. So a side that has sent no data has sent nothing.
#[inline(always)]
fn connection_ending(context: &SockOpsContext, lived: u64) -> Ending {
    let bytes = |segments: u32, bytes: u64| if segments == 0 { 0 } else { bytes };
    Ending::new(
        bytes(
            field!(context.ops, SockOps, data_segs_in),
            wide_field!(context.ops, SockOps, bytes_received),
        ),
        bytes(
            field!(context.ops, SockOps, data_segs_out),
            wide_field!(context.ops, SockOps, bytes_acked),
        ),
        lived,
    )
}

#[inline(always)]
fn socket_cookie(context: &SockOpsContext) -> u64 {
    // SAFETY: the context is the program's own.
    unsafe { bpf_get_socket_cookie(context.ops.cast()) }
}

/// The connection, as this host sees it. The kernel's structure holds the remote port in network
/// byte order, in the upper half of its word on a little-endian machine, and the local port in host
/// byte order.
#[inline(always)]
fn connection_flow(context: &SockOpsContext) -> Flow {
    let ops = context.ops;
    let (remote, local) = if field!(ops, SockOps, family) == u32::from(AF_INET) {
        (
            Address::from_v4_word(field!(ops, SockOps, remote_ip4)),
            Address::from_v4_word(field!(ops, SockOps, local_ip4)),
        )
    } else {
        // An IPv4 connection of an IPv6 socket has mapped addresses there.
        (
            address!(ops, SockOps, remote_ip6),
            address!(ops, SockOps, local_ip6),
        )
    };
    Flow {
        remote,
        local,
        remote_port: u32::from_be(field!(ops, SockOps, remote_port)) as u16,
        local_port: field!(ops, SockOps, local_port) as u16,
        protocol: ip_protocol::TCP,
    }
}
