//! The hooks, a thin file each: from a program's context to a [`recon_common::Packet`], or to what a process does.
//!
//! The decision held here: headers are read in place, from the packet's first buffer; a payload that lies elsewhere (page fragments,
//! a card that splits headers from data) is fetched by the kernel's copying helper. Were every read to have that second way,
//! each would copy to the stack, and the verifier would walk both.

use core::arch::asm;

mod exec;
mod socket;
mod tc;
mod xdp;

/// Reads `N` bytes at `offset` of a packet's first buffer, or `None` where it ends before.
///
/// # Safety
/// `start` and `end` are the context's own `data` and `data_end`, so that the verifier knows them as packet pointers.
#[inline(always)]
unsafe fn read_in_place<const N: usize>(
    start: usize,
    end: usize,
    offset: usize,
) -> Option<[u8; N]> {
    // `bytes + 1 > end` would be compiled to `bytes >= end`, of which the verifier learns nothing.
    const { assert!(N > 1) };
    let mut bytes = start + offset;
    // SAFETY: adds 0 to a number, which keeps the compiler from working the pointer out anew behind the check, where the verifier would
    // not know it for the same.
    unsafe { asm!("{bytes} += 0", bytes = inout(reg) bytes) };
    if bytes + N > end {
        return None;
    }
    // SAFETY: the bytes lie before `end`, which the line above has shown to the verifier as well.
    Some(unsafe { *(bytes as *const [u8; N]) })
}

/// `offset`, of which the verifier knows nothing afterwards; see [`recon_common::Packet::forget`].
#[inline(always)]
fn forget(offset: usize) -> usize {
    let mut hidden = offset as u64;
    // SAFETY: adds 0 to a number on this program's stack. The verifier does not follow atomic additions.
    unsafe {
        asm!("lock *(u64 *)({slot} + 0) += {zero}", slot = in(reg) &raw mut hidden, zero = in(reg) 0_u64);
    }
    hidden as usize
}
