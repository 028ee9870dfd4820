//! What the kernel's look-ups of sockets take.
//!
//! In: a [`Flow`]. Out: the tuple of its family, and how long that is.

use aya_ebpf::bindings::{
    bpf_sock_tuple as Tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 as TupleV4,
    bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 as TupleV6,
};
use recon_common::Flow;

/// The flow as the look-up of sockets takes it, and its size.
#[inline(always)]
pub(crate) fn socket_tuple(flow: &Flow) -> (Tuple, u32) {
    // SAFETY: all bytes of the tuple are plain integers.
    let mut tuple: Tuple = unsafe { core::mem::zeroed() };
    let size = match (flow.remote.to_v4(), flow.local.to_v4()) {
        (Some(remote), Some(local)) => {
            tuple.__bindgen_anon_1.ipv4 = TupleV4 {
                saddr: remote,
                daddr: local,
                sport: flow.remote_port.to_be(),
                dport: flow.local_port.to_be(),
            };
            size_of::<TupleV4>()
        }
        _ => {
            tuple.__bindgen_anon_1.ipv6 = TupleV6 {
                saddr: flow.remote.words(),
                daddr: flow.local.words(),
                sport: flow.remote_port.to_be(),
                dport: flow.local_port.to_be(),
            };
            size_of::<TupleV6>()
        }
    };
    (tuple, size as u32)
}
