//! What a ledger's backend must do. One write, all or nothing; everything else reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
};

use crate::artifact::{Digest, EngagementId, LedgerId, Written, digest_bytes};

use super::{
    error::LedgerError,
    lease::{Taken, Waits, With},
    merkle::{Leaf, Nodes},
    summary::Summary,
};

/// What a store answers when it is done.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;

/// The stored bytes of trust events, and targets that are being changed.
pub type AroundRead = (Vec<Vec<u8>>, BTreeSet<String>);

/// Events of one engagement with what they name, written together or not at all.
#[derive(Clone, Debug)]
pub struct Append {
    /// The engagement.
    pub engagement: EngagementId,
    /// The place of the last event that the writer knows; 0 for a new engagement.
    pub expected_seq: u64,
    /// The events, from `expected_seq + 1` on without gaps.
    pub events: Vec<Link>,
    /// Documents and results; those that are stored already are left as they are.
    pub blobs: Vec<Arc<Written>>,
    /// Documents whose bytes are destroyed in the same transaction.
    pub destroyed: Vec<Digest>,
    /// What lists show from now on; the ledger's own trust chain is in no list.
    pub summary: Option<Summary>,
    /// What the log over all engagements has of it.
    pub logs: Logs,
    /// What the chain folds into after these events, where it is kept: a cache, see [`Store::snapshot`].
    pub snapshot: Option<Vec<u8>>,
}

/// What the log over all engagements has of an append. Where it has anything, it is signed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logs {
    /// Nothing.
    Nothing,
    /// The last of its events.
    Last,
    /// The last event that is stored, of which the log has no leaf yet; nothing is written where it is another one, or has
    /// one.
    Head(Leaf),
    /// No new leaf: where its last checkpoint covers less than there is, it is signed as it is.
    AsItIs,
}

/// A leaf of the log and the event that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its place among the leaves, from 0.
    pub position: u64,
    /// The engagement.
    pub engagement: EngagementId,
    /// The place of the event.
    pub seq: u64,
    /// The stored bytes of the event, where they are there.
    pub bytes: Option<Vec<u8>>,
}

/// One event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its place.
    pub seq: u64,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Its hash.
    pub hash: Digest,
}

/// Which engagements a list shows, the last written first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// By where they stand.
    pub which: Which,
    /// Only those that this person asked for.
    pub requester: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Where an engagement stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Anywhere.
    #[default]
    All,
    /// Not closed.
    Open,
    /// Waiting for a person.
    Waiting,
    /// Closed.
    Closed,
}

/// A ledger's backend. [`Store::append`] is its only write.
pub trait Store: Send + Sync {
    /// Writes events, documents and summary in one transaction, durable when it answers.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Conflict`] if the last stored event is not `expected_seq`, or not that of [`Logs::Head`]; nothing is
    /// written then, as with any other error. A caller that gives up before the answer does not know; it reads what is there.
    fn append(&self, append: Append) -> Pending<'_, ()>;

    /// Whether [`Store::append`] can be asked at all: who does something else before it asks looks here first.
    ///
    /// # Errors
    ///
    /// [`LedgerError::ReadOnly`] or [`LedgerError::Full`] where the ledger was opened only to be read.
    fn writable(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Overwrites whatever the files still hold of documents that were destroyed; the answer is whether that is done. It is
    /// not while another process reads, and is to be asked for again then. Nothing that is stored changes.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Full`] where there is no room for it, [`LedgerError::Busy`] while another process writes.
    fn scrub(&self) -> Pending<'_, bool>;

    /// Whether that was done to its end since documents were destroyed last, whoever destroyed them and however they ended.
    fn is_scrubbed(&self) -> Pending<'_, bool>;

    /// How many transactions [`Store::append`] of this handle has written. Appends that arrive together share one.
    fn commits(&self) -> u64;

    /// The stored bytes of an engagement's events after a place, in order; none for an unknown engagement.
    fn events<'a>(&'a self, id: &'a EngagementId, after_seq: u64) -> Pending<'a, Vec<Vec<u8>>>;

    /// Those of an engagement's events whose places these are, as far as they are stored, in order.
    fn events_at<'a>(&'a self, id: &'a EngagementId, seqs: &'a [u64]) -> Pending<'a, Vec<Vec<u8>>>;

    /// A document or result.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] if what is stored does not have this digest.
    fn blob(&self, digest: Digest) -> Pending<'_, Option<Vec<u8>>>;

    /// Those of the documents and results that are stored.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] if one does not have its digest.
    fn blobs<'a>(&'a self, digests: &'a [Digest]) -> Pending<'a, BTreeMap<Digest, Vec<u8>>>;

    /// A document or result at once, for whoever works on something else and finds that it is needed. A backend that has
    /// to wait for an answer waits here.
    ///
    /// # Errors
    ///
    /// As [`Store::blob`].
    fn fetch(&self, digest: Digest) -> Result<Option<Vec<u8>>, LedgerError>;

    /// The last snapshot of an engagement that [`Append::snapshot`] gave, as far as the backend keeps them and can show that
    /// it is one that it was given; nothing else is an answer, and nothing is lost without one.
    fn snapshot<'a>(&'a self, id: &'a EngagementId) -> Pending<'a, Option<Vec<u8>>>;

