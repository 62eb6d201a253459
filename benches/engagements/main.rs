//! What a whole engagement costs: `cargo bench --bench engagements -- --engagements N --calls C [--concurrency K]`.
//! One JSON object.
//!
//! An engagement is a request, a draft of the spec, gate 1, discovery, a draft of the design, gate 2, the flow, C tool
//! calls, and the record. The drafts are at hand (a spec and a design that are filed with the request, and were read
//! before the clock starts), and the tools answer at once. All the rest is what the program does: the workspace's files
//! are read at every decision, every call takes the broker's seven steps, the ledger is SQLite with `synchronous=FULL`, approvals are given as a person's are,
//! and after each the engagement is opened anew from the ledger, as another process would. Of the C calls two are the
//! acceptance check before and after, the others are steps that change something and have no state to read back, so
//! that each is one call; that the check holds in the end is asserted.
//!
//! The tools are not in this process: a server is started, confined and spoken to as any other, over MCP on its
//! standard streams. It is this file too, started as `engagements answer`, so what a call costs holds both sides of
//! the pipe. Its memory is not counted, its time is.
//!
//! Beside it stands the floor, taken in the same run: the same number of bytes made durable in as many commits, and as
//! many calls answered by the same server, with nothing drafted, asked, decided, sealed or chained ([`floor`]).
//!
//! `--growth` makes two engagements instead and compares what their calls cost at the beginning and at the end ([`growth`]),
//! `--resume` what opening it costs at several lengths of its chain, `--waiting` how memory grows with engagements that
//! wait at gate 1, and `--verify` how fast chains are checked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise and prints what it found"
)]

mod floor;
mod growth;
mod server;

/// The one that the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use countersign::{
    artifact::{DesignDraft, EngagementId, RecordOutcome, Spec, from_yaml},
    broker::{Broker, Sources},
    engagement::{About, Purpose},
    facts::Identity,
    ledger::{Bundle, Filter, Journal, Which},
    runtime::{Choice, Driver, NewRequest, Progress, Stopped, Workspace, Yes, answer, file_request, init_files},
    tool::Pins,
};
use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};

const TOOLS: &str = "\
kind: tools
family: bench
about: Answers at once
simulated: true
server:
  command: ['{countersign}', answer]
  timeout_seconds: 30
  calls_per_second: 1000000
  calls_at_once: 64
tools:
  - name: thing.list
    about: List the things of a name
    says: list the things of {name} on {switch}
    effect: read
    target: switch
    args:
      properties:
        switch: {type: string, format: target}
        name: {type: string, format: name, maxLength: 32}
      required: [switch, name]
    empty: {things: []}
  - name: thing.add
    about: Add a thing to a name
    says: add thing {n} to {name} on {switch}
    effect: write
    target: switch
    args:
      properties:
        switch: {type: string, format: target}
        name: {type: string, format: name, maxLength: 32}
        n: {type: integer, minimum: 1, maximum: 1000000}
      required: [switch, name, n]
  - name: thing.look
    about: Look at a thing of a name
    says: look at thing {n} of {name} on {switch}
    effect: read
    target: switch
    args: &thing
      properties:
        switch: {type: string, format: target}
        name: {type: string, format: name, maxLength: 32}
        n: {type: integer, minimum: 1, maximum: 1000000}
      required: [switch, name, n]
    empty: {thing: null}
  - name: thing.put
    about: Add a thing to a name where it can be looked at
    says: put thing {n} to {name} on {switch}
    effect: write
    target: switch
    args: *thing
    state:
      tool: thing.look
      with: {switch: {cel: args.switch}, name: {cel: args.name}, n: {cel: args.n}}
      pick: result.thing
    after: args.n
";

/// Whether what the steps of an engagement do can be read back.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    /// Of none.
    None,
    /// Of all.
    All,
}

impl Seen {
    /// A step is looked at before gate 2, right before it, right after it and at the end.
    const CALLS_A_STEP: usize = 5;

    /// The calls of an engagement of so many steps that can be seen, with the check before and after.
    fn calls(steps: usize) -> usize {
        steps * Self::CALLS_A_STEP + 2
    }
}

struct Options {
    engagements: usize,
    calls: usize,
    concurrency: usize,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Whole,
    Growth,
    Resume,
    Waiting,
    Verify,
}

