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
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::tool::{Manifest, ServerPin, ServerSeen, Toolbox};

use mcp::Session;
use said::NotStarted;

pub(super) use mcp::Turn;
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
    families: std::sync::Mutex<BTreeMap<String, Arc<Running>>>,
    /// Whether servers are ended and none is started any more.
    closed: AtomicBool,
    starter: life::Starter,
    notices: std::sync::Mutex<Notices>,
}

/// How often a server is started for one call.
const STARTS: u32 = 2;

/// The server of a family, if it runs. It is locked only while one is looked for or started.
type Running = Mutex<Option<Arc<Session>>>;

/// What a person should know of how servers run, each thing once.
#[derive(Default)]
struct Notices {
    said: BTreeSet<String>,
    open: Vec<String>,
}

impl Transports {
    /// Waits for the turn of a call at the server that its permit is for, which is started if it does not run; the error
    /// says why it cannot be used.
    pub(super) async fn turn(&self, permit: &Permit, toolbox: &Toolbox, sources: &dyn Sources) -> Result<Turn, String> {
        let Some(manifest) = toolbox.manifest_of(permit.tool()) else {
            return Err(format!("no manifest has `{}`", permit.tool()));
        };
        let Some(pin) = toolbox.pin(&manifest.family) else {
            return Err(format!("`{}` is not pinned; run `countersign tools pin`", manifest.family));
        };
        let mut started = 0;
        while started < STARTS {
            let (session, is_new) = self.session(permit, manifest, pin, sources).await?;
            // There is none where the server was ended meanwhile, as after a call that was not answered.
            if let Some(turn) = session.turn().await {
                return Ok(turn);
            }
            started += u32::from(is_new);
        }
        Err(format!("the server of `{}` ended as soon as it was ready, {STARTS} times in a row", manifest.family))
    }

    /// The server that runs as this pin says, and whether it was started for this, as it is if none runs.
    async fn session(
        &self,
        permit: &Permit,
        manifest: &Manifest,
        pin: &ServerPin,
        sources: &dyn Sources,
    ) -> Result<(Arc<Session>, bool), String> {
        let running = Arc::clone(self.families().entry(manifest.family.clone()).or_default());
        let mut running = running.lock().await;
        if self.closed.load(Ordering::SeqCst) {
            return Err(format!("no server is started any more, so `{}` is not", manifest.family));
        }
        if let Some(session) = running.as_ref().filter(|session| session.fits(pin)) {
            return Ok((Arc::clone(session), false));
        }
        // Two of a family would act beside each other.
        if let Some(other) = running.take() {
            other.retire().await;
        }
        let started = Session::start(permit, manifest, pin, (sources, &self.starter)).await;
        let session = started.map_err(|NotStarted { why, said }| {
            if let Some(said) = said {
                let notice = format!("before it ended, the server of `{}` said: {said}", manifest.family);
                self.notices.lock().unwrap_or_else(PoisonError::into_inner).open.push(notice);
            }
            why
        })?;
        self.note_if_free(&manifest.family, session.confined);
        Ok((Arc::clone(running.insert(session.into())), true))
    }

    fn families(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Running>>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Ends every server, after the calls that are under way, and starts none any more.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let families = std::mem::take(&mut *self.families());
        for running in families.into_values() {
            if let Some(session) = running.lock().await.take() {
                session.retire().await;
            }
        }
    }
}
