//! One engagement held against the ledger's own last checkpoint: its leaves are made again from its events, and each must
//! lead to the root that was signed. What it costs does not grow with what other engagements there are.

use std::cmp::Ordering;

use crate::{
    artifact::{Digest, EngagementId},
    engagement::Event,
    ledger::{
        chain,
        error::LedgerError,
        keys::{KeyHistory, LedgerKeys},
        merkle::{self, Leaf},
        store::Store,
        verify::Problem,
    },
};

use super::{bears_out_leaf, last_checkpoint, leaf_of, log_root, path, signed, unlogged};

/// What of a chain the log does not bear out, and what is yet to be known of it.
///
/// # Errors
///
/// [`LedgerError::Corrupt`]; and whatever the store gives.
pub async fn held(
    store: &dyn Store,
    keys: &KeyHistory,
    id: &EngagementId,
) -> Result<(Vec<Problem>, Vec<String>), LedgerError> {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    // Events, then checkpoints, then leaves: whoever writes meanwhile adds leaves to what was read.
    let stored = store.events(id, 0).await?;
    let last = last_checkpoint(store).await?;
    let (logged, leaves) = (store.logged(Some(id)).await?, store.log_size().await?);
    let events: Vec<Event> = stored.iter().filter_map(|bytes| chain::read(bytes).ok()).collect();
    for seq in unlogged(&events, &logged.iter().map(|leaf| leaf.seq).collect(), keys) {
        let what = "the log has no leaf of this event: it was changed, written past the log, or its leaf was taken out";
        problems.push(Problem::at(seq, what));
    }
    let covers = last.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size);
    match &last {
        None if leaves > 0 && last_checkpoint(store).await?.is_none() => {
            problems.push(Problem::at(0, "the log: it has leaves and no checkpoint, and its keys are here"));
        }
        None => {}
        Some((_, note)) => {
            problems.extend(signed(note, keys).err().map(|what| Problem::at(0, format!("the log: {what}"))))
        }
    }
    if covers > leaves {
        let what =
            format!("the log: its last checkpoint covers {covers} leaves, and there are {leaves}: it was rolled back");
        problems.push(Problem::at(0, what));
    }
    let Some((checkpoint, _)) = last.filter(|_| problems.is_empty()) else { return Ok((problems, notes)) };
    let root = match log_root(store, checkpoint.size).await {
        Ok(root) => Some(root),
        Err(LedgerError::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    if root != Some(checkpoint.root) {
        let what = "the log: the hashes that are stored of its tree do not lead to its last checkpoint, so nothing is shown \
                    by it (`countersign verify log` makes them again)";
        return Ok((vec![Problem::at(0, what)], notes));
    }
    for leaf in &logged {
        if leaf.position >= checkpoint.size {
            notes.push(format!("event {} is in the log, and under no checkpoint yet", leaf.seq));
            continue;
        }
        let places = merkle::inclusion(leaf.position, checkpoint.size);
        let hashes = path(store, places, checkpoint.size).await?;
        let made = leaf_of(leaf).and_then(|leaf| leaf.bytes().map_err(|error| error.to_string()));
        match made {
            Ok(bytes) if merkle::includes(checkpoint.size, &checkpoint.root, leaf.position, &bytes, &hashes) => {}
            Ok(_) => problems.push(Problem::at(
                leaf.seq,
                format!(
                    "the ledger's own checkpoint of {} leaves is over another leaf {} than this event gives: it was changed, \
                     or a hash that is stored of the log (`countersign verify log` tells)",
                    checkpoint.size, leaf.position
                ),
            )),
            // A leaf whose event is missing is found where the chain is.
            Err(_) if leaf.bytes.is_none() => {}
            Err(what) => problems.push(Problem::at(leaf.seq, what)),
        }
    }
    Ok((problems, notes))
}

/// How a chain that was read up to an event is not what the log over all engagements has of it; nothing where it is. `last`
/// is the last of those read that belongs in the log, and its kind.
///
/// # Errors
///
/// Whatever the store gives.
pub async fn torn(
    store: &dyn Store,
    id: &EngagementId,
    read: u64,
    last: Option<(u64, &str)>,
) -> Result<Option<String>, LedgerError> {
    let covers = store.logged_to(id).await?;
    if let Some((seq, kind)) = last.filter(|(seq, _)| *seq > covers) {
        return Ok(Some(format!("the log has no leaf of its event {seq} ({kind}): it was written past it")));
    }
    // Others may have written it since it was read.
    let cut = covers > read && store.events_at(id, &[covers]).await?.is_empty();
    Ok(cut.then(|| format!("the log has its event {covers}, and it ends at event {read}: it was cut")))
}

/// How the last leaf of a chain, by its place among the leaves and that of its event, is not of the event that stands there,
/// of a chain that was read up to one with this hash; nothing where it is. Whoever may write the file and not sign the log may
/// have written it anew, and what is signed from there on would be signed over that.
///
/// # Errors
///
/// Whatever the store gives.
pub async fn anew(
    store: &dyn Store,
    id: &EngagementId,
    (place, seq): (u64, u64),
    (read, head): (u64, Digest),
) -> Result<Option<String>, LedgerError> {
    let there = match seq.cmp(&read) {
        // Others may have written it since it was read, or it was cut.
        Ordering::Greater => return Ok(None),
        Ordering::Equal => Some(head),
        Ordering::Less => {
            let stored = store.events_at(id, &[seq]).await?.pop();
            let event = stored.map(|bytes| chain::read(&bytes).map_err(|error| LedgerError::event(id, &error)));
            event.transpose()?.map(|event| event.hash)
        }
    };
    let Some(head) = there else { return Ok(None) };
    if bears_out_leaf(store, place, &Leaf { engagement: id.clone(), head, seq }).await? {
        return Ok(None);
    }
    Ok(Some(format!(
        "the log has another event {seq}: it was written anew, or a hash that is stored of the log was changed (`countersign \
         verify {id}` tells)"
    )))
}

impl LedgerKeys {
    /// Whether a store has all that these keys have signed. The newest checkpoints leave no gap where they were.
    ///
    /// # Errors
    ///
    /// [`LedgerError::RolledBack`] if not; [`LedgerError::Keys`] where what was written down cannot be read; and whatever
    /// the store gives.
    pub async fn not_rolled_back(&self, store: &dyn Store) -> Result<(), LedgerError> {
        // Read first: whoever commits meanwhile signs more.
        let signed = self.signed_most()?;
        let last = last_checkpoint(store).await?;
        let all = self.all_of(signed, last.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size));
        if let (Err(LedgerError::RolledBack { .. }), Some((_, note))) = (&all, &last) {
            // The keys of another ledger have signed another log.
            self.fit(Some(note)).map_err(|error| LedgerError::Keys(error.to_string()))?;
        }
        all
    }

    /// Whether a log whose last checkpoint covers so many leaves, and gets no more meanwhile, has all that these keys have
    /// signed.
    pub(in crate::ledger) fn signed_all_of(&self, covers: u64) -> Result<(), LedgerError> {
        self.all_of(self.signed_most()?, covers)
    }

    fn signed_most(&self) -> Result<Option<u64>, LedgerError> {
        self.signed_up_to().map_err(|error| LedgerError::Keys(error.to_string()))
    }

    fn all_of(&self, signed: Option<u64>, covers: u64) -> Result<(), LedgerError> {
        match signed.filter(|signed| covers < *signed) {
            Some(signed) => Err(LedgerError::RolledBack { signed, covers, file: self.signed_file() }),
            None => Ok(()),
        }
    }
}
