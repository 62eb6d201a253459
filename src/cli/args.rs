//! The arguments, with help that shows an example for every command.

use std::{path::PathBuf, str::FromStr};

use clap::{
    ArgGroup, Args, Parser, Subcommand, ValueEnum,
    builder::{StringValueParser, TypedValueParser},
};

use crate::artifact::EngagementId;

use super::{
    call::CallArgs, keys::KeysArgs, lab::Lab, models::ModelsArgs, policy::PolicyArgs, proofs::LogCommand, say::SayArgs,
    spec::SpecArgs, tools::Tools, trust::Trust, verify::Verify,
};

const CODES: &str = "\
Exit codes: 0 done, 1 failed, not feasible or cancelled, 2 usage or configuration,
            3 waiting for a person, 4 refused by policy or a person,
            5 verification failed, 6 partly done.

Begin with `countersign demo`, or `countersign init my-network` and `countersign blueprints`.";

/// Runs agents that automate networks, and lets nothing they propose happen until it has been countersigned.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, about, after_help = CODES, max_term_width = 110)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Reads a whole number; where it is none, this says what one may be.
pub fn whole<T: FromStr + Clone + Send + Sync + 'static>(such_as: &str) -> impl TypedValueParser<Value = T> {
    let wanted = format!("a whole number is wanted here, {such_as}");
    StringValueParser::new().try_map(move |word| word.parse().map_err(|_| wanted.clone()))
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// Act as this person of policies/people.yaml (recorded as asserted, with the OS user).
    #[arg(long = "as", value_name = "NAME", global = true)]
    pub name: Option<String>,
    /// The workspace; the current folder or one above it where left out.
    #[arg(long, value_name = "DIR", global = true)]
    pub workspace: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the main job from request to record on the simulated lab; needs no account, key or server.
    #[command(after_help = "Example: countersign demo --yes")]
    Demo(Demo),
    /// Lay out a new workspace, with you as its owner.
    #[command(after_help = "Example: countersign init my-network && cd my-network && countersign blueprints")]
    Init(Init),
    /// List the blueprints and what they ask for.
    #[command(after_help = "Example: countersign blueprints --json")]
    Blueprints,
    /// Ask for something, from a blueprint or with a spec and a design of your own.
    #[command(after_help = "Examples:\n  \
        countersign request --blueprint vlan --set id=120 --set name=guest\n  \
        countersign request --blueprint dns --file values.yaml\n  \
        countersign request --spec my-spec.yaml --design my-design.yaml\n  \
        countersign request --blueprint vlan --set id=121 --set name=lobby --from k7m2q\n  \
        countersign request --text 'web01 in corp.example.com should resolve to 192.0.2.10'")]
    Request(Request),
    /// Go on with an engagement (or every open one) until it must wait or is done.
    #[command(
        after_help = "Examples:\n  countersign run k7m\n  countersign run k7m --retry failed\n  countersign run --at-once 8"
    )]
    Run(Run),
    /// Say yes to the open question of an engagement: a gate, a call, a deviation.
    #[command(after_help = "Examples; the digest is all of it, as `show` and `run` print it:\n  \
        countersign approve k7m --digest 1f0c2a9b…\n  \
        countersign approve k7m --digest 1f0c2a9b… --tick remove-old/sw01\n  \
        countersign approve k7m --digest 1f0c2a9b… --key ~/.ssh/id_ed25519\n\n\
        In production, at trust stage 2 and up and where duties are apart a yes is signed with your SSH key,\n\
        for which policies/allowed_signers has a line. A .pub file or `agent` asks ssh-agent for the signature.\n\
        On a terminal `countersign approve k7m` shows what is asked, and asks.")]
    Approve(Approve),
    /// Answer what an agent asks, or say something to the agents; nothing that is said approves anything.
    #[command(after_help = "Examples:\n  countersign say k7m 'only on sw01 and sw02'\n  \
        countersign say k7m --set Q1=web01 --set Q2=300")]
    Say(SayArgs),
    /// Say no to the open question, and why.
    #[command(after_help = "Example: countersign reject k7m --reason 'VLAN 120 is taken in building B'")]
    Reject(Reject),
    /// Say what the failure of a step means, or whether an unknown call took effect.
    #[command(after_help = "Examples:\n  countersign answer k7m continue\n  countersign answer k7m not-applied")]
    Answer(AnswerArgs),
    /// Open the draft in $EDITOR, check it, and file a new version with you as its author.
    #[command(after_help = "Examples:\n  countersign edit k7m\n  countersign edit k7m --file corrected.yaml")]
    Edit(Edit),
    /// End an engagement; what was begun is finished and recorded.
    #[command(after_help = "Example: countersign cancel k7m --reason 'the change was withdrawn'")]
    Cancel(Reject),
    /// List engagements, the last written first.
    #[command(after_help = "Examples:\n  countersign list\n  countersign list --status waiting --mine")]
    List(List),
    /// List what waits for you.
    #[command(after_help = "Example: countersign inbox --as ada")]
    Inbox,
    /// Show where an engagement stands, and the open question as its approver sees it.
    #[command(after_help = "Examples:\n  countersign show k7m\n  countersign show k7m --artifact spec")]
    Show(Show),
    /// Show what happened, event by event, in an engagement or to trust stages; or prove that it is in the log over all.
    #[command(after_help = "Examples:\n  countersign log k7m\n  countersign log k7m --kind call\n  \
        countersign log trust\n  \
        countersign log checkpoint\n  countersign log prove k7m --json\n  countersign log consistency 12 40")]
    Log(Log),
    /// Write an engagement for others to read and check: a folder with its artifacts and one page, or a bundle in one file.
    #[command(
        after_help = "Examples:\n  countersign export k7m ./k7m-record\n  countersign export k7m --bundle k7m.bundle.tar\n\n\
        A folder is for reading and holds the answers of tools and models. A bundle is for checking: `countersign verify \
        k7m.bundle.tar` needs no workspace and no network, and `tar -xf` opens it; tests/bundle.md describes it. What still runs \
        is put into the log up to its last event and signed then."
    )]
    Export(Export),
    /// Copy the whole ledger to a new file while others go on, and check the copy.
    #[command(after_help = "Example: countersign backup /backup/ledger-2026-12-01.db\n\n\
        To restore it, end every countersign of the workspace and put the copy in place of .countersign/ledger.db, \
        with no ledger.db-wal or ledger.db-shm beside it. Where it is older than what was signed since, remove \
        .countersign/keys/signed too: it is what tells a ledger that was rolled back.")]
    Backup(Backup),
    /// Check the chain of an engagement, of trust stages, or of what was exported, or the log over all of them.
    #[command(
        after_help = "Examples:\n  countersign verify k7m\n  countersign verify ./k7m-record --signers allowed_signers\n  \
        countersign verify k7m.bundle.tar\n  countersign verify trust --signers allowed_signers\n  \
        countersign verify k7m --against published.txt\n  countersign verify log\n  \
        countersign verify k7m.bundle.tar --key ledger-keys.txt\n  countersign verify k7m.bundle.tar --rules"
    )]
    Verify(Verify),
    /// Show the ledger's own public keys, or make a new one; they sign checkpoints and what leaves the ledger.
    #[command(after_help = "Examples:\n  countersign keys show > ledger-keys.txt\n  countersign keys rotate")]
    Keys(KeysArgs),
    /// Say what is wrong with a spec and what it lets through; have a solver prove that, and compare versions.
    #[command(
        after_help = "Examples:\n  countersign spec lint my-spec.yaml\n  countersign spec prove my-spec.yaml\n  countersign spec prove k7m\n  \
        countersign spec diff k7m 1 2\n  countersign spec diff old.yaml new.yaml\n\n\
        The exit code of `prove` and `diff` is 0 where all of it is proven, and 1 where something is refuted or not proven.\n\
        The solver is cvc5: the one that `solver` in countersign.toml names, else `CVC5`, else the one on the path."
    )]
    Spec(SpecArgs),
    /// List the tools, or pin what their servers are.
    #[command(after_help = "Examples:\n  countersign tools list\n  countersign tools pin lab --yes")]
    Tools(Tools),
    /// List the models that draft, or ask each whether it answers.
    #[command(after_help = "Examples:\n  countersign models list\n  countersign models check")]
    Models(ModelsArgs),
    /// Check, try and explain the policies, or hold them against what the ledger holds.
    #[command(after_help = "Examples:\n  countersign policy check\n  countersign policy test\n  \
        countersign policy explain k7m --call '{\"tool\": \"vlan.list\", \"args\": {\"switch\": \"sw01\"}}'\n  \
        countersign policy simulate --since 30d")]
    Policy(PolicyArgs),
    /// Propose one call in an engagement's current phase; it gets what an agent's call would get.
    #[command(after_help = "Example: countersign call k7m vlan.list --args '{\"switch\": \"sw01\"}'")]
    Call(CallArgs),
    /// Print the JSON Schema of a document, for editors and for writing one by hand.
    #[command(after_help = "Example: countersign schema spec > spec.schema.json")]
    Schema {
        /// The document.
        document: SchemaArg,
    },
    /// Ask for something in a conversation, or take one up again: the questions of a blueprint one by one, then its
    /// gates.
    #[command(after_help = "Examples:\n  countersign chat\n  countersign chat --text 'a VLAN for guests'\n  \
        countersign chat --blueprint dns --set name=web01\n  countersign chat k7m\n  \
        printf '%s\\n' 'vlan' 120 guest sw01,sw02 '' | countersign chat\n\n\
        On a terminal: `?` says what an answer may be, `back` goes to the question before, an empty line is what \
        stands in brackets; a line that ends with a backslash goes on, and so does what begins with \"\"\".\n\
        From a pipe: one answer a line; nothing from a pipe can approve.")]
    Chat(Chat),
    /// Show how far each blueprint is trusted in each environment, or trust it with more or less.
    #[command(after_help = "Examples:\n  countersign trust show\n  \
        countersign trust set dns@lab 2 --reason 'ten clean runs' --key ~/.ssh/id_ed25519\n\n\
        Stages: 1 assisted, 2 supervised, 3 autonomous within policy. Raising needs the role that\n\
        policies/people.yaml names (`raise_trust`, owner where left out); lowering needs none.")]
    Trust(Trust),
    /// Destroy what calls of a closed engagement were given and gave; the chain says so and stays valid.
    #[command(after_help = "Example: countersign redact k7m c3 c4 --reason 'a customer asked for it'")]
    Redact(super::redact::Redact),
    /// The simulated lab: show it, reset it, make it misbehave, serve it over MCP.
    #[command(after_help = "Examples:\n  countersign lab show\n  countersign lab fault 'lie:vlan.create@sw03,times=1'")]
    Lab(Lab),
    /// Becomes a tool server that may touch only the files it is told; how this program starts one.
    #[command(hide = true)]
    Sandbox(super::sandbox::Sandbox),
}

