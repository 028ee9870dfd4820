//! A bounded sample of distinct items, shown in alerts.
//!
//! In: items. Out: distinct items in ascending order, up to a limit, and whether there was only
//! one.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::window::allocated;

/// Up to `LIMIT` distinct items.
#[derive(Clone, Debug)]
pub(crate) struct Sample<T, const LIMIT: usize>(Vec<T>);

impl<T: Serialize, const LIMIT: usize> Serialize for Sample<T, LIMIT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Ord + Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Sample<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = Vec::<T>::deserialize(deserializer)?;
        // The order of names is that of one process.
        items.sort_unstable();
        items.truncate(LIMIT);
        Ok(Self(items))
    }
}

impl<T, const LIMIT: usize> Default for Sample<T, LIMIT> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord, const LIMIT: usize> Sample<T, LIMIT> {
    /// Keeps `item` if it is new and there is room. Takes more memory only if `may_grow`.
    pub(crate) fn insert(&mut self, item: T, may_grow: bool) {
        let held = self.0.len();
        if held < LIMIT
            && let Err(place) = self.0.binary_search(&item)
            && (may_grow || held < self.0.capacity())
        {
            self.0.insert(place, item);
        }
    }

    /// Forgets the items, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The bytes of heap that the sample takes.
    pub(crate) fn heap(&self) -> usize {
        allocated(self.0.capacity() * size_of::<T>())
    }

    /// The only item, if exactly one was seen.
    pub(crate) fn only(&self) -> Option<T> {
        match self.0[..] {
            [item] => Some(item),
            _ => None,
        }
    }

    /// The items, ascending.
    pub(crate) fn items(&self) -> &[T] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_a_few_items_in_order() {
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
