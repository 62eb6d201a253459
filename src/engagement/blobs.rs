//! The documents and results of an engagement by digest, as pure code looks them up. Those that are not at hand are
//! fetched when they are asked for, so that whoever goes on with an engagement reads what it needs and not all that there
//! ever was. A digest names its bytes, so when they are fetched changes no answer.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use elsa::sync::FrozenMap;
use serde_json::Value;

use crate::artifact::{Digest, Written};

use super::picks::Picks;

/// Where documents come from that are not at hand.
pub trait Fetch: Send + Sync {
    /// The document with this digest, or the value in it where it is sealed; nothing where it is not stored. Whoever
    /// cannot read what may be stored answers nothing, and lets nothing be written that was decided without it.
    fn fetch(&self, digest: &Digest) -> Option<Arc<Value>>;

    /// The bytes of a document that is not sealed, for whoever reads them as something else than a value.
    fn bytes(&self, digest: &Digest) -> Option<Vec<u8>>;
}

/// Stored documents and results by digest.
#[allow(clippy::redundant_allocation, reason = "the map lends what its values own, which is then a document to share")]
#[derive(Default)]
pub struct Blobs {
    held: BTreeMap<Digest, Held>,
    fetched: FrozenMap<Digest, Box<Arc<Value>>>,
    from: Option<Arc<dyn Fetch>>,
    picks: Picks,
}

/// A document that is at hand.
#[derive(Clone)]
enum Held {
    Value(Arc<Value>),
    /// A value when somebody asks for one.
    Written(Arc<Written>),
}

impl Held {
    fn value(&self) -> &Arc<Value> {
        match self {
            Self::Value(value) => value,
            Self::Written(written) => written.value(),
        }
    }
}

impl Blobs {
    /// None, and nowhere to look for others.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, and where the others come from.
    pub fn fetching(fetch: Arc<dyn Fetch>) -> Self {
        Self { from: Some(fetch), ..Self::default() }
    }

    /// None, and nowhere to look for others; what was picked out of the same ones before is known.
    pub fn known(picks: &Picks) -> Self {
        Self { picks: picks.clone(), ..Self::default() }
    }

    /// What was picked out of them.
    pub fn picks(&self) -> &Picks {
        &self.picks
    }

    /// A document or result, or the value in it where it is sealed.
    pub fn get(&self, digest: &Digest) -> Option<&Arc<Value>> {
        if let Some(known) = self.held.get(digest).map(Held::value).or_else(|| self.fetched.get(digest)) {
            return Some(known);
        }
        let found = self.from.as_ref()?.fetch(digest)?;
        Some(self.fetched.insert(*digest, Box::new(found)))
    }

    /// The bytes of a document that is not sealed, where it is no value yet.
    pub fn bytes(&self, digest: &Digest) -> Option<Cow<'_, [u8]>> {
        match self.held.get(digest) {
            Some(Held::Written(written)) if !written.is_read() => Some(Cow::Borrowed(written.bytes())),
            Some(_) => None,
            None if self.fetched.get(digest).is_some() => None,
            None => self.from.as_ref()?.bytes(digest).map(Cow::Owned),
        }
    }

    /// Whether it is at hand without being fetched.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.held.contains_key(digest) || self.fetched.get(digest).is_some()
    }

    /// All that are at hand.
    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.held.values().map(Held::value)
    }

    /// Adds one.
    pub fn insert(&mut self, digest: Digest, value: Arc<Value>) {
        self.held.insert(digest, Held::Value(value));
    }

    /// Adds one that was written.
    pub fn add(&mut self, written: Arc<Written>) {
        self.held.insert(written.digest(), Held::Written(written));
    }

    /// Takes over what others hold.
    pub fn append(&mut self, others: &mut Self) {
        // One by one: `BTreeMap::append` makes the whole map anew, however few come to it.
        self.held.extend(std::mem::take(&mut others.held));
    }

    /// Forgets one.
    pub fn remove(&mut self, digest: &Digest) {
        self.held.remove(digest);
        self.fetched.as_mut().remove(digest);
    }
}

impl Extend<(Digest, Arc<Value>)> for Blobs {
    fn extend<T: IntoIterator<Item = (Digest, Arc<Value>)>>(&mut self, documents: T) {
        self.held.extend(documents.into_iter().map(|(digest, value)| (digest, Held::Value(value))));
    }
}

impl FromIterator<(Digest, Arc<Value>)> for Blobs {
    fn from_iter<T: IntoIterator<Item = (Digest, Arc<Value>)>>(documents: T) -> Self {
        let mut blobs = Self::default();
        blobs.extend(documents);
        blobs
    }
}

/// What is at hand; what was fetched is fetched again.
impl Clone for Blobs {
    fn clone(&self) -> Self {
        Self {
            held: self.held.clone(),
            fetched: FrozenMap::default(),
            from: self.from.clone(),
            picks: self.picks.clone(),
        }
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::artifact::{canonical, digest_of};

    struct Shelf(Value, AtomicUsize);

    impl Fetch for Shelf {
        fn fetch(&self, digest: &Digest) -> Option<Arc<Value>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            (digest_of(&self.0).unwrap() == *digest).then(|| Arc::new(self.0.clone()))
        }

        fn bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
            self.fetch(digest).map(|value| canonical(&value).unwrap())
        }
    }

    #[test]
    fn what_is_not_at_hand_is_fetched_once_and_what_is_forgotten_again() {
        let (there, here) = (json!({"vlans": [20]}), json!({"vlans": []}));
        let digest = digest_of(&there).unwrap();
        let shelf = Arc::new(Shelf(there.clone(), AtomicUsize::new(0)));
        let mut blobs = Blobs::fetching(Arc::clone(&shelf) as Arc<dyn Fetch>);
        blobs.insert(digest_of(&here).unwrap(), Arc::new(here.clone()));
        assert_eq!(**blobs.get(&digest_of(&here).unwrap()).unwrap(), here);
        assert_eq!(shelf.1.load(Ordering::Relaxed), 0, "that was at hand");
        assert!(!blobs.holds(&digest));
        assert_eq!(*blobs.bytes(&digest).unwrap(), canonical(&there).unwrap());
        assert_eq!(blobs.bytes(&digest_of(&here).unwrap()), None, "that is at hand");
        let written = Written::of(&json!([1])).unwrap();
        blobs.add(Arc::clone(&written));
        assert!(blobs.holds(&written.digest()));
        assert_eq!(*blobs.bytes(&written.digest()).unwrap(), *written.bytes(), "it is no value yet");
        assert_eq!(**blobs.get(&written.digest()).unwrap(), json!([1]));
        assert_eq!(blobs.bytes(&written.digest()), None, "and now it is");
        shelf.1.store(0, Ordering::Relaxed);
        for _ in 0..3 {
            assert_eq!(**blobs.get(&digest).unwrap(), there);
        }
        assert_eq!(shelf.1.load(Ordering::Relaxed), 1);
        assert!(blobs.holds(&digest));
        blobs.remove(&digest);
        assert!(!blobs.holds(&digest));
        assert!(blobs.get(&digest_of(&json!(1)).unwrap()).is_none());
        assert!(Blobs::new().get(&digest).is_none());
    }
}