/// What `schema` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaArg {
    /// spec.yaml
    Spec,
    /// What `request --design` takes.
    DesignDraft,
    /// discovery.report
    Discovery,
    /// solution.design
    Design,
    /// automation.flow
    Flow,
    /// reconciled.record
    Record,
    /// A tool manifest of tools/.
    Manifest,
    /// policies/models.yaml
    Models,
    /// What an endpoint that says `scripted: FILE` answers from.
    Turns,
}

/// `chat`
#[derive(Debug, Args)]
pub struct Chat {
    /// The engagement to take up again; its first letters do. A new request where left out.
    #[arg(conflicts_with_all = ["blueprint", "text", "set"])]
    pub id: Option<String>,
    /// The blueprint, see `countersign blueprints`.
    #[arg(long)]
    pub blueprint: Option<String>,
    /// A value for one of its inputs, which is then not asked; lists are `a,b,c`.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "blueprint")]
    pub set: Vec<String>,
    /// What is to be done, in your words: the blueprint that is nearest is found by them.
    #[arg(long, value_name = "WORDS", conflicts_with = "blueprint")]
    pub text: Option<String>,
}

/// `demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Answer every gate with yes, as the demo operator.
    #[arg(long)]
    pub yes: bool,
    /// Where to make the demo workspace; a new temporary folder where left out.
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `init`
#[derive(Debug, Args)]
pub struct Init {
    /// A new or empty folder.
    pub dir: PathBuf,
}

