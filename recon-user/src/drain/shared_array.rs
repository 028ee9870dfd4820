//! The memory of an array map, shared with the kernel: reading its values one by one takes
//! milliseconds.
//!
//! In: an array created with `BPF_F_MMAPABLE`. Out: pointers to its values, which the kernel
//! programs may write to meanwhile.

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use aya::maps::MapData;
#[cfg(test)]
use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The values of an array, mapped into this process.
#[derive(Debug)]
pub(super) struct SharedArray<T> {
    start: NonNull<T>,
    length: usize,
    /// Held open for the programs that are still to be loaded with it. A test has no map.
    _map: Option<MapData>,
    values: PhantomData<T>,
}

// SAFETY: the mapping belongs to this value alone and is valid on any thread.
unsafe impl<T: Send> Send for SharedArray<T> {}

impl<T> SharedArray<T> {
    /// The bytes of that many values. The kernel rounds each up to 8, of which the shared types are
    /// multiples.
    fn bytes(length: usize) -> Option<NonZeroUsize> {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        NonZeroUsize::new(length.checked_mul(size_of::<T>())?)
    }

    /// Maps the array, which has `length` values of that type.
    ///
    /// # Errors
    /// What the kernel says if it does not share the array's memory.
    pub(super) fn map(map: MapData, length: u32) -> io::Result<Self> {
        let length = length as usize;
        let bytes = Self::bytes(length).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, map.fd(), 0) }?;
        Ok(Self {
            start: start.cast(),
            length,
            _map: Some(map),
            values: PhantomData,
        })
    }

    /// Zeroed memory that no kernel program writes to.
    #[cfg(test)]
    pub(super) fn zeroed(length: u32) -> Self {
        let length = length as usize;
        let bytes = Self::bytes(length).expect("a length");
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { mmap_anonymous(None, bytes, access, MapFlags::MAP_PRIVATE) };
        Self {
            start: start.expect("memory").cast(),
            length,
            _map: None,
            values: PhantomData,
        }
    }

    /// The value at that position, which must be inside the array.
    pub(super) fn value(&self, position: usize) -> NonNull<T> {
        assert!(position < self.length, "{position} of {}", self.length);
        // SAFETY: the mapping has that many values.
        unsafe { self.start.add(position) }
    }

    /// The value at that position, if it is inside the array.
    pub(super) fn get(&self, position: usize) -> Option<NonNull<T>> {
        (position < self.length).then(|| self.value(position))
    }

    /// All values.
    pub(super) fn values(&self) -> impl Iterator<Item = NonNull<T>> {
        (0..self.length).map(|position| self.value(position))
    }
}

impl<T> Drop for SharedArray<T> {
    fn drop(&mut self) {
        let Some(bytes) = Self::bytes(self.length) else {
            return;
        };
        // SAFETY: the mapping as it was made; nothing points into it any more. Nothing can be done
        // if it fails.
        let _ = unsafe { munmap(self.start.cast(), bytes.get()) };
    }
}
