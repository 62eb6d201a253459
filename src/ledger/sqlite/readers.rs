//! Connections that read and cannot write; each is used by one caller at a time and kept for the next.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, Params, Row};

use super::{super::error::LedgerError, connect, failed, frozen::Frozen};

/// How many connections that read are kept.
const READERS: usize = 4;

/// The connections that are kept for reading.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    /// How, where the ledger cannot be written.
    pub(super) frozen: Option<Frozen>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// None yet, of this file.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, frozen: None, idle: Mutex::default() }
    }

    /// A new connection to the file, for reading.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        self.frozen.as_ref().map_or_else(|| connect(&self.path), Frozen::connect)
    }

    /// Whether what was read can be used.
    pub(super) fn unchanged(&self) -> Result<(), LedgerError> {
        self.frozen.as_ref().map_or(Ok(()), Frozen::unchanged)
    }

    /// What whoever wants to write is told where there is no writer.
    pub(super) fn refusal(&self) -> LedgerError {
        self.frozen.as_ref().map_or(LedgerError::ReadOnly, Frozen::refusal)
    }

    /// Has something read. A connection that failed is not used again.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = idle().pop();
        let connection = match known {
            Some(connection) => connection,
            None => self.connect().and_then(reader).map_err(failed("be read"))?,
        };
        let answer = read(&connection);
        self.unchanged()?;
        let answer = answer?;
        let mut idle = idle();
        if idle.len() < READERS {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// All rows that a statement finds.
    pub(super) fn all<T>(
        &self,
        doing: &'static str,
        statement: &str,
        with: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        self.with(|connection| rows(connection, statement, with, row).map_err(failed(doing)))
    }
}

/// All rows that a statement finds; it is prepared once for each connection.
pub(super) fn rows<T>(
    connection: &Connection,
    statement: &str,
    with: impl Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(statement)?;
    let found = statement.query_map(with, row)?.collect();
    #[cfg(test)]
    super::steps_tests::count(&statement);
    found
}

/// The one row that a statement finds.
pub(super) fn row<T>(
    connection: &Connection,
    statement: &str,
    with: impl Params,
    row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut statement = connection.prepare_cached(statement)?;
    let found = statement.query_row(with, row);
    #[cfg(test)]
    super::steps_tests::count(&statement);
    found
}

/// A connection that cannot write.
fn reader(connection: Connection) -> rusqlite::Result<Connection> {
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}