/// `request`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["blueprint", "text", "spec"]).multiple(true).required(true))]
pub struct Request {
    /// The blueprint, see `countersign blueprints`.
    #[arg(long, conflicts_with_all = ["spec", "design"])]
    pub blueprint: Option<String>,
    /// What is wanted, in your own words; the models of policies/models.yaml draft it.
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["spec", "design"])]
    pub text: Option<String>,
    /// A value for one of its inputs; lists are `a,b,c`.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "blueprint", conflicts_with_all = ["spec", "design"])]
    pub set: Vec<String>,
    /// Values from a YAML file; `--set` wins; `-` for standard input.
    #[arg(long, value_name = "FILE", requires = "blueprint", conflicts_with_all = ["spec", "design"])]
    pub file: Option<PathBuf>,
    /// A spec of your own; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// A design of your own, for that spec; `-` for standard input.
    #[arg(long, value_name = "FILE", requires = "spec")]
    pub design: Option<PathBuf>,
    /// Start from the record of this closed engagement: drift from it is read first.
    #[arg(long, value_name = "ID")]
    pub from: Option<String>,
    /// Go on with `run` at once.
    #[arg(long)]
    pub run: bool,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// The engagement; its first letters do. Every open one where left out.
    pub id: Option<String>,
    /// Try steps again that failed, were undone or were not reached.
    #[arg(long, value_name = "WHICH", requires = "id")]
    pub retry: Option<Retry>,
    /// Do not ask at gates, even on a terminal.
    #[arg(long)]
    pub no_input: bool,
    /// Drive up to so many of the open engagements at the same time, 1 to 64, and ask at no gate. What happened to each is
    /// told when it is over or waits.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=64), conflicts_with = "id")]
    pub at_once: u8,
    /// Sign what you answer with this SSH key: a private key file, a .pub file whose key ssh-agent holds, or `agent` for the key that
    /// policies/allowed_signers has for you. COUNTERSIGN_KEY where left out.
    #[arg(long, value_name = "FILE|agent")]
    pub key: Option<PathBuf>,
}

