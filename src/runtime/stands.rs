//! The questions that are known to stand: what would be asked now was worked out, and is what was asked. A question
//! follows from its chain, the catalog, the trust stage and the models; while those are the same, so is the question,
//! and whoever answers it moments later need not have it worked out again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{artifact::Digest, engagement::Standing, gate::Endpoint, policy::Catalog};

/// How many are kept.
const KEPT: usize = 256;

/// What a question follows from.
#[derive(Debug)]
pub(super) struct Grounds<'a> {
    /// The head of the chain after the question.
    pub(super) head: Digest,
    pub(super) catalog: &'a Arc<Catalog>,
    pub(super) standing: &'a Standing,
    pub(super) models: &'a [Endpoint],
}

/// The same, kept. A catalog that nobody uses any more is not kept alive, and no other can have its address meanwhile.
#[derive(Debug)]
struct Kept {
    head: Digest,
    catalog: Weak<Catalog>,
    standing: Standing,
    models: Vec<Endpoint>,
}

impl Kept {
    fn is(&self, on: &Grounds<'_>) -> bool {
        self.head == on.head
            && std::ptr::eq(self.catalog.as_ptr(), Arc::as_ptr(on.catalog))
            && self.standing == *on.standing
            && self.models == on.models
    }
}

/// The questions that stand.
#[derive(Debug, Default)]
pub(super) struct Stands(Mutex<VecDeque<Kept>>);

impl Stands {
    /// Whether the open question is known to be what would be asked on these grounds.
    pub(super) fn known(&self, on: &Grounds<'_>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().any(|kept| kept.is(on))
    }

    /// The open question is what would be asked on these grounds.
    pub(super) fn keep(&self, on: &Grounds<'_>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.pop_front();
        }
        let (standing, models) = (on.standing.clone(), on.models.to_vec());
        all.push_back(Kept { head: on.head, catalog: Arc::downgrade(on.catalog), standing, models });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifact::digest_bytes, record::fixture::catalog};

    #[test]
    fn a_question_stands_on_exactly_what_it_was_asked_on() {
        let stands = Stands::default();
        let (catalog, other) = (Arc::new(catalog()), Arc::new(catalog()));
        let standing = |stage| Standing { stage, because: "so".into() };
        let (first, third) = (standing(1), standing(3));
        let here = Endpoint { name: "here".into(), url: "http://localhost".into(), ..Endpoint::default() };
        let models = [here];
        let head = digest_bytes(b"head");
        let on = |head, catalog, standing, models| Grounds { head, catalog, standing, models };
        stands.keep(&on(head, &catalog, &first, &[]));
        assert!(stands.known(&on(head, &catalog, &first, &[])));
        assert!(!stands.known(&on(digest_bytes(b"later"), &catalog, &first, &[])));
        assert!(!stands.known(&on(head, &other, &first, &[])), "equal files that were read again");
        assert!(!stands.known(&on(head, &catalog, &third, &[])));
        assert!(!stands.known(&on(head, &catalog, &first, &models)));
        for n in 0..KEPT {
            stands.keep(&on(digest_bytes(&n.to_be_bytes()), &catalog, &first, &[]));
        }
        assert!(!stands.known(&on(head, &catalog, &first, &[])), "forgotten, and so worked out again");
    }
}