fn main() {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("answer") => return server::serve(),
        Some("sandbox") => return server::confine(&words[1..]),
        _ => {}
    }
    let mut options = Options { engagements: 100, calls: 6, concurrency: 1, mode: Mode::Whole };
    let mut words = words.iter().map(|word| word.to_str().expect("options are text"));
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number after the option");
        match word {
            "--engagements" => options.engagements = number(),
            "--calls" => options.calls = number(),
            "--concurrency" => options.concurrency = number(),
            "--growth" => options.mode = Mode::Growth,
            "--resume" => options.mode = Mode::Resume,
            "--waiting" => options.mode = Mode::Waiting,
            "--verify" => options.mode = Mode::Verify,
            // What cargo adds.
            "--bench" => {}
            other => panic!("there is no option {other}"),
        }
    }
    assert!(
        (3..=1_026).contains(&options.calls),
        "an engagement has two checks and 1 to 1,024 steps: a gate shows no more"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{}", runtime.block_on(measure(options)));
}

async fn measure(options: Options) -> Value {
    let home = tempfile::tempdir().unwrap();
    let bench = Arc::new(Bench::lay_out(&home.path().canonicalize().unwrap().join("workspace")).await);
    // What is done once a process: starting the server, reading the catalog, opening the file.
    bench.whole("warm", 6).await;
    // A workspace's files are not a moment old: those that are, are read again for every decision.
    tokio::time::sleep(Duration::from_secs(4)).await;
    bench.whole("warmer", 6).await;
    let found = match options.mode {
        Mode::Whole => whole(&bench, &options).await,
        Mode::Growth => growth::growth(&bench, options.calls).await,
        Mode::Resume => resume(&bench, options.calls).await,
        Mode::Waiting => waiting(&bench, options.engagements).await,
        Mode::Verify => verify(&bench, &options).await,
    };
    bench.broker.close().await;
    found
}

async fn whole(bench: &Arc<Bench>, options: &Options) -> Value {
    let (bytes, commits) = (bench.bytes(), bench.workspace.store().commits());
    let next = Arc::new(AtomicUsize::new(0));
    let drafts: Arc<Vec<NewRequest>> =
        Arc::new((0..options.engagements).map(|n| draft(&format!("e{n}"), options.calls, Seen::None)).collect());
    let begun = Instant::now();
    let workers: Vec<_> = (0..options.concurrency.max(1))
        .map(|_| {
            let (bench, next, drafts) = (Arc::clone(bench), Arc::clone(&next), Arc::clone(&drafts));
            let calls = options.calls;
            tokio::spawn(async move {
                while let Some(draft) = drafts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    bench.whole_of(draft.clone(), calls, &mut |_| ()).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let took = begun.elapsed().as_secs_f64();
    let per = |total: u64| total as f64 / options.engagements as f64;
    let (commits, bytes) = (bench.workspace.store().commits() - commits, bench.bytes() - bytes);
    let least = floor::Floor {
        engagements: options.engagements,
        calls: options.calls,
        // How many there are where none is shared with another engagement.
        writes: options.calls + 6,
        bytes: usize::try_from(bytes).unwrap() / options.engagements,
        concurrency: options.concurrency.max(1),
    };
    let floor = least.measure(&bench.ledger.with_file_name("floor.db")).await;
    json!({
        "engagements": options.engagements, "calls": options.calls, "concurrency": options.concurrency,
        "tools": "mcp-stdio", "approvals": "asserted", "fsync_ms": two(fsync_ms(&bench.ledger)),
        "engagements_per_s": two(options.engagements as f64 / took),
        "ms_per_engagement": two(took * 1_000.0 / options.engagements as f64),
        "floor_ms_per_engagement": two(floor * 1_000.0 / options.engagements as f64),
        "commits_per_engagement": two(per(commits)),
        "bytes_per_engagement": per(bytes).round(),
        "peak_rss_mb": two(memory("VmHWM:") / 1_024.0),
    })
}

/// What it costs to open engagements of several lengths that are over, each with a design as long; and one of them while
/// it runs, with a history that grows under a design that stays as it is.
async fn resume(bench: &Bench, calls: usize) -> Value {
    let mut over = Vec::new();
    for calls in [6, calls / 10].into_iter().filter(|calls| *calls >= 6) {
        over.push(opening(bench, &bench.whole(&format!("r{calls}"), calls).await));
    }
    let (mut running, mut made) = (Vec::new(), 0);
    let (store, marks) = (bench.workspace.store(), [2, calls / 4, calls / 2, calls - 2]);
    let id = bench
        .whole_watched("running", calls, &mut |progress| {
            if matches!(progress, Progress::Called(..)) {
                made += 1;
                if marks.contains(&made) {
                    let open = Filter { which: Which::Open, ..Filter::default() };
                    let [line] = &store.summaries(open).now_or_never().unwrap().unwrap()[..] else {
                        panic!("one runs")
                    };
                    running.push(opening(bench, &line.id));
                }
            }
        })
        .await;
    over.push(opening(bench, &id));
    json!({"calls": calls, "over": over, "running": running})
}

/// The median of several times, with how many events there are.
fn opening(bench: &Bench, id: &EngagementId) -> Value {
    let mut events = 0;
    let mut took: Vec<Duration> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            // The embedded store answers at once.
            let journal = Journal::open(bench.workspace.store().clone(), id).now_or_never().unwrap().unwrap();
            events = journal.state().seq;
            begun.elapsed()
        })
        .collect();
    took.sort();
    json!({"events": events, "open_ms": two(took[10].as_secs_f64() * 1_000.0)})
}

async fn waiting(bench: &Bench, engagements: usize) -> Value {
    let mut seen = Vec::new();
    for n in 0..engagements {
        let mut journal = bench.request(draft(&format!("w{n}"), 6, Seen::None)).await;
        let driver = Driver::new(&bench.workspace, &bench.broker);
        assert_eq!(driver.drive(&mut journal, &mut |_| ()).await.unwrap(), Stopped::Waiting(About::Gate1));
        if n % (engagements / 10).max(1) == 0 {
            seen.push(json!({"waiting": n + 1, "rss_mb": two(memory("VmRSS:") / 1_024.0)}));
        }
    }
    seen.push(json!({"waiting": engagements, "rss_mb": two(memory("VmRSS:") / 1_024.0)}));
    json!({"waiting": seen})
}

/// How fast chains are checked whose steps have no state to read, and those where each has one and all results are here,
/// so that what each step came to is worked out again.
async fn verify(bench: &Bench, options: &Options) -> Value {
    let without_state = verified(bench, options, Seen::None).await;
    json!({"without_state": without_state, "with_state": verified(bench, options, Seen::All).await})
}

async fn verified(bench: &Bench, options: &Options, seen: Seen) -> Value {
    let calls = if seen == Seen::All { Seen::calls(options.calls - 2) } else { options.calls };
    let mut bundles = Vec::new();
    for n in 0..options.engagements {
        let name = if seen == Seen::All { format!("s{n}") } else { format!("v{n}") };
        let id = bench.whole_of(draft(&name, options.calls, seen), calls, &mut |_| ()).await;
        bundles.push(Bundle::export(bench.workspace.store().as_ref(), &id).await.unwrap());
    }
    let one = |bundle: &Bundle| {
        let verified = bundle.verify();
        assert!(verified.ok, "{:?}", verified.problems);
        verified.events
    };
    let begun = Instant::now();
    let events: u64 = bundles.iter().map(one).sum();
    let alone = events as f64 / begun.elapsed().as_secs_f64();
    // Engagements do not depend on each other, so each thread takes the next one.
    let (threads, next) = (std::thread::available_parallelism().unwrap().get(), AtomicUsize::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while bundles.get(next.fetch_add(1, Ordering::Relaxed)).map(one).is_some() {});
        }
    });
    let together = events as f64 / begun.elapsed().as_secs_f64();
    let bytes: usize = bundles.iter().flat_map(|bundle| &bundle.events).map(Vec::len).sum();
    json!({
        "events": events, "bytes_per_event": bytes as u64 / events, "events_per_s_one_thread": alone.round(),
        "events_per_s": together.round(), "threads": threads,
    })
}

