//! The hooks, a thin file each: from a program's context to a [`recon_common::Packet`], or to what a process does.
//!
//! The decision held here: headers are read in place, from the packet's first buffer; a payload that lies elsewhere (page fragments,
//! a card that splits headers from data) is fetched by the kernel's copying helper. Were every read to have that second way,
//! each would copy to the stack, and the verifier would walk both.

use core::arch::asm;

use recon_common::packet::Fields;

mod exec;
mod socket;
mod tc;
mod xdp;

/// `N` bytes of a packet, where they lie.
#[derive(Clone, Copy)]
struct InPlace<const N: usize>(usize);

/// A field of `N` bytes in place, as it lies there. The compiler takes no address for aligned that it knows nothing of, and would put a field together from
/// its bytes; the verifier lets x86-64 and arm64, all that has efficient unaligned access, read it whole at any offset of a packet.
macro_rules! load {
    ($place:expr, $Word:ty, $load:literal) => {{
        const { assert!(AT + size_of::<$Word>() <= N) };
        let word: u64;
        // SAFETY: reads within the `N` bytes, which were shown to lie in the packet when the place was made.
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
    /// The `N` bytes at `offset` of a packet's first buffer, or `None` where it ends before.
    ///
    /// # Safety
    /// `start` and `end` are the context's own `data` and `data_end`, so that the verifier knows them as packet pointers.
    #[inline(always)]
    unsafe fn locate(start: usize, end: usize, offset: usize) -> Option<Self> {
        // `bytes + 1 > end` would be compiled to `bytes >= end`, of which the verifier learns nothing.
        const { assert!(N > 1) };
        let mut bytes = start + offset;
        // SAFETY: adds 0 to a number, which keeps the compiler from working the pointer out anew behind the check, where the verifier would
        // not know it for the same.
        unsafe { asm!("{bytes} += 0", bytes = inout(reg) bytes) };
        // The comparison that the verifier takes for a proof.
        (bytes + N <= end).then_some(Self(bytes))
    }

    /// A copy of the bytes.
    #[inline(always)]
    fn to_array(self) -> [u8; N] {
        // SAFETY: they lie in the packet, as above.
        unsafe { *(self.0 as *const [u8; N]) }
    }
}

/// `offset`, of which the verifier knows nothing afterwards; see [`recon_common::Packet::hide_offset`].
#[inline(always)]
fn hide_offset(offset: usize) -> usize {
    let mut hidden = offset as u64;
    // SAFETY: adds 0 to a number on this program's stack. The verifier does not follow atomic additions.
    unsafe {
        asm!("lock *(u64 *)({slot} + 0) += {zero}", slot = in(reg) &raw mut hidden, zero = in(reg) 0_u64);
    }
    hidden as usize
}
