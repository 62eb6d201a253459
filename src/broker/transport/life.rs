//! How long a server lives: no longer than the process that started it, and no longer than it may act. What is looked
//! for after a call that was not answered would otherwise be done after it was looked for.
//!
//! The kernel ends a server when its starter ends, however that ends. What a server itself has started is found by a
//! mark that it inherits in its environment, and ended with it; what a process left behind that ended is found the same
//! way by the next one. Whatever gave its environment away and outlived the server, or runs as someone else, is not found.

use std::{io, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rmcp::transport::{TokioChildProcess, child_process::TokioChildProcessBuilder};
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

/// The variable that a server's environment holds: the starter's id and when it began, and a number.
const MARK: &str = "COUNTERSIGN_SERVER";

/// How long what is to be ended is looked for. A process ends at once, unless the kernel waits for a device.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked for.
const EVERY: Duration = Duration::from_millis(10);

/// What a server and all that it starts are known by.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    /// One that no other server has.
    pub(super) fn new() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (own, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let began = Process::read(own).map_or(0, |process| process.began);
        Self(format!("{own}.{began}.{number}"))
    }

    /// Puts it on what is to be started.
    pub(super) fn put_on(&self, child: &mut tokio::process::Command) {
        child.env(MARK, &self.0);
    }

    /// Ends the server and whatever it has started; whether none of it is left.
    pub(super) async fn end(&self) -> bool {
        end(|mark| mark == self.0).await.is_some()
    }
}

/// Ends what servers have left behind whose starters are no more; how many processes that were.
pub(super) async fn end_orphans() -> usize {
    end(|mark| !starter_lives(mark)).await.unwrap_or(0)
}

/// Ends every process whose mark is meant, and those that they have started, until none is left; how many there were,
/// or nothing if some are left, or if processes cannot be looked at here.
async fn end(meant: impl Fn(&str) -> bool) -> Option<usize> {
    Process::read(std::process::id())?;
    let mut ended = std::collections::BTreeSet::new();
    for _ in 0..PATIENCE.as_millis() / EVERY.as_millis() {
        let found = marked(&meant);
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

/// The processes of these marks, and all whose line goes back to one of them.
fn marked(meant: &impl Fn(&str) -> bool) -> Vec<i32> {
    let all: Vec<Process> = processes().filter_map(Process::read).filter(|process| !process.over).collect();
    let own = namespace("self");
    let mut found: Vec<i32> = all
        .iter()
        .filter(|process| mark_of(process.id).is_some_and(|mark| meant(&mark)))
        .filter(|process| namespace(&process.id.to_string()) == own)
        .map(|process| process.id)
        .collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        at += 1;
        let children: Vec<i32> = all
            .iter()
            .filter(|child| child.parent == parent && !found.contains(&child.id))
            .map(|child| child.id)
            .collect();
        found.extend(children);
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
fn namespace(process: &str) -> Option<std::path::PathBuf> {
    std::fs::read_link(Path::new("/proc").join(process).join("ns/pid")).ok()
}

/// Whether the process that made a mark runs. An id that was given to another one since does not count.
fn starter_lives(mark: &str) -> bool {
    let mut parts = mark.split('.');
    let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let (Some(starter), Some(began)) = (next(), next()) else { return true };
    let starter = u32::try_from(starter).ok().and_then(Process::read);
    starter.is_some_and(|starter| starter.began == began && !starter.over)
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
    fn read(id: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name of the program stands in brackets and may hold any character.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            id: i32::try_from(id).ok()?,
            parent: fields.get(1)?.parse().ok()?,
            began: fields.get(19)?.parse().ok()?,
            over: matches!(*fields.first()?, "Z" | "X"),
        })
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
    /// Starts a server.
    pub(super) async fn start(&self, server: TokioChildProcessBuilder) -> io::Result<TokioChildProcess> {
        let (tell, told) = oneshot::channel();
        let runtime = Handle::current();
        let job = move || {
            let _within = runtime.enter();
            // Whoever no longer waits wants none: it is ended as it is dropped.
            let _ = tell.send(server.spawn().map(|(process, _)| process));
        };
        let none = || io::Error::other("the thread that starts servers is not there");
        self.jobs.send(Box::new(job)).map_err(|_| none())?;
        told.await.map_err(|_| none())?
    }
}

#[cfg(test)]
mod tests;
