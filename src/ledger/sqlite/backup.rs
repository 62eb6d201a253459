//! A copy of a ledger while others write to it: whole as of one moment, checked, and then given its name.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use serde::Serialize;

use crate::artifact::EngagementId;

use super::{
    super::{
        bundle::Bundle,
        error::LedgerError,
        keys::KeyHistory,
        log::{LogProblem, asked_otherwise, check_log},
        store::Store,
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
    /// How many events they have together, as far as they could be read.
    pub events: u64,
    /// What does not hold in it, and so not in the ledger: the first thing of each chain, and of the log.
    pub problems: Vec<Unsound>,
    /// Whether the log over all engagements was held against the keys, and holds.
    pub log_holds: bool,
}

/// Something that does not hold in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unsound {
    /// Which chain and which event, or which leaf of the log.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// What the name of a copy that has yet to be checked ends with, before the number of the process that makes it.
const NEW: &str = ".new-";

/// Removes what a process that was killed had copied for this place: nobody names it, and it holds what may be redacted
/// since.
fn remove_left_over(to: &Path) {
    let (folder, Some(name)) = (to.parent(), to.file_name().and_then(|name| name.to_str())) else { return };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let begins = format!("{name}{NEW}");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let process = found.to_str().and_then(|found| found.strip_prefix(&begins));
        let process =
            process.map(|rest| ["-wal", "-shm"].iter().find_map(|end| rest.strip_suffix(end)).unwrap_or(rest));
        let gone = |number: &str| number.parse::<u32>().is_ok() && !Path::new("/proc").join(number).exists();
        if process.is_some_and(gone) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl SqliteStore {
    /// Copies the ledger to a new file. The copy is made beside its place; every page of it, every chain, every document
    /// that a chain names and, with the ledger's keys, the log are checked before it gets its name, and it is durable when
    /// this answers. A chain that does not hold keeps no other from being copied: it is said to be one.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Exists`] if something is there, [`LedgerError::Corrupt`] if a page of the copy is damaged; and whatever
    /// reading and writing give. Nothing is left at the place then.
    pub async fn backup(&self, to: &Path, keys: Option<&KeyHistory>) -> Result<Backup, LedgerError> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(LedgerError::Exists(to.into()));
        }
        remove_left_over(to);
        let new = schema::beside(to, &format!("{NEW}{}", std::process::id()));
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
        let copy = Arc::new(SqliteStore::open(new).await?);
        let checked = chains_of(&copy, keys).await;
        if let Some(copy) = Arc::into_inner(copy) {
            copy.close().await;
        }
        checked
    }
}

/// Finds what `verify` would, so that no copy is called whole that it would not call whole.
async fn chains_of(copy: &Arc<SqliteStore>, keys: Option<&KeyHistory>) -> Result<Backup, LedgerError> {
    let (mut found, store) =
        (Backup { engagements: 0, events: 0, problems: Vec::new(), log_holds: false }, copy.as_ref());
    for id in copy.find("")? {
        found.engagements += 1;
        let place = format!("the chain of engagement {id}");
        if let Some((events, problem)) = found.readable(&place, chain_of(store, &id).await)? {
            found.events += events;
            found.problems.extend(problem.map(|problem| in_chain(place, problem)));
        }
    }
    let place = "the chain of trust stages";
    if let Some(problem) = found.readable(place, trust_of(copy).await)?.flatten() {
        found.problems.push(in_chain(place.into(), problem));
    }
    if let Some(keys) = keys
        && let Some(log) = found.readable("the log", check_log(store, keys, &[]).await)?
    {
        found.log_holds = log.ok;
        let wrong = log.problems.into_iter().next();
        let place = |LogProblem { leaf, what }| Unsound { place: format!("the log (leaf {leaf})"), what };
        found.problems.extend(wrong.map(place));
    }
    Ok(found)
}

impl Backup {
    /// What was read, or nothing where it cannot be, which is a problem at that place.
    fn readable<T>(&mut self, place: &str, read: Result<T, LedgerError>) -> Result<Option<T>, LedgerError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error @ LedgerError::Corrupt { .. }) => {
                self.problems.push(Unsound { place: place.into(), what: error.to_string() });
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }
}

fn in_chain(chain: String, Problem { seq, what, .. }: Problem) -> Unsound {
    Unsound { place: if seq == 0 { chain } else { format!("{chain} (event {seq})") }, what }
}

/// How many events a chain has, and the first thing that does not hold in it.
async fn chain_of(store: &SqliteStore, id: &EngagementId) -> Result<(u64, Option<Problem>), LedgerError> {
    let bundle = Bundle::export(store, id).await?;
    let verified = bundle.verify();
    let seen = asked_otherwise(store, &bundle).await?;
    let first = verified.problems.into_iter().chain(bundle.lost()).chain(seen).next();
    Ok((verified.events, first))
}

async fn trust_of(store: &Arc<SqliteStore>) -> Result<Option<Problem>, LedgerError> {
    let trust = TrustBook::open(Arc::clone(store) as Arc<dyn Store>).await?;
    Ok(trust.verify(None).await?.into_iter().next())
}
