//! The socket hook `sock_ops` of a cgroup: what becomes of connections.
//!
//! In: TCP's states. Out: accepted connections and their ends, failed connections.
//! The decision held here: TCP's states show how a connection ended (6 of 6 kinds of failure), but
//! not a connect(2) that fails before its first packet: see [`super::call`].
//! Whoever makes a network namespace of his own can open connections there between any two
//! addresses. So one that another namespace accepts counts only if this host has forwarded its
//! SYN-ACK, and one that fails there does not count.

use core::arch::asm;
use core::mem::offset_of;

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
    BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE, BPF_TCP_SYN_SENT, bpf_sock_ops as SockOps,
};
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::macros::sock_ops;
use aya_ebpf::programs::SockOpsContext;
use recon_common::protocol::ip_protocol;
use recon_common::protocol::linux::AF_INET;
use recon_common::{Address, Detail, Ending, Flow, FlowMarks, Key, Signal};

use super::call::{GO_ON, address, field, forget_pending, is_foreign, other_netns};
use super::hide_number;
use crate::flow_state::KernelMarks;
use crate::{accepted, count, sender};

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
    forget_pending(socket_cookie(context));
    watch_states(context);
}

/// A remote has opened a connection: from here on TCP's states show how it ends.
#[inline(always)]
fn connection_accepted(context: &SockOpsContext) {
    let flow = connection_flow(context);
    let marks = KernelMarks::find(&flow);
    let netns = other_netns(context.ops.cast());
    if is_foreign(netns) && !marks.accepted().was_reached() {
        return;
    }
    // Its end is then known to be one without a look-up, and its reset refuses nothing.
    marks.expect_answers();
    marks.mark_reached();
    accepted::record_start(socket_cookie(context));
    watch_states(context);
    let detail = Detail::connection_word(0, netns);
    count::count_key(&Key::for_flow(&flow, Signal::Accepted, detail));
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
    let netns = other_netns(context.ops.cast());
    let (signal, detail) = if old == BPF_TCP_SYN_SENT {
        if is_foreign(netns) {
            return;
        }
        let pid = sender::recorded_sender(cookie).unwrap_or(0);
        (Signal::ConnectFailed, pid)
    } else if let Some(lived) = accepted::forget_start(cookie) {
        let ending = connection_ending(context, lived).pack();
        let ending = hide_number(ending.into()) as u32;
        (Signal::Ended, Detail::connection_word(ending, netns))
    } else {
        return;
    };
    let flow = connection_flow(context);
    count::count_key(&Key::for_flow(&flow, signal, detail));
}

/// What crossed a connection that lived so many nanoseconds.
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