impl Run {
    /// Goes on with one engagement, as another command does when it is done.
    pub fn on(id: &EngagementId) -> Self {
        Self { id: Some(id.to_string()), retry: None, no_input: false, at_once: 1, key: None }
    }
}

/// What `--retry` takes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Retry {
    /// Steps that failed, were undone or were not reached.
    Failed,
}

/// `approve`
#[derive(Debug, Args)]
pub struct Approve {
    /// The engagement; its first letters do.
    pub id: String,
    /// Only if the open question has this digest (all of it, as `show` and `run` print it).
    #[arg(long)]
    pub digest: Option<String>,
    /// Approve the destructive call of this step too; once for each.
    #[arg(long, value_name = "STEP")]
    pub tick: Vec<String>,
    /// At gate 2: approve only the call of this step; once for each. The others ask again when they are reached, which is
    /// refused where the trust stage has them run by themselves.
    #[arg(long, value_name = "STEP")]
    pub only: Vec<String>,
    /// Why; needed to accept a deviation.
    #[arg(long)]
    pub reason: Option<String>,
    /// Sign it with this SSH key: a private key file, a .pub file whose key ssh-agent holds, or `agent` for the key that
    /// policies/allowed_signers has for you. COUNTERSIGN_KEY where left out.
    #[arg(long, value_name = "FILE|agent")]
    pub key: Option<PathBuf>,
}

/// `reject` and `cancel`
#[derive(Debug, Args)]
pub struct Reject {
    /// The engagement; its first letters do.
    pub id: String,
    /// Why.
    #[arg(long)]
    pub reason: String,
}

