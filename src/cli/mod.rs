//! The command line: one file a command, rendered for people or, with `--json`, for programs. It reads arguments,
//! the environment and the terminal, asks the runtime, and shows what came of it.

mod again;
mod apart;
mod answer;
mod args;
#[cfg(test)]
mod args_tests;
mod asking;
mod auditor;
mod backup;
mod call;
mod chat;
mod choices;
mod code;
mod context;
mod converse;
mod demo;
mod edit;
mod export;
mod files;
mod form;
mod held;
mod init;
mod interrupt;
mod keys;
mod lab;
mod lint;
mod list;
mod log;
mod models;
mod output;
mod policy;
mod proofs;
mod question;
mod reader;
mod redact;
mod request;
mod run;
mod sandbox;
mod room;
mod say;
mod seat;
mod show;
mod signing;
mod spec;
mod teller;
mod tools;
mod trust;
mod verify;
mod who;
mod yes;

use std::process::ExitCode;

use clap::Parser;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::{SigSet, Signal},
};

pub use args::{Cli, Command};
pub use code::{CliError, Code};

/// Runs the program with this process's arguments.
pub fn main() -> ExitCode {
    // A program inherits the signals that whoever started it had blocked. Ctrl-C has to arrive, here and in what this
    // starts; it is unblocked before there is a second thread. A file that may not grow is an error and no signal.
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    if let Err(errno) = blocked.thread_set_mask() {
        output::aside(format!("signals that were blocked stay so: {errno}"));
    }
    if let Err(error) = room_for_files() {
        output::complain(&error, false);
        return error.code.exit();
    }
    // What the caller left open in this process is not handed on to what it starts.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    match runtime.worker_threads(workers(&cli.command)).thread_stack_size(STACK).enable_all().build() {
        Ok(runtime) => runtime.block_on(with(cli)),
        Err(error) => {
            output::complain(&CliError::failed(format!("this process cannot do its work here: {error}")), false);
            Code::Failed.exit()
        }
    }
}

/// How many files a process needs to be allowed to open; with fewer each part of it fails in its own way.
const FILES: u64 = 64;

/// Raises the limit of open files to that, as far as it may be raised.
fn room_for_files() -> Result<(), CliError> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= FILES || setrlimit(Resource::RLIMIT_NOFILE, FILES.min(hard), hard).is_ok() && hard >= FILES {
        return Ok(());
    }
    let why = format!("this process may open {hard} files, and needs {FILES}");
    Err(CliError::failed(format!("{why}; raise its limit (`ulimit -n`) and run it again")))
}

/// What each thread has for policies and expressions, in bytes: as much as the first one has where nobody said otherwise, so
/// that what can be decided there can be decided on any.
const STACK: usize = 8 << 20;

/// How many threads take turns: two, and where several engagements are driven one for each processor that they can use and
/// one for what listens meanwhile.
fn workers(command: &Command) -> usize {
    match command {
        Command::Run(run) if run.at_once > 1 => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            processors.min(run.at_once.into()) + 1
        }
        _ => 2,
    }
}

/// Help and version come this way too; only real usage errors are errors.
fn misused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        let message = error.to_string();
        output::complain(&CliError::usage(message.trim_start_matches("error: ").trim_end()), true);
    } else {
        let _ = error.print();
    }
    if error.use_stderr() { Code::Usage.exit() } else { Code::Done.exit() }
}

async fn with(cli: Cli) -> ExitCode {
    trace();
    // For the tests that kill the program at every commit; a release build has no such thing.
    #[cfg(debug_assertions)]
    if let Some(point) = std::env::var_os("COUNTERSIGN_HALT").and_then(|point| point.to_str()?.parse().ok()) {
        crate::ledger::halt_at(point);
    }
    let json = cli.global.json;
    let outcome = run(cli).await;
    if let Some(error) = output::unsaid(outcome.is_ok()) {
        output::complain(&error, json);
        if outcome.is_ok() {
            return error.code.exit();
        }
    }
    match outcome {
        Ok(code) => code.exit(),
        Err(error) => {
            output::complain(&error, json);
            error.code.exit()
        }
    }
}

