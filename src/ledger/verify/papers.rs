//! What lies beside a chain, as far as it is here and unchanged: each document is read and hashed once.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    artifact::{
        AutomationFlow, Digest, DiscoveryReport, Recent, ReconciledRecord, SolutionDesign, Spec, digest_bytes,
        is_canonical,
    },
    engagement::{Basis, Call, Picks, RequestDocument, State, sealed_value, unsealed},
    gate::ApprovalRequest,
    policy::CatalogDigests,
    tool::Toolbox,
};

use super::grounds::Grounds;

/// Documents up to this length are kept as they were read, since most are looked at again.
const SHORT: usize = 16 << 10;

/// How many sets of tools are kept before those that nobody asked for are forgotten.
const SETS: usize = 16;

/// The same of documents that questions of many chains are decided on, if they are not larger than [`SHARED_LENGTH`].
const SHARED: usize = 64;
const SHARED_LENGTH: usize = 64 << 10;

/// What questions were decided on, by the digests of its bytes: documents in canonical form, each.
static DECIDED_ON: LazyLock<Recent<Digest, Arc<Value>>> = LazyLock::new(|| Recent::new(SHARED));

/// The tools of definitions that were read before, by their digests: most chains of a ledger are decided on the same few.
static TOOLBOXES: LazyLock<Recent<Vec<Digest>, Option<Arc<Toolbox>>>> = LazyLock::new(|| Recent::new(SETS));

type Read<T> = RefCell<BTreeMap<Digest, Option<Arc<T>>>>;

pub(super) struct Papers<'a> {
    blobs: &'a BTreeMap<Digest, Vec<u8>>,
    /// Those that are there and what their digests say, and which of them are documents.
    unchanged: RefCell<BTreeMap<Digest, bool>>,
    /// Several rules look at the same approval request.
    documents: Read<Value>,
    /// The values in sealed documents: what calls were given and gave.
    values: Read<Value>,
    /// What was picked out of what calls gave.
    picks: Picks,
    /// Each step's call is held against its flow, and so is the record.
    flows: Read<AutomationFlow>,
    /// Each call is held against its grant.
    specs: Read<Spec>,
    /// The arguments of calls: several rules look at those of each.
    args: Read<Map<String, Value>>,
    /// What calls were decided on: many on the same.
    catalogs: Read<CatalogDigests>,
    bases: Read<Basis>,
    /// What questions were decided on, by the digests of their requests.
    grounds: Read<Grounds>,
    /// What drafts are made from, and what they are.
    requests: Read<RequestDocument>,
    reports: Read<DiscoveryReport>,
    designs: Read<SolutionDesign>,
    questions: Read<ApprovalRequest>,
    toolboxes: Read<Toolbox>,
    records: Read<ReconciledRecord>,
}

/// What is named.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Of {
    /// What is looked at in a moment.
    Read,
    /// What may be looked at.
    Any,
    /// What other chains were decided on too, which is read once.
    Shared,
    /// A sealed document, of which the value is looked at.
    Sealed,
}

/// Whether what is named is here.
pub(super) enum Here {
    /// It is, and it is what its digest says.
    Unchanged,
    /// It is what its digest says, and no document: not JSON, or not as it is written (RFC 8785). Whoever reads it would
    /// have to guess, and what looks at documents would look at none.
    NoDocument,
    /// Other bytes are, with this digest.
    Changed(Digest),
    /// It is not.
    Missing,
}

impl<'a> Papers<'a> {
    pub(super) fn new(blobs: &'a BTreeMap<Digest, Vec<u8>>) -> Self {
        let (documents, values, picks, flows, specs, args, catalogs, grounds) = Default::default();
        let (unchanged, requests, reports, designs, bases) = Default::default();
        let (questions, toolboxes, records) = Default::default();
        Self {
            blobs,
            unchanged,
            documents,
            values,
            picks,
            flows,
            specs,
            args,
            catalogs,
            bases,
            grounds,
            requests,
            reports,
            designs,
            questions,
            toolboxes,
            records,
        }
    }

    /// Whether it is here and what its digest says, and what is to be read of it.
    pub(super) fn here(&self, digest: &Digest, of: Of) -> Here {
        let told = |document: bool| if document { Here::Unchanged } else { Here::NoDocument };
        if let Some(document) = self.unchanged.borrow().get(digest) {
            return told(*document);
        }
        let Some(bytes) = self.blobs.get(digest) else { return Here::Missing };
        let is = digest_bytes(bytes);
        if is != *digest {
            return Here::Changed(is);
        }
        let shared = of == Of::Shared && bytes.len() <= SHARED_LENGTH;
        let known = if shared { DECIDED_ON.get(digest) } else { None };
        let read = known.or_else(|| {
            let read = document(bytes).map(Arc::new)?;
            if shared {
                DECIDED_ON.keep(*digest, Arc::clone(&read));
            }
            Some(read)
        });
        let document = read.is_some();
        if shared || of == Of::Read || bytes.len() <= SHORT || !document {
            match read {
                Some(read) if of == Of::Sealed => {
                    self.values.borrow_mut().insert(*digest, value(Arc::unwrap_or_clone(read)).map(Arc::new))
                }
                read => self.documents.borrow_mut().insert(*digest, read),
            };
        }
        self.unchanged.borrow_mut().insert(*digest, document);
        told(document)
    }

    /// Whether it is here, what its digest says, and a document.
    pub(super) fn is_document(&self, digest: &Digest) -> bool {
        self.unchanged.borrow().get(digest).is_some_and(|document| *document)
    }

