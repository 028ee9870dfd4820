//! A few of the things seen, for the alert's reader.
//!
//! In: items. Out: up to a limit of different ones, ascending, and whether there was but one.

use crate::window::allocated;

/// Up to `LIMIT` different items.
#[derive(Clone, Debug)]
pub(super) struct Sample<T, const LIMIT: usize>(Vec<T>);

impl<T, const LIMIT: usize> Default for Sample<T, LIMIT> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord, const LIMIT: usize> Sample<T, LIMIT> {
    /// Keeps `item`, if it is new and there is room: where it would take more memory, `may_grow` has to allow it.
    pub(super) fn insert(&mut self, item: T, may_grow: bool) {
        let held = self.0.len();
        if held < LIMIT
            && let Err(place) = self.0.binary_search(&item)
            && (may_grow || held < self.0.capacity())
        {
            self.0.insert(place, item);
        }
    }

    /// The bytes of heap that it takes.
    pub(super) fn heap(&self) -> usize {
        allocated(self.0.capacity() * size_of::<T>())
    }

    /// The item, if no other was seen.
    pub(super) fn only(&self) -> Option<T> {
        match self.0[..] {
            [item] => Some(item),
            _ => None,
        }
    }

    /// What was kept, ascending.
    pub(super) fn items(&self) -> &[T] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_few_in_order() {
        let mut sample = Sample::<u16, 3>::default();
        assert_eq!(sample.only(), None);
        for (port, may_grow, only, items) in [
            (80, false, None, &[][..]),
            (80, true, Some(80), &[80]),
            (80, true, Some(80), &[80]),
            (22, true, None, &[22, 80]),
            (443, true, None, &[22, 80, 443]),
            (1, true, None, &[22, 80, 443]),
        ] {
            sample.insert(port, may_grow);
            assert_eq!((sample.only(), sample.items()), (only, items));
        }
    }
}