/// `COUNTERSIGN_LOG=debug` shows what the program does, on standard error, so that standard output stays the answer.
/// What speaks to servers and models and starts servers is left out at any level: it would show what passes before
/// secrets are taken out of it.
fn trace() {
    use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};
    const LEFT_OUT: [&str; 5] = ["rmcp", "process_wrap", "async_openai", "reqwest", "hyper"];
    if let Ok(wanted) = EnvFilter::try_from_env("COUNTERSIGN_LOG") {
        let told = filter_fn(|about| !LEFT_OUT.iter().any(|name| about.target().starts_with(name)));
        let shown = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(told);
        let _ = tracing_subscriber::registry().with(wanted).with(shown).try_init();
    }
}

async fn run(cli: Cli) -> Result<Code, CliError> {
    let global = cli.global;
    // `init` makes the workspace and its owner, and `demo` has its own.
    let works = !matches!(cli.command, Command::Init(_) | Command::Demo(_));
    if works && (&global.workspace, &global.name) != (&None, &None) {
        who::works_at(global.workspace.as_deref(), global.name.as_deref(), None);
    }
    match cli.command {
        Command::Demo(args) => demo::run(&global, args).await,
        Command::Init(args) => init::run(&global, args).await,
        Command::Blueprints => list::blueprints(&global).await,
        Command::Request(args) => request::run(&global, args).await,
        Command::Run(args) => run::run(&global, args).await,
        Command::Approve(args) => answer::approve(&global, args).await,
        Command::Reject(args) => answer::reject(&global, args).await,
        Command::Answer(args) => answer::choose(&global, args).await,
        Command::Edit(args) => edit::run(&global, args).await,
        Command::Say(args) => say::run(&global, args).await,
        Command::Cancel(args) => answer::cancel(&global, args).await,
        Command::List(args) => list::list(&global, args).await,
        Command::Inbox => list::inbox(&global).await,
        Command::Show(args) => show::run(&global, args).await,
        Command::Log(args) => log::run(&global, args).await,
        Command::Export(args) => export::run(&global, args).await,
        Command::Redact(args) => redact::run(&global, args).await,
        Command::Backup(args) => backup::run(&global, args).await,
        Command::Verify(args) => verify::run(&global, args).await,
        Command::Keys(args) => keys::run(&global, args).await,
        Command::Spec(args) => spec::run(&global, args).await,
        Command::Tools(args) => tools::run(&global, args).await,
        Command::Models(args) => models::run(&global, args).await,
        Command::Policy(args) => policy::run(&global, args).await,
        Command::Call(args) => call::run(&global, args).await,
        Command::Schema { document } => schema(document),
        Command::Chat(args) => chat::run(&global, args).await,
        Command::Trust(args) => trust::run(&global, args).await,
        Command::Lab(args) => lab::run(&global, args).await,
        Command::Sandbox(args) => sandbox::run(args),
    }
}

/// Prints the JSON Schema of a document.
fn schema(document: args::SchemaArg) -> Result<Code, CliError> {
    use crate::artifact::{AutomationFlow, DesignDraft, DiscoveryReport, ReconciledRecord, SolutionDesign, Spec};
    use args::SchemaArg;
    let schema = match document {
        SchemaArg::Spec => schemars::schema_for!(Spec),
        SchemaArg::DesignDraft => schemars::schema_for!(DesignDraft),
        SchemaArg::Discovery => schemars::schema_for!(DiscoveryReport),
        SchemaArg::Design => schemars::schema_for!(SolutionDesign),
        SchemaArg::Flow => schemars::schema_for!(AutomationFlow),
        SchemaArg::Record => schemars::schema_for!(ReconciledRecord),
        SchemaArg::Manifest => schemars::schema_for!(crate::tool::Manifest),
        SchemaArg::Turns => schemars::schema_for!(crate::model::ScriptFile),
        SchemaArg::Models => schemars::schema_for!(crate::model::ModelsFile),
    };
    output::say_json(&schema)?;
    Ok(Code::Done)
}
