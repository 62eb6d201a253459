//! What a person says to the agents: answers to their questions, and whatever else there is to say. Nothing that is said
//! here answers a gate.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    engagement::{Actor, Command, Refusal, RequesterSaid},
    facts::{Identity, Role},
    ledger::Journal,
};

use super::{
    answer::{AnswerError, not_now},
    workspace::Workspace,
};

/// Says something to the agents of an engagement: words, answers by the ids of the questions, or both.
pub async fn say(
    workspace: &Workspace,
    journal: &mut Journal,
    identity: Identity,
    text: Option<String>,
    answers: BTreeMap<String, Value>,
) -> Result<(), AnswerError> {
    let roles = workspace.load_catalog()?.people.roles(&identity);
    if !roles.contains(&Role::Requester) && !roles.contains(&Role::Approver) {
        return Err(Refusal::NotInRole(Role::Requester).into());
    }
    let id = journal.id().to_string();
    let command = Command::Say { said: RequesterSaid { text, answers }, roles };
    let done = journal.act(Timestamp::now(), Actor::Person(identity), command, &[]).await;
    done.map_err(|error| not_now(error, &id))
}
