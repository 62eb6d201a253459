//! Speaks to tool servers. Everything here takes a permit, except looking at a server for a person to pin it; only
//! this folder starts a tool process.

mod life;
mod mcp;
mod said;
mod sandbox;
mod secret;
mod start;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::tool::{Manifest, ServerSeen, Toolbox};

use said::NotStarted;

pub use sandbox::{Bounds, become_server};

use super::{permit::Permit, sources::Sources};

/// How a sent call ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    /// The tool answered.
    Result(Value),
    /// The tool answered with an error.
    Error(String),
    /// It was never sent.
    Held(String),
    /// It was sent, and nobody knows what came of it.
    Unknown(String),
}

/// The servers that are running, one a family. They start with the first permit for one of their tools.
#[derive(Default)]
pub(super) struct Transports {
    sessions: Mutex<BTreeMap<String, mcp::Session>>,
    starter: life::Starter,
    notices: std::sync::Mutex<Notices>,
}

/// What a person should know of how servers run, each thing once.
#[derive(Default)]
struct Notices {
    said: BTreeSet<String>,
    open: Vec<String>,
}

impl Transports {
    /// Runs exactly what the permit says, and uses it up.
    pub(super) async fn run(&self, permit: Permit, toolbox: &Toolbox, sources: &dyn Sources) -> Sent {
        let mut sessions = self.sessions.lock().await;
        let (manifest, session) = match self.session(&mut sessions, &permit, toolbox, sources).await {
            Ok(found) => found,
            Err(why) => return Sent::Held(why),
        };
        let (sent, session) = session.call(permit, manifest.server.timeout_seconds).await;
        if let Some(session) = session {
            sessions.insert(manifest.family.clone(), session);
        }
        sent
    }

    /// Starts the server that a permit is for, if it does not run; the error says why it cannot be used.
    pub(super) async fn ready(&self, permit: &Permit, toolbox: &Toolbox, sources: &dyn Sources) -> Result<(), String> {
        let mut sessions = self.sessions.lock().await;
        let (manifest, session) = self.session(&mut sessions, permit, toolbox, sources).await?;
        sessions.insert(manifest.family.clone(), session);
        Ok(())
    }

    /// The server that a permit is for, taken out of those that run or started.
    async fn session<'a>(
        &self,
        sessions: &mut BTreeMap<String, mcp::Session>,
        permit: &Permit,
        toolbox: &'a Toolbox,
        sources: &dyn Sources,
    ) -> Result<(&'a Manifest, mcp::Session), String> {
        let Some(manifest) = toolbox.manifest_of(permit.tool()) else {
            return Err(format!("no manifest has `{}`", permit.tool()));
        };
        let Some(pin) = toolbox.pin(&manifest.family) else {
            return Err(format!("`{}` is not pinned; run `countersign tools pin`", manifest.family));
        };
        if let Some(session) = sessions.remove(&manifest.family).filter(|session| session.fits(pin)) {
            return Ok((manifest, session));
        }
        let started = mcp::Session::start(permit, manifest, pin, (sources, &self.starter)).await;
        let session = started.map_err(|NotStarted { why, said }| {
            if let Some(said) = said {
                let notice = format!("before it ended, the server of `{}` said: {said}", manifest.family);
                self.notices.lock().unwrap_or_else(PoisonError::into_inner).open.push(notice);
            }
            why
        })?;
        self.note_if_free(&manifest.family, session.confined);
        Ok((manifest, session))
    }

    /// Starts a server, asks what its tools are, and ends it.
    pub(super) async fn inspect(&self, manifest: &Manifest, sources: &dyn Sources) -> Result<ServerSeen, String> {
        let seen = mcp::inspect(manifest, sources, &self.starter).await?;
        self.note_if_free(&manifest.family, seen.confined);
        Ok(seen)
    }

    /// What has come up since this was last asked.
    pub(super) fn notices(&self) -> Vec<String> {
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner).open)
    }

    /// Ends what servers of a family left behind whose program has ended, before an effect of theirs is looked for; whether
    /// nothing of it is left.
    pub(super) async fn end_orphans(&self, family: &str, sources: &dyn Sources) -> bool {
        let ended = life::end_orphans(sources.ledger(), family).await;
        let notice = match ended {
            Some(0) => return true,
            Some(1) => {
                format!("a process of `{family}` was left running by a program that has ended, and is ended now")
            }
            Some(many) => {
                format!(
                    "{many} processes of `{family}` were left running by a program that has ended, and are ended now"
                )
            }
            None => {
                format!("what a program that has ended left running of `{family}` could not be ended: it may still act")
            }
        };
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).open.push(notice);
        ended.is_some()
    }

    fn note_if_free(&self, family: &str, confined: bool) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !confined && notices.said.insert(family.to_owned()) {
            notices.open.push(format!(
                "`{family}` runs without confinement, because this kernel has no Landlock; only a simulation may"
            ));
        }
    }

    /// Ends every server.
    pub(super) async fn close(&self) {
        let sessions = std::mem::take(&mut *self.sessions.lock().await);
        for session in sessions.into_values() {
            session.end().await;
        }
    }
}
