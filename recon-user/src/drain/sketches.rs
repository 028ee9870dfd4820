//! The sketches of aggregated sources.
//!
//! In: the kernel's sketches of both generations, and an overflow key. Out: the sketch of that key,
//! if it has one.
//! The decision held here: a generation's sketches are read and emptied while it is not live, so
//! that no program writes to them.

use std::io;

use aya::maps::MapData;
use recon_common::sources::{SKETCHES, Sketch};
use recon_common::{HashSecrets, Key, PackedKey, Registers};

use super::shared_array::SharedArray;
use crate::seed::hash_secrets;

/// Reads the sketches.
#[derive(Debug)]
pub(super) struct Sketches(SharedArray<Sketch>);

impl Sketches {
    /// Maps the array of sketches.
    ///
    /// # Errors
    /// What the kernel says if it does not share the array's memory.
    pub(super) fn map(map: MapData) -> io::Result<Self> {
        SharedArray::map(map, 2 * SKETCHES).map(Self)
    }

    /// Reads sketches that are mapped already.
    #[cfg(test)]
    pub(super) fn new(sketches: SharedArray<Sketch>) -> Self {
        Self(sketches)
    }

    /// The sketch at that position.
    #[cfg(test)]
    pub(super) fn sketch(&self, position: usize) -> std::ptr::NonNull<Sketch> {
        self.0.value(position)
    }

    /// The sketches of a generation that no program writes to.
    pub(super) fn of_generation(&mut self, generation: usize) -> IdleSketches<'_> {
        IdleSketches {
            sketches: &self.0,
            first: generation * SKETCHES as usize,
            secrets: hash_secrets(),
        }
    }
}

/// The sketches of one generation, which no program writes to.
#[derive(Debug)]
pub(super) struct IdleSketches<'a> {
    sketches: &'a SharedArray<Sketch>,
    first: usize,
    secrets: &'static HashSecrets,
}

impl IdleSketches<'_> {
    /// The sources of an overflow key. `None` if another target owns the sketch.
    pub(super) fn find(&self, key: &Key) -> Option<&Registers> {
        if !key.is_overflow() {
            return None;
        }
        let (index, tag) = PackedKey::from(key).sketch_place(self.secrets);
        let sketch = self.sketches.value(self.first + index as usize);
        // SAFETY: any bytes are a sketch, and nobody writes to it while this is borrowed.
        let sketch = unsafe { sketch.as_ref() };
        (sketch.tag == tag).then_some(&sketch.registers)
    }

    /// Empties all of them.
    pub(super) fn clear(self) {
        for index in 0..SKETCHES as usize {
            let sketch = self.sketches.value(self.first + index);
            // SAFETY: as above; 0 is a valid value of all fields.
            unsafe {
                if sketch.as_ref().tag != 0 {
                    sketch.write_bytes(0, 1);
                }
            }
        }
    }
}