/// What is asked for in one engagement: so many things, each by a call, and the check before and after.
fn draft(name: &str, calls: usize, seen: Seen) -> NewRequest {
    let steps = calls - 2;
    let (tool, look) = match seen {
        Seen::None => ("thing.add", ""),
        Seen::All => {
            ("thing.put", "\n    - {tool: thing.look, where: {switch: {is: sw01}, name: {is: NAME}, n: {min: 1}}}")
        }
    };
    let look = look.replace("NAME", name);
    let spec = format!(
        "kind: spec
title: {steps} things on {name}
requirements:
  - {{id: R1, text: every thing is there}}
boundary:
  discover:
    - {{tool: thing.list, where: {{switch: {{is: sw01}}, name: {{is: {name}}}}}}}{look}
  build:
    - tool: {tool}
      where: {{switch: {{is: sw01}}, name: {{is: {name}}}, n: {{min: 1, max: {steps}}}}}
      at_most: {steps}
limits: {{tool_calls: {}, minutes: 600}}
acceptance:
  - id: A1
    covers: [R1]
    check: {{tool: thing.list, with: {{switch: sw01, name: {name}}}}}
    expect: result.things.size() == {steps}
rollback: best_effort
",
        Seen::CALLS_A_STEP * 2 * calls
    );
    let mut design = String::from("steps:\n");
    for n in 1..=steps {
        design += &format!("  - {{id: s{n}, tool: {tool}, with: {{switch: sw01, name: {name}, n: {n}}}}}\n");
    }
    design += &format!("acceptance: {{A1: [s{steps}]}}\n");
    NewRequest {
        spec: Some(from_yaml::<Spec>("spec", &spec).unwrap()),
        design: Some(from_yaml::<DesignDraft>("design", &design).unwrap()),
        ..NewRequest::default()
    }
}