/// `answer`
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// The engagement; its first letters do.
    pub id: String,
    /// The answer.
    pub choice: ChoiceArg,
    /// The digest of the question as it was shown; the answer is refused if another is open by now.
    #[arg(long)]
    pub digest: Option<String>,
    /// Sign it with this SSH key: a private key file, a .pub file whose key ssh-agent holds, or `agent` for the key that
    /// policies/allowed_signers has for you. COUNTERSIGN_KEY where left out.
    #[arg(long, value_name = "FILE|agent")]
    pub key: Option<PathBuf>,
}

/// What `answer` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ChoiceArg {
    /// A failure: run nothing more.
    Stop,
    /// A failure: go on with what does not need the step.
    Continue,
    /// A failure: take back what was done to the same target.
    #[value(alias = "undo_target")]
    UndoTarget,
    /// A failure: take everything back.
    #[value(alias = "undo_all")]
    UndoAll,
    /// An unknown call: it took effect.
    Applied,
    /// An unknown call: it did not take effect.
    NotApplied,
}

/// `edit`
#[derive(Debug, Args)]
pub struct Edit {
    /// The engagement; its first letters do.
    pub id: String,
    /// Take the new version from this file rather than from an editor; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which draft; the one that is open where left out.
    #[arg(long)]
    pub artifact: Option<EditArtifact>,
}

/// What `edit --artifact` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EditArtifact {
    /// spec.yaml
    Spec,
    /// solution.design
    Design,
}

/// `list`
#[derive(Debug, Args)]
pub struct List {
    /// Only those that stand so.
    #[arg(long)]
    pub status: Option<StatusArg>,
    /// Only those that you asked for.
    #[arg(long)]
    pub mine: bool,
    /// Only those of this blueprint.
    #[arg(long)]
    pub blueprint: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = whole::<u32>("such as 20"))]
    pub limit: u32,
}

/// What `list --status` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Not closed.
    Open,
    /// Waiting for a person.
    Waiting,
    /// Closed.
    Closed,
}

/// `show`
#[derive(Debug, Args)]
pub struct Show {
    /// The engagement; its first letters do.
    pub id: String,
    /// Show this artifact instead.
    #[arg(long)]
    pub artifact: Option<ArtifactArg>,
}

/// What `show --artifact` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArtifactArg {
    /// spec.yaml
    Spec,
    /// discovery.report
    Discovery,
    /// solution.design
    Design,
    /// automation.flow
    Flow,
    /// reconciled.record
    Record,
}

/// `log`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Log {
    /// What is to be shown of the log over all engagements.
    #[command(subcommand)]
    pub command: Option<LogCommand>,
    /// The engagement; its first letters do. `trust` for the chain of trust stages.
    #[arg(required = true, value_name = "ID|trust")]
    pub id: Option<String>,
    /// Only events whose kind begins so, such as `call` or `approval`.
    #[arg(long)]
    pub kind: Option<String>,
}

/// `export`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").args(["dir", "bundle", "in_toto"]).required(true).multiple(true)))]
#[command(override_usage = "countersign export [OPTIONS] <ID> <DIR|--bundle <FILE>|--in-toto <FILE>>")]
pub struct Export {
    /// The engagement; its first letters do.
    pub id: String,
    /// A new or empty folder.
    pub dir: Option<PathBuf>,
    /// A new file for a bundle, which is checked without a workspace.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Put what tools and models answered into the bundle too.
    #[arg(long, requires = "bundle")]
    pub with_results: bool,
    /// Put every leaf of the log into the bundle too, so that `verify --against` shows that the log has nothing else of the
    /// engagement: the id of each other one, and the hashes of its leaves, are in it then. Done by itself where
    /// something was asked or ran above trust stage 1.
    #[arg(long, requires = "bundle")]
    pub with_log: bool,
    /// Prove that it is in the log under the last of these published checkpoints, so that `verify --against` can tell; `-` for
    /// standard input.
    #[arg(long, requires = "bundle", value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// A new file for what the chain says of each artifact, as in-toto statements in signed DSSE envelopes, one a line.
    #[arg(long, value_name = "FILE")]
    pub in_toto: Option<PathBuf>,
}

/// `backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// A file that is not there yet.
    pub file: PathBuf,
}
