//! The claim: at most one process drives an engagement. It keeps two honest runs apart; what makes a lost race
//! harmless is the ledger's expected place, not this.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
};

use crate::artifact::EngagementId;

use super::error::LedgerError;

/// The right to drive an engagement, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    // The lock lives as long as the open file. The file itself stays: to remove it would let two processes lock
    // two files of the same name.
    _file: File,
    engagement: EngagementId,
}

impl Claim {
    /// Takes the claim on an engagement; the lock files lie in `dir`, which is made if need be.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Claimed`] if another process (or another part of this one) has it; [`LedgerError::Io`].
    pub fn take(dir: &Path, id: &EngagementId) -> Result<Self, LedgerError> {
        fs::create_dir_all(dir).map_err(|source| LedgerError::io("make the directory", dir, source))?;
        let path = dir.join(format!("{id}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| LedgerError::io("open", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, engagement: id.clone() }),
            Err(TryLockError::WouldBlock) => Err(LedgerError::Claimed(id.clone())),
            Err(TryLockError::Error(source)) => Err(LedgerError::io("lock", &path, source)),
        }
    }

    /// Whether a process drives an engagement now; the answer may be another the next moment, and nothing is claimed by it.
    pub fn is_taken(dir: &Path, id: &EngagementId) -> bool {
        let file = File::open(dir.join(format!("{id}.lock")));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The engagement that is claimed.
    pub fn engagement(&self) -> &EngagementId {
        &self.engagement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engagement_is_claimed_once_and_is_free_when_the_claim_ends() {
        let dir = tempfile::tempdir().unwrap();
        let locks = dir.path().join("locks");
        let id: EngagementId = "k7m2q".parse().unwrap();
        let claim = Claim::take(&locks, &id).unwrap();
        assert_eq!(*claim.engagement(), id);
        let refused = Claim::take(&locks, &id).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "another process is running engagement k7m2q; wait for it or look with `countersign show k7m2q`"
        );
        assert!(Claim::take(&locks, &"00000".parse().unwrap()).is_ok());
        assert!(Claim::is_taken(&locks, &id) && !Claim::is_taken(&locks, &"00000".parse().unwrap()));
        drop(claim);
        assert!(!Claim::is_taken(&locks, &id) && !Claim::is_taken(&locks, &"zzzzz".parse().unwrap()));
        assert!(Claim::take(&locks, &id).is_ok());
    }
}