/// A workspace with its broker.
struct Bench {
    workspace: Arc<Workspace>,
    broker: Broker,
    identity: Identity,
    ledger: PathBuf,
}

impl Bench {
    async fn lay_out(root: &Path) -> Self {
        init_files(root, "ada", "ada").unwrap();
        std::fs::remove_file(root.join("tools/lab.yaml")).unwrap();
        std::fs::write(root.join("tools/bench.yaml"), TOOLS).unwrap();
        for name in ["vlan", "dns", "address"] {
            std::fs::remove_file(root.join(format!("prompts/blueprints/{name}.yaml"))).unwrap();
        }
        let workspace = Arc::new(Workspace::open(root, std::env::current_exe().unwrap()).await.unwrap());
        let broker = Broker::new(Arc::clone(&workspace) as Arc<dyn Sources>);
        let mut pins = Pins::default();
        for manifest in workspace.manifests().unwrap() {
            let seen = broker.inspect(&manifest).await.unwrap();
            pins.servers.insert(manifest.family, seen.pin);
        }
        workspace.write_pins(&pins).unwrap();
        let identity = workspace.identify(Some("ada"), "ada").unwrap();
        Self { workspace, broker, identity, ledger: root.join(".countersign/ledger.db") }
    }

    async fn request(&self, new: NewRequest) -> Journal {
        file_request(&self.workspace, new, self.identity.clone(), Timestamp::now()).await.unwrap()
    }

    async fn whole(&self, name: &str, calls: usize) -> EngagementId {
        self.whole_watched(name, calls, &mut |_| ()).await
    }

    /// From the request to the record.
    async fn whole_watched(&self, name: &str, calls: usize, watch: &mut (dyn FnMut(Progress) + Send)) -> EngagementId {
        self.whole_of(draft(name, calls, Seen::None), calls, watch).await
    }

    async fn whole_of(&self, new: NewRequest, calls: usize, watch: &mut (dyn FnMut(Progress) + Send)) -> EngagementId {
        let mut journal = self.request(new).await;
        let driver = Driver::new(&self.workspace, &self.broker);
        loop {
            match driver.drive(&mut journal, watch).await.unwrap() {
                Stopped::Closed(closed) => {
                    // What has no state to read back is said to be so of every step.
                    let mut made = journal.state().calls.values();
                    let seen = made.any(|call| matches!(call.purpose, Purpose::Observe { .. }));
                    let outcome = if seen { RecordOutcome::Done } else { RecordOutcome::PartlyDone };
                    assert_eq!(closed.outcome, outcome, "{}", closed.reason);
                    assert!(closed.reason.contains("R1 met"), "{}", closed.reason);
                    let made = journal.state().calls.len();
                    assert_eq!(made, calls, "{:?}", journal.state().calls.values().map(|call| &call.purpose));
                    return journal.id().clone();
                }
                Stopped::Waiting(about) => {
                    // What cannot be taken back is ticked one by one.
                    let steps = journal.documents().design().filter(|_| about == About::Gate2);
                    let steps = steps.iter().flat_map(|design| &design.steps);
                    let ticked: BTreeSet<String> = steps.map(|step| step.id.to_string()).collect();
                    let yes = Choice::Approve(Yes { ticked, only: None, reason: None });
                    answer(&self.workspace, &mut journal, self.identity.clone(), yes, (None, None)).await.unwrap();
                    let id = journal.id().clone();
                    journal = Journal::open(self.workspace.store().clone(), &id).await.unwrap();
                }
                other => panic!("it stopped: {other:?}"),
            }
        }
    }

    /// What the ledger holds, in bytes, wherever it lies.
    fn bytes(&self) -> u64 {
        let ledger = rusqlite::Connection::open(&self.ledger).unwrap();
        let number = |pragma| ledger.query_row(pragma, (), |row| row.get::<_, i64>(0)).unwrap();
        u64::try_from(number("PRAGMA page_count") * number("PRAGMA page_size")).unwrap()
    }
}

/// What the disk takes to make 8 kB durable, beside the ledger: no commit is faster.
fn fsync_ms(ledger: &Path) -> f64 {
    let mut file = std::fs::File::create(ledger.with_file_name("fsync")).unwrap();
    let begun = Instant::now();
    for _ in 0..50 {
        file.write_all(&[1; 8192]).unwrap();
        file.sync_data().unwrap();
    }
    begun.elapsed().as_secs_f64() * 1_000.0 / 50.0
}

fn two(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A line of `/proc/self/status`, in kB.
fn memory(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|status| status.strip_prefix(line));
    found.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}
