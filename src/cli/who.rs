//! Who may do what comes next: nobody is offered a command that would be refused to them, and where it is for somebody
//! else it is said who that is.

use std::{path::Path, sync::OnceLock};

use jiff::Timestamp;
use ssh_key::PublicKey;

use crate::{
    artifact::EngagementId,
    engagement::{About, State},
    facts::{AllowedSigners, Identity, People, Role},
    runtime::{Open, Yes},
};

use super::{
    output::{called, called_as, plain, quoted},
    yes::left_out,
};

/// The key that the person signs with, where that is known.
static KEY: OnceLock<String> = OnceLock::new();

/// Says that what comes next is about this workspace where it is not the one at hand, done in this name where it is not the
/// caller's own, and signed with this key.
pub fn works_at(workspace: Option<&Path>, name: Option<&str>, key: Option<&Path>) {
    let word = |path: &Path| quoted(&path.to_string_lossy());
    let workspace = workspace.map(|workspace| format!(" --workspace {}", word(workspace)));
    let name = name.map(|name| format!(" --as {}", quoted(name)));
    called_as(format!("countersign{}{}", workspace.unwrap_or_default(), name.unwrap_or_default()));
    if let Some(key) = key {
        let _ = KEY.set(word(key));
    }
}

/// So many are named; of the others their number is said.
const NAMED: usize = 4;

/// The person at hand among those who there are.
pub struct Here<'a> {
    /// All of them.
    pub people: &'a People,
    /// Whose keys sign for whom.
    pub signers: &'a AllowedSigners,
    /// The person; nobody where the OS user is none of them.
    pub identity: Option<Identity>,
}

impl Here<'_> {
    /// Whether the person has one of these roles.
    pub fn has(&self, roles: &[Role]) -> bool {
        let own = self.identity.as_ref().map(|identity| self.people.roles(identity)).unwrap_or_default();
        roles.iter().any(|role| own.contains(role))
    }

    /// The names of those who have a role.
    pub fn with(&self, role: Role) -> String {
        said(self.people.with_role(role))
    }

    /// What comes next where this question is open.
    pub fn next(&self, id: &EngagementId, open: &Open) -> Vec<String> {
        let asked = &open.asked;
        let next = |words: String| format!("Next: {words}");
        let yes_or_no = !matches!(asked.about, About::Failure { .. } | About::Unknown { .. });
        let signed = !asked.signature_because.is_empty();
        let enough: Vec<&str> = self.people.people.iter().map(|person| person.name.as_str()).collect();
        let in_role = |name: &&str| {
            Role::ALL.into_iter().any(|role| role >= asked.role && self.people.with_role(role).contains(name))
        };
        let barred = |name: &str| yes_or_no && asked.barred.contains(name);
        let (namespace, now) = (asked.about.namespace(), Timestamp::now());
        let counts = |name: &str, key: &PublicKey| self.signers.allows(name, key, namespace, now).is_ok();
        let signs = |name: &str| !signed || self.signers.of(name).any(|line| counts(name, &line.key));
        let enough: Vec<&str> = enough.into_iter().filter(in_role).collect();
        let may: Vec<&str> = enough.iter().copied().filter(|name| !barred(name)).collect();
        let others: Vec<&str> = may.iter().copied().filter(|name| signs(name)).collect();
        let who = || match (others.is_empty(), may.is_empty()) {
            (true, false) => keyless(&may),
            _ => only(&others, asked.role, signed),
        };
        let me = self.identity.as_ref().map(|identity| identity.name.as_str());
        let reject = |why: String| {
            let no = if yes_or_no { vec![next(format!("countersign reject {id} --reason …"))] } else { Vec::new() };
            [vec![why], no].concat()
        };
        match me.filter(|me| enough.contains(me)) {
            Some(me) if others.contains(&me) => {
                let commands = commands(id, Some(&asked.about), Some(open)).into_iter().enumerate();
                let mut said: Vec<String> =
                    commands.map(|(at, words)| if at == 0 { next(words) } else { format!("  or: {words}") }).collect();
                // What cannot be taken back is ticked by whoever says yes, and not by what they paste.
                let ticks =
                    left_out(asked, &Yes::default()).iter().map(|node| format!(" --tick {node}")).collect::<String>();
                if !ticks.is_empty() {
                    said.insert(1, format!("      with, for each that may run,{ticks}"));
                }
                said
            }
            Some(me) if barred(me) => reject(format!(
                "You asked for this, wrote it or told the agents about it, and duties are apart here, so the yes is somebody else's: {}.",
                who()
            )),
            Some(me) => {
                let who = if others.is_empty() { String::new() } else { format!(" Who has one: {}.", said(others)) };
                let why = self.signers.of(me).find_map(|line| line.covers(namespace, now).err());
                let why = why
                    .unwrap_or_else(|| "policies/allowed_signers has no key of yours; an owner adds its line".into());
                reject(format!("An answer needs a signature, and no key of yours counts here now: {why}.{who}"))
            }
            None => vec![format!("Waiting for the role `{}`: {}.", asked.role, who())],
        }
    }

    /// What comes next where a person rejected a draft that people write.
    pub fn edit(&self, state: &State) -> String {
        let id = &state.id;
        match (self.has(&[Role::Requester, Role::Approver]), self.has(&[Role::Requester])) {
            (true, true) => format!("Next: countersign edit {id}, or countersign cancel {id} --reason …"),
            (true, false) => format!("Next: countersign edit {id}"),
            (false, _) => format!("Waiting for a new draft of the role `requester`: {}.", self.with(Role::Requester)),
        }
    }
}

