//! Running git or the command of a witness: no longer than it may, and with no more of what it prints than is told.
#![allow(clippy::disallowed_methods, reason = "this file owns starting git and the command of a witness")]

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};

/// How long what is asked to end, or what was printed before the end, is waited for.
const GRACE: Duration = Duration::from_secs(2);
/// How many bytes of what it prints are kept, of each stream.
const MOST: usize = 64 << 10;

/// How a program ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    out: String,
    err: String,
}

impl Ended {
    /// What it printed, if it ended well; else what it says of that.
    pub(super) fn well(self) -> Result<String, String> {
        if self.status.success() {
            return Ok(self.out.trim().to_owned());
        }
        let lines = || self.err.lines().map(str::trim).filter(|line| !line.is_empty());
        // git says what is wrong first, and advice after it.
        let wrong = |line: &&str| line.starts_with("fatal:") || line.starts_with("error:");
        let said = lines().find(wrong).or_else(|| lines().next_back());
        Err(format!("it ended with {}{}", self.status, said.map(|said| format!(" ({said})")).unwrap_or_default()))
    }
}

/// Runs a program until it ends, whatever it leaves running. One that takes longer is asked to end, so that it can take
/// back what it has begun, and then made to.
pub(super) async fn run(mut command: Command, input: &str, patience: Duration) -> Result<Ended, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own, so that what it has started ends with it where it takes too long.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (out, err) = (Printed::of(child.stdout.take()), Printed::of(child.stderr.take()));
    let (stdin, input) = (child.stdin.take(), input.to_owned());
    let writes = tokio::spawn(async move {
        if let Some(mut stdin) = stdin {
            // Who does not read it may still take it.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    });
    let ended = timeout(patience, child.wait()).await;
    let ended = match ended {
        Ok(status) => {
            let status = status.map_err(|error| error.to_string())?;
            let (out, err) = tokio::join!(out.text(), err.text());
            Ok(Ended { status, out, err })
        }
        Err(_) => {
            end(&mut child).await;
            Err(format!("no answer within {} seconds", patience.as_secs()))
        }
    };
    writes.abort();
    ended
}

async fn end(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let all = |signal| group.map(|group| killpg(group, signal));
    all(Signal::SIGTERM);
    let ended = timeout(GRACE, child.wait()).await;
    // Those of the group that took no notice; whoever left it is not found.
    all(Signal::SIGKILL);
    if ended.is_err() {
        let _ = child.kill().await;
    }
}

/// What comes out of a stream.
struct Printed {
    kept: Arc<Mutex<Vec<u8>>>,
    reads: JoinHandle<()>,
}

impl Printed {
    fn of(stream: Option<impl AsyncRead + Send + Unpin + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&kept);
        let reads = tokio::spawn(async move {
            let (Some(mut stream), mut some) = (stream, [0; 4096]) else { return };
            // What is more than is kept is read all the same, so that it does not hold the program up.
            while let Ok(read @ 1..) = stream.read(&mut some).await {
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MOST.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(some.get(..room).unwrap_or_default());
            }
        });
        Self { kept, reads }
    }

    /// What it was by now: whoever still holds the stream is not waited for.
    async fn text(mut self) -> String {
        if timeout(GRACE, &mut self.reads).await.is_err() {
            self.reads.abort();
        }
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(text: &str, patience: u64) -> Result<Result<String, String>, String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]);
        Ok(run(command, "a note\n", Duration::from_millis(patience)).await?.well())
    }

    #[tokio::test]
    async fn a_program_ends_when_it_ends_whatever_it_leaves_running() {
        assert_eq!(shell("cat", 20_000).await.unwrap().unwrap(), "a note");
        assert_eq!(shell("echo taken; sleep 60 & exit 0", 20_000).await.unwrap().unwrap(), "taken");
        let refused = shell("echo 'fatal: no'; exit 1", 20_000).await.unwrap().unwrap_err();
        assert_eq!(refused, "it ended with exit status: 1");
        let refused = shell("echo 'fatal: it is locked' >&2; echo 'remove it' >&2; exit 128", 20_000).await.unwrap();
        assert_eq!(refused.unwrap_err(), "it ended with exit status: 128 (fatal: it is locked)");
    }

    #[tokio::test]
    async fn what_is_printed_without_end_is_not_kept_without_end() {
        assert_eq!(shell("head -c 9000000 /dev/zero | tr '\\0' x", 60_000).await.unwrap().unwrap().len(), MOST);
    }

    #[tokio::test]
    async fn what_takes_too_long_may_take_back_what_it_has_begun() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let (made, gone) = (format!("touch {0}; trap 'rm {0}; exit 1' TERM", lock.display()), "sleep 60 & wait");
        shell(&format!("{made}; {gone}"), 1_000).await.unwrap_err();
        assert!(!lock.exists());
    }

    #[tokio::test]
    async fn what_takes_too_long_leaves_no_helper_running() {
        let dir = tempfile::tempdir().unwrap();
        let helper = dir.path().join("helper");
        let text = format!("(trap '' TERM; exec sleep 61) & echo $! > {}; wait", helper.display());
        shell(&text, 1_000).await.unwrap_err();
        let id = std::fs::read_to_string(helper).unwrap().trim().parse().unwrap();
        let begun = std::time::Instant::now();
        let left = || nix::sys::signal::kill(Pid::from_raw(id), None).is_ok();
        let over = || std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        while left() && !over() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it still runs");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
