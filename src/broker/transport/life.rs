//! How long a server lives: no longer than the process that started it, and no longer than it may act. What is looked
//! for after a call that was not answered would otherwise be done after it was looked for.
//!
//! The kernel ends a server when its starter ends, however that ends. What a server itself has started is found by a
//! mark that it inherits in its environment, and ended with it; what a process left behind that ended is found the same
//! way where a call of that family has no outcome. Whatever gave its environment away and outlived the server, or runs as
//! someone else, is not found.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rmcp::transport::{TokioChildProcess, child_process::TokioChildProcessBuilder};
use tokio::{process::ChildStderr, runtime::Handle, sync::oneshot, time::sleep};

use crate::artifact::{LedgerId, digest_bytes};

/// The variable that a server's environment holds.
const MARK: &str = "COUNTERSIGN_SERVER";

/// How long what is to be ended is looked for. A process ends at once, unless the kernel waits for a device.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked for.
const EVERY: Duration = Duration::from_millis(10);

/// What a server and all that it starts are known by: whose it is, who started it and when that began, and a number.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    /// One that no other server has, for a server of this family in the workspace of this ledger.
    pub(super) fn new(ledger: &LedgerId, family: &str) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (own, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let began = Process::read(own).ok().flatten().map_or(0, |process| process.began);
        Self(format!("{}.{own}.{began}.{number}", of(ledger, family)))
    }

    /// Puts it on what is to be started.
    pub(super) fn put_on(&self, child: &mut tokio::process::Command) {
        child.env(MARK, &self.0);
    }

    /// Ends the server and whatever it has started; whether none of it is left.
    pub(super) async fn end(&self) -> bool {
        end(Meant::Server(self.0.clone())).await.is_some()
    }
}

/// Ends what servers of a family in the workspace of a ledger have left behind whose starters are no more; how many processes that were,
/// or nothing where some of it may be left.
pub(super) async fn end_orphans(ledger: &LedgerId, family: &str) -> Option<usize> {
    end(Meant::OrphansOf(of(ledger, family))).await
}

/// Whose servers, wherever the workspace is by now, without saying more about it to whoever can read environments.
fn of(ledger: &LedgerId, family: &str) -> String {
    let whole = digest_bytes(format!("{ledger}\n{family}").as_bytes()).hex();
    whole.chars().take(32).collect()
}

/// Which marks are meant.
#[derive(Clone)]
enum Meant {
    Server(String),
    OrphansOf(String),
}

impl Meant {
    fn is(&self, mark: &str) -> bool {
        match self {
            Self::Server(server) => mark == server,
            Self::OrphansOf(whose) => {
                mark.strip_prefix(whose.as_str()).and_then(|rest| rest.strip_prefix('.')).is_some_and(|by| !lives(by))
            }
        }
    }
}

/// Ends every process whose mark is meant, and those that they have started, until none is left; how many there were,
/// or nothing if some are left, or if processes cannot be looked at here.
async fn end(meant: Meant) -> Option<usize> {
    if !matches!(Process::read(std::process::id()), Ok(Some(_))) {
        return None;
    }
    let (begun, mut ended) = (Instant::now(), BTreeSet::new());
    while begun.elapsed() < PATIENCE {
        let of = meant.clone();
        let found = tokio::task::spawn_blocking(move || marked(&of)).await.ok()?;
        if found.is_empty() {
            return Some(ended.len());
        }
        for process in found {
            // One that has ended meanwhile is what is wanted; one of someone else's is not found again as ours.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            ended.insert(process);
        }
        sleep(EVERY).await;
    }
    None
}

