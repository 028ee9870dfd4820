//! The hooks, a thin file each: from a program's context to a [`recon_common::Packet`], or to what
//! a process does.
//!
//! The decision held here: headers are read in place, from the packet's first buffer. A payload
//! that is elsewhere (page fragments, a card that splits headers from data) is fetched by the
//! kernel's copying helper. If every read had that second way, each would copy to the stack, and
//! the verifier would walk both.
//! A hook on packets is inlined into the program that the macro makes of it. As a function, which
//! the compiler makes of one that has grown, it would cost each packet 7 ns.

use core::arch::asm;

use recon_common::packet::{Fields, MAX_OFFSET};

mod call;
mod exec;
mod fork;
mod raw_socket;
mod socket;
mod tc;
mod xdp;

/// `N` bytes of a packet, in place.
#[derive(Clone, Copy)]
struct InPlace<const N: usize>(usize);

/// Loads a field of the `N` bytes in place. The compiler does not assume alignment for an address
/// that it knows nothing of, and would build the field from single bytes. On x86-64 and arm64,
/// which have efficient unaligned access, the verifier allows whole loads at any offset of a
/// packet.
macro_rules! load {
    ($place:expr, $Word:ty, $load:literal) => {{
        const { assert!(AT + size_of::<$Word>() <= N) };
        let word: u64;
        // SAFETY: reads within the `N` bytes, which were proven to be in the packet when the place
        // was made.
        unsafe {
            asm!(
                $load,
                word = out(reg) word,
                address = in(reg) $place.0,
                at = const AT,
                options(pure, readonly, nostack),
            );
        }
        <$Word>::from_be(word as $Word)
    }};
}

impl<const N: usize> Fields<N> for InPlace<N> {
    #[inline(always)]
    fn u8<const AT: usize>(self) -> u8 {
        load!(self, u8, "{word} = *(u8 *)({address} + {at})")
    }

    #[inline(always)]
    fn u16<const AT: usize>(self) -> u16 {
        load!(self, u16, "{word} = *(u16 *)({address} + {at})")
    }

    #[inline(always)]
    fn u32<const AT: usize>(self) -> u32 {
        load!(self, u32, "{word} = *(u32 *)({address} + {at})")
    }
}

impl<const N: usize> InPlace<N> {
    /// The `N` bytes at `offset` of a packet's first buffer, or `None` if it ends before.
    ///
    /// # Safety
    /// `start` and `end` are the context's own `data` and `data_end`, so that the verifier knows
    /// them as packet pointers.
    #[inline(always)]
    unsafe fn locate(start: usize, end: usize, offset: usize) -> Option<Self> {
        // The compiler would turn `bytes + 1 > end` into `bytes >= end`, from which the verifier
        // learns nothing.
        const { assert!(N > 1) };
        let mut offset = offset;
        // SAFETY: changes a number that is not greater. The verifier of Linux 6.1 forgets the bound
        // of one that was kept on the stack.
        unsafe { asm!("{offset} &= {most}", offset = inout(reg) offset, most = const MAX_OFFSET) };
        let mut bytes = start + offset;
        // SAFETY: adds 0 to a number. This keeps the compiler from computing the pointer again
        // after the check, where the verifier would not recognise it.
        unsafe { asm!("{bytes} += 0", bytes = inout(reg) bytes) };
        // The comparison that the verifier accepts as a proof.
        (bytes + N <= end).then_some(Self(bytes))
    }

    /// A copy of the bytes.
    #[inline(always)]
    fn to_array(self) -> [u8; N] {
        // SAFETY: they are in the packet, as above.
        unsafe { *(self.0 as *const [u8; N]) }
    }
}

/// `offset`, of which the verifier knows nothing afterwards; see
/// [`recon_common::Packet::hide_offset`].
#[inline(always)]
fn hide_offset(offset: usize) -> usize {
    hide_number(offset as u64) as usize
}

/// The same number, of which the verifier knows nothing afterwards: it would walk the rest of the
/// program once for every way to the number.
#[inline(always)]
fn hide_number(number: u64) -> u64 {
    let mut hidden = number;
    // SAFETY: adds 0 to a number on this program's stack. The verifier does not follow atomic
    // additions.
    unsafe {
        asm!("lock *(u64 *)({slot} + 0) += {zero}", slot = in(reg) &raw mut hidden, zero = in(reg) 0_u64);
    }
    hidden
}

/// The number itself, of which the compiler knows nothing: the verifier needs both bounds at a
/// call, each by a comparison of its own, and the compiler would leave them out or join them. That
/// a number is not 0 is no bound for Linux 5.10.
#[inline(always)]
pub(crate) fn hide_bounds(mut number: u64) -> u64 {
    // SAFETY: adds 0 to a number.
    unsafe { asm!("{number} += 0", number = inout(reg) number) };
    number
}