    /// What lists show, the last written first.
    fn summaries(&self, filter: Filter) -> Pending<'_, Vec<Summary>>;

    /// The targets that engagements other than this one have changed and that are not closed yet. Read before an intent
    /// is written, it may be out of date by the calls that others write at the same instant.
    fn changing<'a>(&'a self, except: &'a EngagementId) -> Pending<'a, BTreeSet<String>>;

    /// The events of the trust chain after a place, and what [`Store::changing`] answers where an engagement is named: what
    /// each decision reads, in one go where the backend can.
    fn around<'a>(&'a self, trust_after: u64, except: Option<&'a EngagementId>) -> Pending<'a, AroundRead> {
        Box::pin(async move {
            let trust = self.events(&EngagementId::trust(), trust_after).await?;
            let changing = match except {
                Some(except) => self.changing(except).await?,
                None => BTreeSet::new(),
            };
            Ok((trust, changing))
        })
    }

    /// Asks for a target for an engagement, and for `waits` where it was asked for before; see [`Lease`]. It does not wait,
    /// and an engagement asks for nothing while it has a target.
    fn take<'a>(
        &'a self,
        target: &'a str,
        by: &'a EngagementId,
        with: With,
        waits: Option<Waits>,
    ) -> Pending<'a, Taken>;

    /// The random id that the ledger was made with.
    fn ledger(&self) -> Pending<'_, LedgerId>;

    /// How many leaves the log over all engagements has.
    fn log_size(&self) -> Pending<'_, u64>;

    /// Those of the log's hashes that are stored, by their places; see [`Nodes`].
    fn log_nodes<'a>(&'a self, places: &'a [u64]) -> Pending<'a, Nodes>;

    /// The leaves of an engagement, or all where none is named, in order.
    fn logged<'a>(&'a self, engagement: Option<&'a EngagementId>) -> Pending<'a, Vec<Logged>>;

    /// The last leaf of an engagement, if it has one: its place among the leaves, and that of its event.
    fn last_leaf<'a>(&'a self, engagement: &'a EngagementId) -> Pending<'a, Option<(u64, u64)>>;

    /// The place of the last event of an engagement that the log has; 0 where it has none.
    fn logged_to<'a>(&'a self, engagement: &'a EngagementId) -> Pending<'a, u64> {
        Box::pin(async move { Ok(self.last_leaf(engagement).await?.map_or(0, |(_, seq)| seq)) })
    }

    /// The checkpoints that cover more leaves than these, as they were signed, the smallest first.
    fn checkpoints(&self, after: u64) -> Pending<'_, Vec<String>>;

    /// The last checkpoint, as it was signed.
    fn last_checkpoint(&self) -> Pending<'_, Option<String>>;

    /// The engagements whose id begins so, in order. What a person mistypes is read as Crockford's base 32 says:
    /// upper case as lower case, `o` as `0`, `i` and `l` as `1`.
    fn find<'a>(&'a self, prefix: &'a str) -> Pending<'a, Vec<EngagementId>>;
}

/// Bytes that were read from a store, if they have the digest that they were asked for by.
pub(super) fn checked(digest: Digest, bytes: Vec<u8>) -> Result<Vec<u8>, LedgerError> {
    let is = digest_bytes(&bytes);
    if is == digest { Ok(bytes) } else { Err(LedgerError::blob(&digest, format!("its bytes hash to {is}"))) }
}

impl Logs {
    /// The last of the events, where that is so.
    pub(super) fn last_where(logged: bool) -> Self {
        if logged { Self::Last } else { Self::Nothing }
    }
}

impl Append {
    /// Nothing to write but a checkpoint of the log as it is, where its last one covers less and there is a key to sign with.
    pub fn signing() -> Self {
        Self::of_the_log(EngagementId::trust(), 0, Logs::AsItIs)
    }

    /// Nothing to write but a leaf of an event that is stored already and the last of its chain.
    pub fn head(head: Leaf) -> Self {
        Self::of_the_log(head.engagement.clone(), head.seq, Logs::Head(head))
    }

    fn of_the_log(engagement: EngagementId, expected_seq: u64, logs: Logs) -> Self {
        let (events, blobs, destroyed) = (Vec::new(), Vec::new(), Vec::new());
        Self { engagement, expected_seq, events, blobs, destroyed, summary: None, logs, snapshot: None }
    }

    /// The leaf that the log has of it, if any.
    pub(super) fn leaf(&self) -> Option<Leaf> {
        match &self.logs {
            Logs::Head(head) => Some(head.clone()),
            Logs::Last => {
                let last = self.events.last()?;
                Some(Leaf { engagement: self.engagement.clone(), head: last.hash, seq: last.seq })
            }
            Logs::Nothing | Logs::AsItIs => None,
        }
    }

    /// Whether the events follow `expected_seq` without gaps. A store asks before it writes: what is wrong here would be
    /// damage later.
    pub(super) fn coherent(&self) -> Result<(), LedgerError> {
        let mut seq = self.expected_seq;
        for link in &self.events {
            seq += 1;
            if link.seq != seq {
                let reason = format!("event {} was to be written where {seq} belongs", link.seq);
                return Err(LedgerError::corrupt(format!("an append to engagement {}", self.engagement), reason));
            }
        }
        Ok(())
    }
}
