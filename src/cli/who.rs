//! Who may do what comes next: nobody is offered a command that would be refused to them, and where it is for somebody
//! else it is said who that is.

use std::{path::Path, sync::OnceLock};

use crate::{
    artifact::EngagementId,
    engagement::{About, State},
    facts::{AllowedSigners, Identity, People, Role, usable},
    runtime::{Open, Yes},
};

use super::{
    output::{plain, quoted},
    yes::left_out,
};

/// Where the person works, where that is not the folder at hand, and the key that they sign with, where that is known:
/// what they are told to type is to work as it is.
static AT: OnceLock<(String, Option<String>)> = OnceLock::new();

/// Says that what comes next is about this workspace, and signed with this key.
pub fn works_at(workspace: &Path, key: Option<&Path>) {
    let word = |path: &Path| quoted(&path.to_string_lossy());
    let _ = AT.set((format!("countersign --workspace {}", word(workspace)), key.map(word)));
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
        let signs = |name: &str| !signed || self.signers.of(name).any(|line| usable(&line.key.algorithm()).is_ok());
        let enough: Vec<&str> = enough.into_iter().filter(in_role).collect();
        let others: Vec<&str> = enough.iter().copied().filter(|name| !barred(name) && signs(name)).collect();
        let me = self.identity.as_ref().map(|identity| identity.name.as_str());
        let reject = |why: String| {
            let no = if yes_or_no { vec![next(format!("countersign reject {id} --reason …"))] } else { Vec::new() };
            [vec![why], no].concat()
        };
        match me.filter(|me| enough.contains(me)) {
            Some(me) if others.contains(&me) => vec![next(next_words(id, Some(&asked.about), Some(open)))],
            Some(me) if barred(me) => reject(format!(
                "You asked for this or wrote it, and duties are apart here, so the yes is somebody else's: {}.",
                only(&others, asked.role, signed)
            )),
            Some(_) => {
                let who = if others.is_empty() { String::new() } else { format!(" Who has one: {}.", said(others)) };
                reject(format!(
                    "An answer needs a signature, and policies/allowed_signers has no key of yours; an owner adds its \
                     line.{who}"
                ))
            }
            None => vec![format!("Waiting for the role `{}`: {}.", asked.role, only(&others, asked.role, signed))],
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

fn said(names: Vec<&str>) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| plain(name)).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The command that comes next. An approval that names the digest cannot be taken for an answer to anything else.
pub fn next_words(id: &EngagementId, about: Option<&About>, open: Option<&Open>) -> String {
    let digest = open.map(|open| format!(" --digest {}", open.digest.hex())).unwrap_or_default();
    let signed = open.is_some_and(|open| !open.asked.signature_because.is_empty());
    let at = AT.get();
    let this = at.map_or("countersign", |(program, _)| program);
    let key = match at.and_then(|(_, key)| key.as_deref()) {
        Some(key) => format!(" --key {key}"),
        None if signed => " --key ~/.ssh/id_ed25519".to_owned(),
        None => String::new(),
    };
    match about {
        None => format!("{this} run {id}"),
        Some(About::Failure { .. }) => format!("{this} answer {id} continue|undo-target|undo-all|stop{key}"),
        Some(About::Unknown { .. }) => format!("{this} answer {id} applied|not-applied{key}"),
        Some(About::Deviation { .. }) => {
            format!("{this} approve {id}{digest} --reason …{key}, or {this} reject {id} --reason …")
        }
        Some(_) => {
            let destructive = open.map(|open| left_out(&open.asked, &Yes::default())).unwrap_or_default();
            let ticks = destructive.iter().map(|node| format!(" --tick {node}")).collect::<String>();
            format!("{this} approve {id}{digest}{ticks}{key}, or {this} reject {id} --reason …")
        }
    }
}