    /// Whether something is here under this digest.
    pub(super) fn is_here(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// The bytes of a document, and nothing where they are not what its digest says.
    pub(super) fn bytes(&self, digest: &Digest) -> Option<&'a [u8]> {
        let same = |bytes: &&Vec<u8>| self.unchanged.borrow().contains_key(digest) || digest_bytes(bytes) == *digest;
        self.blobs.get(digest).filter(same).map(Vec::as_slice)
    }

    /// The request of a question, where it is one as this version writes it.
    pub(super) fn question(&self, digest: &Digest) -> Option<Arc<ApprovalRequest>> {
        kept(&self.questions, digest, || ApprovalRequest::deserialize(self.document(digest)?.as_ref()).ok())
    }

    /// The record that an engagement ends with.
    pub(super) fn record(&self, digest: &Digest) -> Option<Arc<ReconciledRecord>> {
        kept(&self.records, digest, || ReconciledRecord::deserialize(self.document(digest)?.as_ref()).ok())
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

    /// What a call gave, as far as it is here.
    pub(super) fn answer(&self, state: &State, call: &Call) -> Option<Arc<Value>> {
        self.result(state, &call.result?)
    }

    /// The answer with this digest.
    pub(super) fn result(&self, state: &State, digest: &Digest) -> Option<Arc<Value>> {
        self.value(digest, state.requested.seal.is_some())
    }

    /// What was picked out of what calls gave.
    pub(super) fn picks(&self) -> &Picks {
        &self.picks
    }

    /// A document, or the value in it where it is sealed.
    pub(super) fn value(&self, digest: &Digest, sealed: bool) -> Option<Arc<Value>> {
        if !sealed {
            return self.document(digest);
        }
        kept(&self.values, digest, || value(serde_json::from_slice(self.bytes(digest)?).ok()?))
    }

    /// The request of an engagement.
    pub(super) fn request(&self, digest: &Digest) -> Option<Arc<RequestDocument>> {
        kept(&self.requests, digest, || RequestDocument::deserialize(self.document(digest)?.as_ref()).ok())
    }

    pub(super) fn report(&self, digest: &Digest) -> Option<Arc<DiscoveryReport>> {
        kept(&self.reports, digest, || DiscoveryReport::deserialize(self.document(digest)?.as_ref()).ok())
    }

    pub(super) fn design(&self, digest: &Digest) -> Option<Arc<SolutionDesign>> {
        kept(&self.designs, digest, || SolutionDesign::deserialize(self.document(digest)?.as_ref()).ok())
    }

    /// The arguments in a sealed document.
    pub(super) fn args(&self, digest: &Digest) -> Option<Arc<Map<String, Value>>> {
        kept(&self.args, digest, || self.value(digest, true)?.as_object().cloned())
    }

    /// The tools, targets, people and policies that a call was decided on, by the digest of what says so.
    pub(super) fn catalog(&self, decided_on: &Digest) -> Option<Arc<CatalogDigests>> {
        kept(&self.catalogs, decided_on, || {
            CatalogDigests::deserialize(self.document(decided_on)?.get("catalog")?).ok()
        })
    }

    /// The whole of what a call was decided on.
    pub(super) fn basis(&self, decided_on: &Digest) -> Option<Arc<Basis>> {
        kept(&self.bases, decided_on, || Basis::deserialize(self.document(decided_on)?.as_ref()).ok())
    }

    /// What the question with this request was decided on; nothing where that was not kept or is not all here.
    pub(super) fn grounds(&self, request: &Digest) -> Option<Arc<Grounds>> {
        kept(&self.grounds, request, || Grounds::of(request, self))
    }

    /// The tools of these, whole, where all are here and are those of this version.
    pub(super) fn toolbox(&self, request: &Digest) -> Option<Arc<Toolbox>> {
        kept_alike(&self.toolboxes, request, || self.toolbox_of(self.grounds(request)?.defined().copied().collect()))
    }

    fn toolbox_of(&self, defined: Vec<Digest>) -> Option<Arc<Toolbox>> {
        // Whatever other chain had it, what has these digests is the same; it is here too, or nothing is said by it.
        if defined.iter().any(|digest| self.bytes(digest).is_none()) {
            return None;
        }
        if let Some(known) = TOOLBOXES.get(&defined) {
            return known;
        }
        let documents = defined.iter().map(|digest| self.document(digest)).collect::<Option<Vec<_>>>()?;
        let toolbox = Toolbox::as_defined(documents.iter().map(AsRef::as_ref)).ok().map(Arc::new);
        TOOLBOXES.keep(defined, toolbox.clone());
        toolbox
    }
}

/// The value in a sealed document.
fn value(document: Value) -> Option<Value> {
    sealed_value(&document)?;
    Some(unsealed(document))
}

/// What bytes say that are a document: JSON, as it is written (RFC 8785).
fn document(bytes: &[u8]) -> Option<Value> {
    let read = serde_json::from_slice(bytes).ok()?;
    is_canonical(bytes, &read).then_some(read)
}

fn kept<T>(known: &Read<T>, digest: &Digest, read: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
    kept_alike(known, digest, || read().map(Arc::new))
}

/// The same of what others have too.
fn kept_alike<T>(known: &Read<T>, digest: &Digest, read: impl FnOnce() -> Option<Arc<T>>) -> Option<Arc<T>> {
    if let Some(known) = known.borrow().get(digest) {
        return known.clone();
    }
    let read = read();
    known.borrow_mut().insert(*digest, read.clone());
    read
}
