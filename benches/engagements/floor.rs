//! What an engagement cannot cost less than, however little is thought about it: its bytes are made durable before its
//! calls and after them, in SQLite with `synchronous=FULL`, and its calls are answered by another process over MCP.
//!
//! One at a time, all of that happens in one task, and a commit where it is asked for. Many at a time share commits: one
//! thread writes whatever has been asked for meanwhile.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Instant,
};

use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResponse},
    service::RunningService,
    transport::TokioChildProcess,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub struct Floor {
    pub engagements: usize,
    pub calls: usize,
    /// How often an engagement waits until something is durable.
    pub writes: usize,
    /// All that an engagement leaves in the ledger.
    pub bytes: usize,
    pub concurrency: usize,
}

/// Bytes, and whom to tell that they are durable.
type Asked = (Vec<u8>, oneshot::Sender<()>);

#[derive(Clone)]
enum Disk {
    Own(Arc<std::sync::Mutex<Connection>>),
    Shared(mpsc::Sender<Asked>),
}

impl Disk {
    async fn write(&self, bytes: Vec<u8>) {
        match self {
            Self::Own(ledger) => commit(&mut ledger.lock().unwrap(), &[bytes]),
            Self::Shared(asked) => {
                let (durable, told) = oneshot::channel();
                asked.send((bytes, durable)).unwrap();
                told.await.unwrap();
            }
        }
    }
}

impl Floor {
    /// The seconds that all engagements take.
    pub async fn measure(self, ledger: &Path) -> f64 {
        let ledger = open(ledger);
        let disk =
            if self.concurrency == 1 { Disk::Own(Arc::new(ledger.into())) } else { Disk::Shared(shared(ledger)) };
        let mut server = tokio::process::Command::new(std::env::current_exe().unwrap());
        server.arg("answer");
        let tools = Arc::new(().serve(TokioChildProcess::new(server).unwrap()).await.unwrap());
        let (floor, next) = (Arc::new(self), Arc::new(AtomicUsize::new(0)));
        // The first writes make the file, and the first call starts the server.
        floor.engagement("warm", &disk, &tools).await;
        let begun = Instant::now();
        let workers: Vec<_> = (0..floor.concurrency)
            .map(|_| {
                let (floor, next) = (Arc::clone(&floor), Arc::clone(&next));
                let (disk, tools) = (disk.clone(), Arc::clone(&tools));
                tokio::spawn(async move {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= floor.engagements {
                            break;
                        }
                        floor.engagement(&format!("f{n}"), &disk, &tools).await;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        let took = begun.elapsed().as_secs_f64();
        Arc::into_inner(tools).unwrap().cancel().await.unwrap();
        took
    }

    /// Every write, and a call after each of the last ones.
    async fn engagement(&self, name: &str, disk: &Disk, tools: &RunningService<RoleClient, ()>) {
        for n in 0..self.writes {
            disk.write(noise(self.bytes / self.writes)).await;
            if n >= self.writes - self.calls {
                let args = json!({"switch": "sw01", "name": name, "n": n});
                let Value::Object(args) = args else { panic!("arguments are an object") };
                let call = CallToolRequestParams::new("thing.add").with_arguments(args);
                let answer = tools.call_tool_once(call).await.unwrap();
                assert!(matches!(answer, CallToolResponse::Complete(_)), "it answers at once");
            }
        }
    }
}

/// What the ledger stores is compressed, and so as good as random.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    getrandom::fill(&mut noise).unwrap();
    noise
}

fn open(path: &Path) -> Connection {
    let ledger = Connection::open(path).unwrap();
    ledger.pragma_update(None, "journal_mode", "wal").unwrap();
    ledger.pragma_update(None, "synchronous", "full").unwrap();
    ledger.execute("CREATE TABLE written (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)", ()).unwrap();
    ledger
}

fn commit(ledger: &mut Connection, all: &[Vec<u8>]) {
    let transaction = ledger.transaction().unwrap();
    for bytes in all {
        let mut insert = transaction.prepare_cached("INSERT INTO written (bytes) VALUES (?1)").unwrap();
        insert.execute((bytes,)).unwrap();
    }
    transaction.commit().unwrap();
}

/// A thread that writes what was asked for while it wrote, together.
fn shared(mut ledger: Connection) -> mpsc::Sender<Asked> {
    let (ask, asked) = mpsc::channel::<Asked>();
    std::thread::spawn(move || {
        while let Ok(first) = asked.recv() {
            let (all, told): (Vec<_>, Vec<_>) = std::iter::once(first).chain(asked.try_iter()).unzip();
            commit(&mut ledger, &all);
            // Nobody waits any longer where the run was given up.
            told.into_iter().for_each(|durable| durable.send(()).unwrap_or_default());
        }
    });
    ask
}