/// The processes of these marks, and all whose line goes back to one of them; never this one or one that it comes from.
fn marked(meant: &Meant) -> Vec<i32> {
    let read = |id| Process::read(id).ok().flatten();
    let all: Vec<Process> = processes().filter_map(read).filter(|process| !process.over).collect();
    let parent = |id: i32| all.iter().find(|process| process.id == id).map(|process| process.parent);
    let mut own = vec![i32::try_from(std::process::id()).unwrap_or_default()];
    while let Some(above) = own.last().and_then(|last| parent(*last)).filter(|above| !own.contains(above)) {
        own.push(above);
    }
    let here = namespace("self");
    let mut found: Vec<i32> = all
        .iter()
        .filter(|process| !own.contains(&process.id))
        .filter(|process| mark_of(process.id).is_some_and(|mark| meant.is(&mark)))
        .filter(|process| namespace(&process.id.to_string()) == here)
        .map(|process| process.id)
        .collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        at += 1;
        let more = all.iter().filter(|child| child.parent == parent && !own.contains(&child.id));
        let more: Vec<i32> = more.map(|child| child.id).filter(|child| !found.contains(child)).collect();
        found.extend(more);
    }
    found
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The mark of a process; nothing where it has none, is over, or is not ours to read.
fn mark_of(process: i32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{process}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let mark = variables.find_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(mark.to_vec()).ok()
}

/// Ids of processes mean nothing in another of the kernel's namespaces.
fn namespace(process: &str) -> Option<PathBuf> {
    std::fs::read_link(Path::new("/proc").join(process).join("ns/pid")).ok()
}

/// Whether the process that made a mark may still run: it does unless it is known not to. An id that was given to another
/// one since does not count.
fn lives(by: &str) -> bool {
    let mut parts = by.split('.').map(str::parse::<u64>);
    let (Some(Ok(starter)), Some(Ok(began))) = (parts.next(), parts.next()) else { return true };
    let Ok(starter) = u32::try_from(starter) else { return true };
    match Process::read(starter) {
        Ok(Some(starter)) => starter.began == began && !starter.over,
        Ok(None) => false,
        Err(_) => true,
    }
}

/// What the kernel says of a process (proc(5), `/proc/PID/stat`).
struct Process {
    id: i32,
    parent: i32,
    /// In ticks since the system began.
    began: u64,
    /// Whether it is over and only its exit code is left.
    over: bool,
}

impl Process {
    /// Nothing where there is none.
    fn read(id: u32) -> io::Result<Option<Self>> {
        let stat = match std::fs::read(format!("/proc/{id}/stat")) {
            Ok(stat) => stat,
            // ESRCH is what reading says where it ends meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // The name of the program stands in brackets, may hold any character and may be cut within one.
        let stat = String::from_utf8_lossy(&stat);
        let read = || {
            let (_, rest) = stat.rsplit_once(')')?;
            let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
            Some(Self {
                id: i32::try_from(id).ok()?,
                parent: fields.get(1)?.parse().ok()?,
                began: fields.get(19)?.parse().ok()?,
                over: matches!(*fields.first()?, "Z" | "X"),
            })
        };
        read().map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Has this process ended by the kernel when its starter ends; says why not, if it has ended already.
pub(super) fn end_with(starter: u32) -> Result<(), String> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| format!("this process could not be tied to the one that started it: {error}"))?;
    if std::os::unix::process::parent_id() == starter {
        Ok(())
    } else {
        Err("the process that started this one has ended".into())
    }
}

/// The thread that starts servers. The kernel takes the end of the thread that started a process for the end of its
/// starter, and those of a runtime come and go.
#[derive(Debug)]
pub(super) struct Starter {
    jobs: std::sync::mpsc::Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Default for Starter {
    fn default() -> Self {
        let (jobs, todo) = std::sync::mpsc::channel::<Job>();
        // Without the thread nothing is started, and whoever asks for it is told so.
        let _ =
            std::thread::Builder::new().name("servers".into()).spawn(move || todo.into_iter().for_each(|job| job()));
        Self { jobs }
    }
}

impl Starter {
    /// Starts a server; with its standard error where that is to be read.
    pub(super) async fn start(
        &self,
        server: TokioChildProcessBuilder,
    ) -> io::Result<(TokioChildProcess, Option<ChildStderr>)> {
        let (tell, told) = oneshot::channel();
        let runtime = Handle::current();
        let job = move || {
            let _within = runtime.enter();
            // Whoever no longer waits wants none: it is ended as it is dropped.
            let _ = tell.send(server.spawn());
        };
        let none = || io::Error::other("the thread that starts servers is not there");
        self.jobs.send(Box::new(job)).map_err(|_| none())?;
        told.await.map_err(|_| none())?
    }
}

#[cfg(test)]
mod tests;
