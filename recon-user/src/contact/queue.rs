//! Attempts that wait for their outcome.
//!
//! In: events by key. Out: attempts in the order in which they began, each until it is settled.
//! The decision held here: one array in the order of arrival and an index to it, so that what is
//! derived from a poll's rows has the order of the rows, whatever the secrets of the hash.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::seed::Secrets;

/// Room for so many attempts is kept.
const KEPT_ATTEMPTS: usize = 1024;
/// Room for so many times those that waited is given up.
const KEPT_SHARE: usize = 4;

/// Attempts by key.
#[derive(Debug)]
pub(super) struct Queue<K, A> {
    attempts: Vec<Waiting<K, A>>,
    index: HashTable<Place>,
    secrets: Secrets,
}

#[derive(Debug)]
struct Waiting<K, A> {
    hash: u32,
    key: K,
    attempt: A,
}

/// Where an attempt is. The hash is here too, so that a growing index and a look-up of another key
/// do not touch the attempts.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    at: u32,
}

impl Place {
    /// The hash as the index needs it, with bits at both ends.
    fn spread(self) -> u64 {
        spread(self.hash)
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash) << u32::BITS | u64::from(hash)
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

/// The attempts in their order. The index is built again, under secrets of its own.
impl<K: Serialize, A: Serialize> Serialize for Queue<K, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attempts = self.attempts.iter();
        serializer.collect_seq(attempts.map(|waiting| (&waiting.key, &waiting.attempt)))
    }
}

impl<'de, K, A> Deserialize<'de> for Queue<K, A>
where
    K: Copy + Eq + Hash + Deserialize<'de>,
    A: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut queue = Self::default();
        for (key, attempt) in Vec::<(K, A)>::deserialize(deserializer)? {
            queue.entry(key, || attempt);
        }
        Ok(queue)
    }
}

impl<K: Copy + Eq + Hash, A> Queue<K, A> {
    /// The attempt of that key, which begins now if there is none.
    pub(super) fn entry(&mut self, key: K, begin: impl FnOnce() -> A) -> &mut A {
        let hash = self.hash(&key);
        let at = match self.find(&key, hash) {
            Some(at) => at,
            None => {
                let at = self.attempts.len();
                self.attempts.push(Waiting {
                    hash,
                    key,
                    attempt: begin(),
                });
                let place = Place {
                    hash,
                    at: at as u32,
                };
                self.index
                    .insert_unique(place.spread(), place, |place| place.spread());
                at
            }
        };
        &mut self.attempts[at].attempt
    }

    /// Whether there is an attempt of that key.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.find(key, self.hash(key)).is_some()
    }

    fn hash(&self, key: &K) -> u32 {
        (self.secrets.hash_one(key) >> u32::BITS) as u32
    }

    fn find(&self, key: &K, hash: u32) -> Option<usize> {
        let is_it =
            |place: &Place| place.hash == hash && self.attempts[place.at as usize].key == *key;
        let place = self.index.find(spread(hash), is_it)?;
        Some(place.at as usize)
    }

    /// Visits all attempts in their order.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&K, &A)) {
        self.attempts
            .iter()
            .for_each(|waiting| visit(&waiting.key, &waiting.attempt));
    }

    /// Visits all attempts, and drops those for which `is_kept` is false.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(&K, &mut A) -> bool) {
        let before = self.attempts.len();
        self.attempts
            .retain_mut(|waiting| is_kept(&waiting.key, &mut waiting.attempt));
        let Self {
            attempts, index, ..
        } = self;
        // A flood must not hold its memory for good.
        if attempts.capacity() / KEPT_SHARE > before.max(KEPT_ATTEMPTS) {
            attempts.shrink_to(2 * before);
            *index = HashTable::new();
        } else if before == attempts.len() {
            return;
        } else {
            index.clear();
        }
        for (at, waiting) in attempts.iter().enumerate() {
            let place = Place {
                hash: waiting.hash,
                at: at as u32,
            };
            index.insert_unique(place.spread(), place, |place| place.spread());
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
