//! What was worked out before, kept under what it follows from: an entry is never stale, only unused. There are two
//! generations: what is asked for moves into the young one, and when that is full the old one is dropped.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// At most twice as many entries as a generation holds, those that were asked for last among them.
#[derive(Debug)]
pub struct Recent<K, V> {
    generation: usize,
    kept: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Nothing yet; `generation` entries may be added before those that nobody asked for meanwhile are forgotten.
    pub fn new(generation: usize) -> Self {
        Self { generation, kept: Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() }) }
    }

    /// What is kept under a key.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.young.get(key) {
            return Some(found.clone());
        }
        let (key, found) = kept.old.remove_entry(key)?;
        kept.keep(self.generation, key, found.clone());
        Some(found)
    }

    /// Keeps what follows from a key.
    pub fn keep(&self, key: K, value: V) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).keep(self.generation, key, value);
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn keep(&mut self, generation: usize, key: K, value: V) {
        if self.young.len() >= generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_is_forgotten() {
        let recent = Recent::new(100);
        for n in 0..300 {
            recent.keep(n, n * n);
            assert_eq!(recent.get(&0), Some(0), "the one that is asked for is there after {n} others");
            let kept = recent.kept.lock().unwrap();
            assert!(kept.young.len() + kept.old.len() <= 200);
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&299), Some(299 * 299));
    }
}
