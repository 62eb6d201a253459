//! A copy of a ledger while others write to it: whole as of one moment, checked, and then given its name.

use std::{
    fs::{self, File},
    path::Path,
};

use super::{
    super::{bundle::Bundle, error::LedgerError, store::Filter, trust::TrustBook},
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
    /// Copies the ledger to a new file. The copy is made beside its place; every page of it, every chain and every
    /// document that a chain names are checked before it gets its name, and it is durable when this answers.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Exists`] if something is there, [`LedgerError::Corrupt`] if a chain of the copy does not hold; and
    /// whatever reading and writing give. Nothing is left at the place then.
    pub async fn backup(&self, to: &Path) -> Result<Backup, LedgerError> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(LedgerError::Exists(to.into()));
        }
        let new = schema::beside(to, &format!(".new-{}", std::process::id()));
        let copied = self.copy_to(&new).await;
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

    async fn copy_to(&self, new: &Path) -> Result<Backup, LedgerError> {
        let name = new.to_str().ok_or_else(|| {
            LedgerError::io("write", new, std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not text"))
        })?;
        let connection = connect(self.path()).map_err(failed("be read for a backup"))?;
        // One statement, so one moment: what others commit meanwhile is not in it.
        connection.execute("VACUUM INTO ?", (name,)).map_err(failed("write the backup"))?;
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
        let checked = chains_of(&copy).await;
        if let Some(copy) = std::sync::Arc::into_inner(copy) {
            copy.close().await;
        }
        checked
    }
}

async fn chains_of(copy: &std::sync::Arc<SqliteStore>) -> Result<Backup, LedgerError> {
    let mut found = Backup { engagements: 0, events: 0 };
    for summary in copy.summaries(&Filter::default())? {
        let verified = Bundle::export(copy.as_ref(), &summary.id).await?.verify();
        if let Some(problem) = verified.problems.first() {
            let what = format!("the chain of engagement {} (event {})", summary.id, problem.seq);
            return Err(LedgerError::corrupt(what, problem.what.clone()));
        }
        found.engagements += 1;
        found.events += verified.events;
    }
    TrustBook::open(std::sync::Arc::clone(copy) as std::sync::Arc<dyn super::Store>).await?;
    Ok(found)
}
