//! What the processor fetches from memory ahead of its use.
//!
//! In: a place. Out: nothing; its memory is on its way to the processor's caches.
//! The decision held here: stable Rust can say so to x86-64 only. Elsewhere the use waits.

/// Has the processor fetch a value, or its first cache line, while it does something else.
#[inline]
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it reads nothing, and every x86-64 processor has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
}
