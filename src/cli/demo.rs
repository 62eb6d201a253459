//! `countersign demo`: the main job on the simulated lab, in a workspace of its own.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, Phase},
    broker::{Broker, Told},
    engagement::{About, Actor, Proposal, Purpose},
    ledger::{Bundle, Claim, Journal},
    runtime::{Choice, NewRequest, Yes, file_request, init_files},
    tool::Pins,
};

use super::{
    args::{Demo, Global},
    code::{CliError, Code},
    context::{Context, os_user},
    init::{look, renewed},
    interrupt::Interrupt,
    output::{plain, quoted, say, say_sentence},
    room::with_room,
    seat::Seat,
    signing::{Key, demo_key},
    verify,
    who::works_at,
};

/// The person that the demo acts as.
const OPERATOR: &str = "demo-operator";

/// Runs the command.
pub async fn run(global: &Global, args: Demo) -> Result<Code, CliError> {
    if global.json {
        return Err(CliError::usage("the demo is for people; use `countersign request` and `countersign run --json`"));
    }
    let dir = args.dir.clone().unwrap_or_else(fresh);
    init_files(&dir, OPERATOR, &os_user()?)?;
    let here = Global { workspace: Some(dir.clone()), name: Some(OPERATOR.into()), ..global.clone() };
    let context = Context::open(&here).await?;
    let broker = context.broker();
    let pins = renewed(Pins::default(), look(&context.workspace, &broker, None).await?);
    context.workspace.write_pins(&pins)?;

    let key = context.workspace.state_folder().join("demo_ed25519");
    let line = demo_key(&key, OPERATOR).map_err(CliError::failed)?;
    context.workspace.add_signer(&line)?;
    works_at(Some(&dir), None, Some(&key));

    say("This demo runs on a simulated lab: four switches, a DNS zone and an IPAM, kept in a file.");
    say("No network, account or model is used. What is approved is signed with a key made for this demo.");
    say(format!("Workspace: {}", dir.display()));
    if args.yes {
        say(format!("--yes: every gate is answered with yes, as `{OPERATOR}`. A real workspace never does that."));
    }
    say("");
    say("$ countersign request --blueprint vlan --set id=120 --set name=guest");
    let mut journal = request(&context).await?;
    say(format!("{}  {}", journal.id(), plain(&journal.state().requested.title)));

    let key = Key::File(key);
    let next = format!("countersign --workspace {} run {}", quoted(&dir.to_string_lossy()), journal.id());
    let interrupt = Interrupt::listen(next.clone());
    let code = drive(&context, &broker, &mut journal, (args.yes, &key), interrupt).await;
    broker.close().await;
    let code = code?;
    let id = journal.id().clone();
    say("");
    if journal.state().closed.is_none() {
        say(format!("The demo waits. Once it is answered, go on with: {next}"));
        return Ok(code);
    }
    say(format!("$ countersign verify {id}"));
    let bundle = Bundle::export(context.workspace.store().as_ref(), &id).await?;
    let verification = with_room(|| bundle.verify())?;
    for line in verify::lines(&verification) {
        say_sentence(line);
    }
    say("");
    say(format!("Look around: countersign --workspace {} log {id}", dir.display()));
    Ok(if verification.ok { code } else { Code::Unverified })
}

fn fresh() -> PathBuf {
    let stamp = Timestamp::now().as_nanosecond();
    std::env::temp_dir().join(format!("countersign-demo-{}", stamp % 1_000_000_000_000))
}

async fn request(context: &Context) -> Result<Journal, CliError> {
    let inputs: Map<String, Value> =
        [("id".to_owned(), json!(120)), ("name".to_owned(), json!("guest"))].into_iter().collect();
    let new =
        NewRequest { blueprint: Some(context.workspace.blueprints()?.named("vlan")?), inputs, ..NewRequest::default() };
    Ok(file_request(&context.workspace, new, context.identity()?, Timestamp::now()).await?)
}

async fn drive(
    context: &Context,
    broker: &Broker,
    journal: &mut Journal,
    (yes, key): (bool, &Key),
    interrupt: Arc<Interrupt>,
) -> Result<Code, CliError> {
    let _claim = Claim::take(&context.workspace.claims(), journal.id())?;
    let identity = context.identity()?;
    let say_yes = |asked: &crate::gate::ApprovalRequest| {
        let ticked = asked.calls.iter().filter(|call| call.destructive).map(|call| call.node.to_string()).collect();
        let reason =
            matches!(asked.about, About::Deviation { .. }).then(|| "the demo goes on whatever it meets".into());
        Choice::Approve(Yes { ticked, only: None, reason })
    };
    let seat = Seat {
        workspace: context.workspace.as_ref(),
        broker,
        models: Default::default(),
        me: Some(identity.clone()),
        key: Some(key),
        interrupt: Some(interrupt),
        quiet: false,
        chat: None,
    };
    let answerer: Option<super::seat::Answerer<'_>> = if yes { Some(&say_yes) } else { None };
    // Up to the gate before the build; then one call that nobody granted; then the rest.
    let code = seat.drive_to(journal, Some(&identity), answerer, Some(Phase::Build)).await?;
    if journal.state().phase != Phase::Build {
        return Ok(code);
    }
    intrude(broker, journal).await?;
    seat.drive(journal, Some(&identity), answerer).await
}

/// One call outside the boundary, as an agent might propose it that obeys an instruction hidden in a device banner.
async fn intrude(broker: &Broker, journal: &mut Journal) -> Result<(), CliError> {
    let args = json!({"switch": "sw01", "id": 10});
    let proposal = Proposal {
        agent: Agent::Build,
        purpose: Purpose::Proposed { n: 1 },
        tool: "vlan.delete".into(),
        args: args.as_object().cloned().unwrap_or_default(),
    };
    say("");
    say("Suppose that a device banner told the build agent to delete VLAN 10 on sw01, and it tried:");
    let invoked = broker.invoke(journal, Actor::Agent(Agent::Build), proposal).await?;
    match invoked.told {
        Told::Refused { rule, .. } => {
            say(format!("  refused   {}: {} [{}]", invoked.call, plain(&rule.reason), rule.rule));
            say("  Nothing was sent; the attempt is on the chain.");
        }
        _ => return Err(CliError::failed("the call outside the boundary was not refused; this is a defect")),
    }
    say("");
    Ok(())
}