fn only(names: &[&str], role: Role, signed: bool) -> String {
    if !names.is_empty() {
        return said(names.to_vec());
    }
    let key = if signed { " and a line for their key in policies/allowed_signers" } else { "" };
    format!("nobody yet; an owner gives somebody the role `{role}` in policies/people.yaml{key}")
}

/// The same where some have the role and may, and none of them has a key.
fn keyless(names: &[&str]) -> String {
    let lacks = if names.len() == 1 {
        "has the role and no line that counts now"
    } else {
        "have the role and no lines that count now"
    };
    format!("{} {lacks} in policies/allowed_signers; an owner adds it", said(names.to_vec()))
}

fn said(names: Vec<&str>) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| plain(name)).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The command that comes next, or those of which one does, in one line.
pub fn next_words(id: &EngagementId, about: Option<&About>, open: Option<&Open>) -> String {
    commands(id, about, open).join(", or ")
}

/// The commands of which one comes next, each as it is typed. An answer that names the digest cannot be taken for one to
/// anything else.
fn commands(id: &EngagementId, about: Option<&About>, open: Option<&Open>) -> Vec<String> {
    let digest = open.map(|open| format!(" --digest {}", open.digest.hex())).unwrap_or_default();
    let signed = open.is_some_and(|open| !open.asked.signature_because.is_empty());
    let this = called();
    let key = match KEY.get() {
        Some(key) => format!(" --key {key}"),
        None if signed => " --key ~/.ssh/id_ed25519".to_owned(),
        None => String::new(),
    };
    let answer = |choice: &&str| format!("{this} answer {id} {choice}{digest}{key}");
    let reject = format!("{this} reject {id} --reason …");
    match about {
        None => vec![format!("{this} run {id}")],
        Some(About::Failure { .. }) => ["stop", "continue", "undo-target", "undo-all"].iter().map(answer).collect(),
        Some(About::Unknown { .. }) => ["applied", "not-applied"].iter().map(answer).collect(),
        Some(About::Deviation { .. }) => vec![format!("{this} approve {id}{digest} --reason …{key}"), reject],
        Some(_) => {
            vec![format!("{this} approve {id}{digest}{key}"), reject]
        }
    }
}
