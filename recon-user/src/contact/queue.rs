//! Attempts that wait for their outcome.
//!
//! In: events by key. Out: attempts in the order in which they began, each until it is settled.
//! The decision held here: one array in the order of arrival and an index to it, so that what is
//! derived from a poll's rows has the order of the rows, whatever the secrets of the hash.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use crate::seed::Secrets;

/// Room for so many attempts is kept.
const KEPT_ATTEMPTS: usize = 1024;
/// Room for so many times those that waited is given up.
const KEPT_SHARE: usize = 4;

/// Attempts by key.
#[derive(Debug)]
pub(super) struct Queue<K, A> {
    attempts: Vec<(K, A)>,
    index: HashTable<u32>,
    secrets: Secrets,
}

impl<K, A> Default for Queue<K, A> {
    fn default() -> Self {
        Self {
            attempts: Vec::new(),
            index: HashTable::new(),
            secrets: Secrets::default(),
        }
    }
}

impl<K: Copy + Eq + Hash, A> Queue<K, A> {
    /// The attempt of that key, which begins now if there is none.
    pub(super) fn entry(&mut self, key: K, begin: impl FnOnce() -> A) -> &mut A {
        let Self {
            attempts,
            index,
            secrets,
        } = self;
        let hash = secrets.hash_one(key);
        let found = index.find(hash, |&at| attempts[at as usize].0 == key);
        let at = match found {
            Some(&at) => at as usize,
            None => {
                let at = attempts.len();
                attempts.push((key, begin()));
                let hash_of = |&at: &u32| secrets.hash_one(attempts[at as usize].0);
                index.insert_unique(hash, at as u32, hash_of);
                at
            }
        };
        &mut attempts[at].1
    }

    /// Whether there is an attempt of that key.
    pub(super) fn contains(&self, key: &K) -> bool {
        let hash = self.secrets.hash_one(key);
        let is_it = |&at: &u32| self.attempts[at as usize].0 == *key;
        self.index.find(hash, is_it).is_some()
    }

    /// Visits all attempts in their order.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&K, &A)) {
        self.attempts
            .iter()
            .for_each(|(key, attempt)| visit(key, attempt));
    }

    /// Visits all attempts, and drops those for which `is_kept` is false.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(&K, &mut A) -> bool) {
        let before = self.attempts.len();
        self.attempts
            .retain_mut(|(key, attempt)| is_kept(key, attempt));
        let dropped = before - self.attempts.len();
        let Self {
            attempts,
            index,
            secrets,
        } = self;
        // A flood must not hold its memory for good.
        if attempts.capacity() / KEPT_SHARE > before.max(KEPT_ATTEMPTS) {
            attempts.shrink_to(2 * before);
            *index = HashTable::new();
        } else if dropped == 0 {
            return;
        } else {
            index.clear();
        }
        for (at, (key, _)) in attempts.iter().enumerate() {
            let hash_of = |&at: &u32| secrets.hash_one(attempts[at as usize].0);
            index.insert_unique(secrets.hash_one(key), at as u32, hash_of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_does_not_hold_its_memory() {
        const FLOOD: u32 = 100_000;
        let mut queue = Queue::default();
        for number in 0..FLOOD {
            queue.entry(number, || ());
        }
        queue.retain(|_, ()| false);
        queue.entry(7, || ());
        queue.retain(|_, ()| true);
        assert!(queue.attempts.capacity() < FLOOD as usize / 10);
        assert!(queue.index.capacity() < FLOOD as usize / 10);
        assert!(queue.contains(&7) && !queue.contains(&8));
    }

    #[test]
    fn attempts_keep_their_order() {
        let mut queue = Queue::default();
        for number in [5, 3, 9, 3, 7, 5] {
            *queue.entry(number, || 0) += 1;
        }
        let mut seen = Vec::new();
        queue.retain(|&key, &mut count| {
            seen.push((key, count));
            key != 3
        });
        assert_eq!(seen, [(5, 2), (3, 2), (9, 1), (7, 1)]);
        assert_eq!([3, 9].map(|key| queue.contains(&key)), [false, true]);
        assert_eq!(*queue.entry(7, || 0), 1);
    }
}
