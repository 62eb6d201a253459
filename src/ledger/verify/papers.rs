//! What lies beside a chain, as far as it is here and unchanged: each document is read and hashed once.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    artifact::{AutomationFlow, Digest, Spec, digest_bytes},
    engagement::opened,
    policy::CatalogDigests,
};

use super::grounds::Grounds;

type Read<T> = RefCell<BTreeMap<Digest, Option<Arc<T>>>>;

pub(super) struct Papers<'a> {
    blobs: &'a BTreeMap<Digest, Vec<u8>>,
    /// Those that are there and what their digests say.
    unchanged: RefCell<BTreeSet<Digest>>,
    /// Several rules look at the same approval request.
    documents: Read<Value>,
    /// Each step's call is held against its flow, and so is the record.
    flows: Read<AutomationFlow>,
    /// Each call is held against its grant.
    specs: Read<Spec>,
    /// The arguments in sealed documents: several rules look at those of a call.
    args: Read<Map<String, Value>>,
    /// What calls were decided on: many on the same.
    catalogs: Read<CatalogDigests>,
    /// What questions were decided on, by the digests of their requests.
    grounds: Read<Grounds>,
}

/// Whether what is named is here.
pub(super) enum Here {
    /// It is, and it is what its digest says.
    Unchanged,
    /// Other bytes are, with this digest.
    Changed(Digest),
    /// It is not.
    Missing,
}

impl<'a> Papers<'a> {
    pub(super) fn new(blobs: &'a BTreeMap<Digest, Vec<u8>>) -> Self {
        let (documents, flows, specs, args, catalogs, grounds) = Default::default();
        Self { blobs, unchanged: RefCell::default(), documents, flows, specs, args, catalogs, grounds }
    }

    pub(super) fn here(&self, digest: &Digest) -> Here {
        if self.unchanged.borrow().contains(digest) {
            return Here::Unchanged;
        }
        match self.blobs.get(digest).map(|bytes| digest_bytes(bytes)) {
            None => Here::Missing,
            Some(is) if is == *digest => {
                self.unchanged.borrow_mut().insert(*digest);
                Here::Unchanged
            }
            Some(is) => Here::Changed(is),
        }
    }

    /// The bytes of a document, and nothing where they are not what its digest says.
    pub(super) fn bytes(&self, digest: &Digest) -> Option<&'a [u8]> {
        let same = |bytes: &&Vec<u8>| self.unchanged.borrow().contains(digest) || digest_bytes(bytes) == *digest;
        self.blobs.get(digest).filter(same).map(Vec::as_slice)
    }

    pub(super) fn document(&self, digest: &Digest) -> Option<Arc<Value>> {
        kept(&self.documents, digest, || serde_json::from_slice(self.bytes(digest)?).ok())
    }

    pub(super) fn flow(&self, digest: &Digest) -> Option<Arc<AutomationFlow>> {
        kept(&self.flows, digest, || serde_json::from_slice(self.bytes(digest)?).ok())
    }

    pub(super) fn spec(&self, digest: &Digest) -> Option<Arc<Spec>> {
        kept(&self.specs, digest, || serde_json::from_slice(self.bytes(digest)?).ok())
    }

    /// The arguments in a sealed document.
    pub(super) fn args(&self, digest: &Digest) -> Option<Arc<Map<String, Value>>> {
        kept(&self.args, digest, || opened(self.document(digest)?.as_ref())?.as_object().cloned())
    }

    /// The tools, targets, people and policies that a call was decided on, by the digest of what says so.
    pub(super) fn catalog(&self, decided_on: &Digest) -> Option<Arc<CatalogDigests>> {
        kept(&self.catalogs, decided_on, || {
            CatalogDigests::deserialize(self.document(decided_on)?.get("catalog")?).ok()
        })
    }

    /// What the question with this request was decided on; nothing where that was not kept or is not all here.
    pub(super) fn grounds(&self, request: &Digest) -> Option<Arc<Grounds>> {
        kept(&self.grounds, request, || Grounds::of(self.document(request)?.as_ref(), self))
    }
}

fn kept<T>(known: &Read<T>, digest: &Digest, read: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
    if let Some(known) = known.borrow().get(digest) {
        return known.clone();
    }
    let read = read().map(Arc::new);
    known.borrow_mut().insert(*digest, read.clone());
    read
}
