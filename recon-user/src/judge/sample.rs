//! A few of the things seen, for the alert's reader.
//!
//! In: items. Out: up to a limit of different ones, ascending, and whether there was but one.

/// Up to `LIMIT` different items.
#[derive(Clone, Debug)]
pub(super) struct Sample<T, const LIMIT: usize>(Vec<T>);

impl<T, const LIMIT: usize> Default for Sample<T, LIMIT> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord, const LIMIT: usize> Sample<T, LIMIT> {
    /// Keeps `item`, if it is new and there is room.
    pub(super) fn insert(&mut self, item: T) {
        if let Err(place) = self.0.binary_search(&item)
            && self.0.len() < LIMIT
        {
            self.0.insert(place, item);
        }
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
        for (port, only, items) in [
            (80, Some(80), &[80][..]),
            (80, Some(80), &[80]),
            (22, None, &[22, 80]),
            (443, None, &[22, 80, 443]),
            (1, None, &[22, 80, 443]),
        ] {
            sample.insert(port);
            assert_eq!((sample.only(), sample.items()), (only, items));
        }
    }
}
