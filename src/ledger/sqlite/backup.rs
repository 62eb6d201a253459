//! A copy of a ledger while others write to it: whole as of one moment, checked, and then given its name.

use std::{
    fs::{self, File},
    path::Path,
};

use super::{
    super::{
        bundle::Bundle,
        error::LedgerError,
        keys::KeyHistory,
        log::{asked_otherwise, check_log},
        trust::TrustBook,
        verify::Problem,
    },
    SqliteStore, connect, failed, schema,
};

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// How many engagements there are in it.
    pub engagements: usize,
    /// How many events they have together.
    pub events: u64,
}

impl SqliteStore {
    /// Copies the ledger to a new file. The copy is made beside its place; every page of it, every chain, every document
    /// that a chain names and, with the ledger's keys, the log are checked before it gets its name, and it is durable when
    /// this answers.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Exists`] if something is there, [`LedgerError::Corrupt`] if a chain or the log of the copy does not hold; and
    /// whatever reading and writing give. Nothing is left at the place then.
    pub async fn backup(&self, to: &Path, keys: Option<&KeyHistory>) -> Result<Backup, LedgerError> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(LedgerError::Exists(to.into()));
        }
        let new = schema::beside(to, &format!(".new-{}", std::process::id()));
        let copied = self.copy_to(&new, keys).await.map_err(|error| match error {
            // What cannot be written here is the copy: the ledger itself is only read.
            LedgerError::Full => LedgerError::io("write", to, std::io::ErrorKind::StorageFull.into()),
            LedgerError::ReadOnly => LedgerError::io("write", to, std::io::ErrorKind::PermissionDenied.into()),
            other => other,
        });
        let published = copied.and_then(|copied| {
            File::open(&new)
                .and_then(|file| file.sync_all())
                .map_err(|source| LedgerError::io("sync", &new, source))?;
            fs::hard_link(&new, to).map_err(|source| match source.kind() {
                std::io::ErrorKind::AlreadyExists => LedgerError::Exists(to.into()),
                _ => LedgerError::io("write", to, source),
            })?;
            schema::sync_folder_of(to);
            Ok(copied)
        });
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(schema::beside(&new, suffix));
        }
        published
    }

    async fn copy_to(&self, new: &Path, keys: Option<&KeyHistory>) -> Result<Backup, LedgerError> {
        let name = new.to_str().ok_or_else(|| {
            LedgerError::io("write", new, std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not text"))
        })?;
        let connection = self.readers.connect().map_err(failed("be read for a backup"))?;
        // One statement, so one moment: what others commit meanwhile is not in it.
        let written = connection.execute("VACUUM INTO ?", (name,)).map_err(failed("write the backup"));
        self.readers.unchanged()?;
        written?;
        connection.close().map_err(|(_, error)| failed("be read for a backup")(error))?;
        let connection = connect(new).map_err(failed("read the backup"))?;
        let said: String = connection
            .query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))
            .map_err(failed("check the backup"))?;
        connection.close().map_err(|(_, error)| failed("read the backup")(error))?;
        if said != "ok" {
            return Err(LedgerError::corrupt("the backup", said));
        }
        let copy = std::sync::Arc::new(SqliteStore::open(new).await?);
        let checked = chains_of(&copy, keys).await;
        if let Some(copy) = std::sync::Arc::into_inner(copy) {
            copy.close().await;
        }
        checked
    }
}

/// Finds what `verify` would, so that no copy is called whole that it would not call whole.
async fn chains_of(copy: &std::sync::Arc<SqliteStore>, keys: Option<&KeyHistory>) -> Result<Backup, LedgerError> {
    let damaged = |chain: String, problem: &Problem| {
        Err(LedgerError::corrupt(format!("{chain} (event {})", problem.seq), problem.what.clone()))
    };
    let (mut found, store) = (Backup { engagements: 0, events: 0 }, copy.as_ref());
    for id in copy.find("")? {
        let bundle = Bundle::export(store, &id).await?;
        let verified = bundle.verify();
        let seen = asked_otherwise(store, &bundle).await?;
        if let Some(problem) = verified.problems.iter().chain(&bundle.lost()).chain(&seen).next() {
            return damaged(format!("the chain of engagement {id}"), problem);
        }
        found.engagements += 1;
        found.events += verified.events;
    }
    let trust = TrustBook::open(std::sync::Arc::clone(copy) as std::sync::Arc<dyn super::Store>).await?;
    if let Some(problem) = trust.verify(None).await?.first() {
        return damaged("the chain of trust stages".into(), problem);
    }
    if let Some(keys) = keys {
        let log = check_log(store, keys, &[]).await?;
        if let Some(problem) = log.problems.first() {
            return Err(LedgerError::corrupt(format!("the log (leaf {})", problem.leaf), problem.what.clone()));
        }
    }
    Ok(found)
}
