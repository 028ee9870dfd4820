//! The hook `sock_create` of a cgroup: a process opens a socket of IP.
//!
//! In: the socket, in its creator's context. Out: the sender of a raw or a ping socket. The call
//! always goes on as without recon.
//! The decision held here: no hook sees what these sockets send, and a packet of theirs that waits
//! for its neighbour's hardware address leaves under whatever task is current. So whoever opens one
//! is its sender. Other sockets are recorded when they connect or send.

use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use recon_common::protocol::ip_protocol;
use recon_common::protocol::linux::SOCK_RAW;

use super::call::GO_ON;
use crate::sender;

#[cgroup_sock(sock_create)]
pub(crate) fn recon_sock_create(context: SockContext) -> i32 {
    // SAFETY: the context is the program's own.
    let (kind, protocol) = unsafe { ((*context.sock).type_, (*context.sock).protocol) };
    let is_raw = kind == u32::from(SOCK_RAW);
    if is_raw {
        sender::record_raw_protocol(protocol);
    }
    let is_ping = [ip_protocol::ICMP, ip_protocol::ICMPV6].map(|ping| protocol == u32::from(ping));
    if is_raw || is_ping[0] || is_ping[1] {
        // SAFETY: as above.
        sender::record_sender(unsafe { bpf_get_socket_cookie(context.sock.cast()) });
    }
    GO_ON as i32
}
