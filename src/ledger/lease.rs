//! The lease of a target: from the look right before a change until what came of it was read, nobody else changes that
//! target, or looks at it in order to. What was looked at would be another by then, and what one recorded as done would be
//! lost to the other. It keeps honest runs apart, as a [`super::Claim`] does; the ledger stays right without it.
//!
//! The lock lies in a file, which says whose it is and until when what that sent may still act. A lock ends with its process,
//! and what a process sent does not: whoever comes next waits for that too.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::Path,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::artifact::{EngagementId, digest_bytes};

use super::error::LedgerError;

/// With whom a target is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// With nobody: what comes rests on how it looks.
    Nobody,
    /// With others who look at nothing either.
    TheBlind,
}

/// What came of asking for a target.
pub enum Taken {
    /// It is had.
    Has(Box<dyn Lease>),
    /// Others have it.
    Waits(Waits),
}

/// The wait for a target, to be given back with the next try: whoever waits comes before whoever asks later.
pub struct Waits {
    /// The engagement that has it, where that is known.
    pub behind: Option<EngagementId>,
    /// What was sent there and may still act, and since when that is all that is waited for.
    acts: Option<(Acts, Instant)>,
    /// What keeps the place, where there is one.
    place: Option<Box<dyn Send + Sync>>,
}

/// A target that is had until this is dropped or the process ends, however it ends.
pub trait Lease: Send + Sync {
    /// Says that something is sent now that may act until it was answered, and so long at most.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`]; then nothing may be sent.
    fn sends(&mut self, at_most: SignedDuration) -> Result<(), LedgerError>;

    /// Says that it was answered, or is over.
    fn over(&mut self);
}

/// Until when something may still act, and for how many seconds it might when it was sent: clocks are set.
type Acts = (Timestamp, u32);

/// What the file of a target says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Says {
    /// Whose it is.
    engagement: EngagementId,
    /// Whether it is had with nobody.
    alone: bool,
    /// What it sent that may still act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acts: Option<Acts>,
}

/// So long is what a file says, filled up with blanks.
const LENGTH: usize = 160;

/// A lock on the file of a target.
struct FileLease {
    file: File,
    engagement: EngagementId,
    with: With,
}

/// Asks for a target, whose files lie in `dir`, which is made if need be. It does not wait.
///
/// # Errors
///
/// [`LedgerError::Io`].
pub(super) fn take(
    dir: &Path,
    target: &str,
    by: &EngagementId,
    with: With,
    waits: Option<Waits>,
) -> Result<Taken, LedgerError> {
    let name = digest_bytes(target.as_bytes()).hex();
    let open = |path: &Path| OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path);
    let file = |name: String| {
        let path = dir.join(name);
        let opened = match open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(dir).map_err(|source| LedgerError::io("make the directory", dir, source))?;
                open(&path)
            }
            opened => opened,
        };
        opened.map_err(|source| LedgerError::io("open", &path, source))
    };
    let locked = |file: &File| match if with == With::Nobody { file.try_lock() } else { file.try_lock_shared() } {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(LedgerError::io("lock", dir.join(&name), source)),
    };
    let mut lease = file(format!("{name}.lock"))?;
    let (known, mut place) = waits.map_or((None, None), |waits| (waits.acts, waits.place));
    // Whoever comes back finds its own name there until the next one is had.
    let of_others = |says: Option<Says>| says.filter(|says| says.engagement != *by);
    if place.is_none() {
        let queue = file(format!("{name}.next"))?;
        if !locked(&queue)? {
            let behind = of_others(said(&mut lease)).map(|says| says.engagement);
            return Ok(Taken::Waits(Waits { behind, acts: None, place }));
        }
        place = Some(Box::new(queue));
    }
    let has = locked(&lease)?;
    let says = of_others(said(&mut lease));
    // Those who share it act beside each other; of whoever had it alone, it is here because that one is gone.
    let left = says.as_ref().filter(|says| has && (with == With::Nobody || says.alone)).and_then(|says| says.acts);
    let acts = left.map(|left| match known {
        Some((known, since)) if known == left => (left, since),
        _ => (left, Instant::now()),
    });
    if !has || acts.is_some_and(|(acts, since)| still_acts(acts, Timestamp::now(), since.elapsed())) {
        // Those who share it do not stand in line for whoever does not.
        let place = place.filter(|_| with == With::Nobody);
        return Ok(Taken::Waits(Waits { behind: says.map(|says| says.engagement), acts, place }));
    }
    let mut has = FileLease { file: lease, engagement: by.clone(), with };
    if with == With::Nobody {
        has.write(None).map_err(|source| LedgerError::io("write", dir.join(&name), source))?;
    }
    Ok(Taken::Has(Box::new(has)))
}

/// What a file says, where it says anything.
fn said(file: &mut File) -> Option<Says> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Whoever has waited for the whole of it has waited enough, whatever clocks were set to meanwhile.
fn still_acts((until, seconds): Acts, now: Timestamp, waited: Duration) -> bool {
    now < until && waited < Duration::from_secs(seconds.into())
}

impl FileLease {
    /// Always as much, so that nothing of what stood there is left and the file keeps its length.
    fn write(&mut self, acts: Option<Acts>) -> std::io::Result<()> {
        let mut text =
            serde_json::to_vec(&Says { engagement: self.engagement.clone(), alone: self.with == With::Nobody, acts })?;
        text.resize(text.len().max(LENGTH), b' ');
        self.file.rewind()?;
        self.file.write_all(&text)
    }

    /// Whether what the file says is of this engagement: those who share it write over each other.
    fn is_own(&mut self) -> bool {
        said(&mut self.file).is_some_and(|says| says.engagement == self.engagement)
    }
}

impl Lease for FileLease {
    fn sends(&mut self, at_most: SignedDuration) -> Result<(), LedgerError> {
        let seconds = u32::try_from(at_most.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let until = Timestamp::now().checked_add(SignedDuration::from_secs(i64::from(seconds)));
        let until = until.unwrap_or(Timestamp::MAX);
        self.write(Some((until, seconds))).map_err(|source| LedgerError::io("write", "the lease of a target", source))
    }

    fn over(&mut self) {
        // What is left there makes others wait too long. Of those who share it only the last one's is there.
        let own = self.with == With::Nobody || self.is_own();
        let written = if own { self.write(None) } else { Ok(()) };
        if let Err(error) = written {
            tracing::warn!(%error, "the lease of a target still says that something is under way");
        }
    }
}
