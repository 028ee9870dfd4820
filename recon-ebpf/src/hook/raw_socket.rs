//! The hook `sock_create` of a cgroup: a process opens a socket of IP.
//!
//! In: the socket, in its creator's context. Out: the sender of a raw or a ping socket. The call
//! always goes on as without recon.
//! The decision held here: no hook sees what these sockets send, and a packet of theirs that waits
//! for its neighbour's hardware address leaves under whatever task is current. So whoever opens one
//! is its sender. Other sockets are recorded when they connect or send.

use aya_ebpf::bindings::bpf_sock as Socket;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use recon_common::protocol::ip_protocol;
use recon_common::protocol::linux::SOCK_RAW;

use super::call::GO_ON;
use crate::sender;

#[cgroup_sock(sock_create)]
pub(crate) fn recon_sock_create(context: SockContext) -> i32 {
    if sends_unseen(context.sock) {
        // SAFETY: the context is the program's own.
        sender::record_sender(unsafe { bpf_get_socket_cookie(context.sock.cast()) });
    }
    GO_ON as i32
}

/// Whether it is a raw socket or a ping socket.
#[inline(always)]
fn sends_unseen(socket: *mut Socket) -> bool {
    // SAFETY: the context is the program's own.
    let (kind, protocol) = unsafe { ((*socket).type_, (*socket).protocol) };
    let is_ping = [ip_protocol::ICMP, ip_protocol::ICMPV6].map(|ping| protocol == u32::from(ping));
    kind == u32::from(SOCK_RAW) || is_ping[0] || is_ping[1]
}
