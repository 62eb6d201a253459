//! A workspace's own log: signing what of it is under no checkpoint yet, and publishing the checkpoints.

use std::{error::Error, io::ErrorKind};

use crate::ledger::{Append, KeyError, KeyHistory, Leaf, Note, last_checkpoint};

use super::{
    error::WorkspaceError,
    witness::{forked, publish},
    workspace::Workspace,
};

/// Whether something in the log was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signs {
    /// It was.
    Signs,
    /// It was not, for this reason.
    Not(String),
}

impl Workspace {
    /// Publishes the checkpoints that were not yet; the answer is what went wrong, in words, why the log is signed no more
    /// if its keys do not go with it, and whether others may read them.
    pub async fn publish(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self.sign_log().await.ok().flatten().into_iter().collect();
        wrong.extend(self.keys().await.ok().and_then(|keys| keys.exposed()));
        if self.witness.is_none() {
            return wrong;
        }
        let keys = self.fitting_keys().await;
        wrong.extend(publish(&self.witness, self.store.as_ref(), keys.as_ref(), &self.root).await);
        wrong
    }

    /// Whether checkpoints are published by itself.
    pub fn publishes(&self) -> bool {
        !self.witness.is_none()
    }

    /// The public keys, if they are those of the log: what an old copy of them does not know is no stranger's.
    async fn fitting_keys(&self) -> Option<KeyHistory> {
        let keys = self.keys().await.ok()?;
        let last = last_checkpoint(self.store.as_ref()).await.ok()?;
        keys.fit(last.map(|(_, note)| note).as_ref()).ok()?;
        keys.history().ok()
    }

    /// Signs the leaves of the log that are under no checkpoint, as who wrote them could not read the key; why nobody can, if
    /// nobody can. That this user may not read the key is no such reason: others may.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError::Ledger`].
    pub async fn sign_log(&self) -> Result<Option<String>, WorkspaceError> {
        let last = last_checkpoint(self.store.as_ref()).await?;
        let (covered, note) = last.map_or((0, None), |(checkpoint, note)| (checkpoint.size, Some(note)));
        let leaves = self.store.log_size().await?;
        if leaves <= covered {
            return Ok(None);
        }
        match self.signs(note.as_ref()).await? {
            Ok(()) => {
                self.store.append(Append::signing()).await?;
                Ok(None)
            }
            Err(Hinders::Key(error)) if kind(&error) != Some(ErrorKind::PermissionDenied) => {
                let why = words(&error);
                Ok(Some(format!(
                    "the last {} of {leaves} leaves of the log are under no checkpoint: {why}",
                    leaves - covered
                )))
            }
            Err(_) => Ok(None),
        }
    }

    /// Puts the last event of a chain into the log and signs it, if this user may. Whether the chain holds is asked before.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Conflict`](crate::ledger::LedgerError::Conflict) where that is not its last event any more; whatever else the store gives.
    pub async fn sign_head(&self, head: Leaf) -> Result<Signs, WorkspaceError> {
        let last = last_checkpoint(self.store.as_ref()).await?.map(|(_, note)| note);
        match self.signs(last.as_ref()).await? {
            Err(Hinders::Key(error)) => return Ok(Signs::Not(words(&error))),
            Err(Hinders::Ledger(error)) => return Ok(Signs::Not(error.to_string())),
            Err(Hinders::Witness(why)) => return Ok(Signs::Not(why)),
            Ok(()) => {}
        }
        let id = head.engagement.clone();
        self.store.append(Append::head(head)).await?;
        let covers = last_checkpoint(self.store.as_ref()).await?.map_or(0, |(checkpoint, _)| checkpoint.size);
        let last = self.store.last_leaf(&id).await?;
        // The key may have gone since it was looked for.
        Ok(match last.is_some_and(|(place, _)| place < covers) {
            true => Signs::Signs,
            false => Signs::Not("the ledger's key cannot be read".into()),
        })
    }

    /// Whether something may be put into the log with this last checkpoint and signed; else what is in the way. One that was
    /// rolled back, or does not follow from what its witness has, is not signed as if it were all there was.
    async fn signs(&self, last: Option<&Note>) -> Result<Result<(), Hinders>, WorkspaceError> {
        let keys = self.keys().await?;
        if let Err(error) = keys.fit(last).and_then(|()| keys.signer().map(drop)) {
            return Ok(Err(Hinders::Key(error)));
        }
        let written = self.store.writable().map_err(WorkspaceError::from);
        let whole = match written {
            Ok(()) => self.not_rolled_back().await,
            Err(error) => Err(error),
        };
        if let Err(error) = whole {
            return Ok(Err(Hinders::Ledger(error)));
        }
        let history = keys.history().ok();
        Ok(match forked(&self.witness, self.store.as_ref(), history.as_ref(), &self.root).await {
            None => Ok(()),
            Some(why) => Err(Hinders::Witness(why)),
        })
    }
}

/// Why something in the log is not signed.
enum Hinders {
    /// There is no key to sign with.
    Key(KeyError),
    /// It cannot be written to, or was rolled back.
    Ledger(WorkspaceError),
    /// Its witness has more of the log, or another one.
    Witness(String),
}

fn kind(error: &KeyError) -> Option<ErrorKind> {
    match error {
        KeyError::Io { source, .. } => Some(source.kind()),
        _ => None,
    }
}

fn words(error: &KeyError) -> String {
    match error {
        KeyError::Io { path, .. } if kind(error) == Some(ErrorKind::NotFound) => {
            format!("{} is missing; put it back from a copy of .countersign/keys", path.display())
        }
        _ => error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}
