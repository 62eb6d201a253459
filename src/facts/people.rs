//! `policies/people.yaml`: who may request, approve and operate.

use std::{collections::BTreeSet, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The people of a workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Always `people`.
    pub kind: PeopleKind,
    /// What must be true of them; checked when the file loads, and no part of the people's digest.
    #[serde(default, skip_serializing)]
    pub examples: Vec<PersonExample>,
    /// Each person.
    pub people: Vec<Person>,
    /// The role that raises a trust stage; lowering one needs none.
    #[serde(default = "owner")]
    pub raise_trust: Role,
    /// The role that has what calls were given and gave destroyed.
    #[serde(default = "owner", skip_serializing_if = "is_owner")]
    pub redact: Role,
    /// Hours after which a call that was approved is no longer approved, from the answer or from when the window opens.
    #[serde(default = "three_days")]
    pub approvals_last_hours: u16,
    /// The environments in which nobody approves what they asked for or wrote.
    #[serde(default = "production")]
    pub separation_of_duties: BTreeSet<String>,
    /// The environments in which a yes needs the approver's signature beside `production`, where it always does; those of
    /// `separation_of_duties` are too.
    #[serde(default = "production")]
    pub signed_environments: BTreeSet<String>,
}

fn three_days() -> u16 {
    72
}

fn owner() -> Role {
    Role::Owner
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_owner(role: &Role) -> bool {
    *role == Role::Owner
}

fn production() -> BTreeSet<String> {
    ["production".to_owned()].into()
}

/// Something that must be true of the people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonExample {
    /// The name.
    pub who: String,
    /// A role that they must have.
    #[serde(default)]
    pub may: Option<Role>,
    /// A role that they must not have.
    #[serde(default)]
    pub may_not: Option<Role>,
}

/// The `kind` of the people file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeopleKind {
    /// People.
    People,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The name that `--as` takes.
    pub name: String,
    /// The operating-system users that speak for this person without `--as`.
    #[serde(default)]
    pub os_users: BTreeSet<String>,
    /// What the person may do.
    pub roles: BTreeSet<Role>,
}

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// File requests, edit drafts and cancel engagements.
    Requester,
    /// Answer gates and questions, edit drafts and have failed steps tried again.
    Approver,
    /// Everything, and pin tools.
    Owner,
}

impl Role {
    /// The roles from least to most.
    pub const ALL: [Role; 3] = [Self::Requester, Self::Approver, Self::Owner];

    /// The role that a design means with the `approval` of a step: an owner's where it is not the approver's, for a name
    /// that is no role is not made easier to satisfy by that.
    pub fn approving(name: &str) -> Self {
        if name == Self::Approver.as_str() { Self::Approver } else { Self::Owner }
    }

    /// The word that policies use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Approver => "approver",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who someone says they are, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The name given with `--as`, or of the person that the OS user speaks for.
    pub name: String,
    /// The operating-system user of the process.
    pub os_user: String,
    /// How it is known.
    pub means: IdentityMeans,
}

/// How an identity is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityMeans {
    /// A name and the OS user, nothing more; for labs and other places that are not production.
    Asserted,
    /// The person's SSH key: what was said is signed with it.
    Signed,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let means = match self.means {
            IdentityMeans::Asserted => "asserted",
            IdentityMeans::Signed => "signed",
        };
        write!(f, "{} ({means}, OS user {})", self.name, self.os_user)
    }
}

impl People {
    /// The person that `name` or else the OS user stands for.
    pub fn identify(&self, name: Option<&str>, os_user: &str) -> Option<&Person> {
        match name {
            Some(name) => self.people.iter().find(|person| person.name == name),
            None => self.people.iter().find(|person| person.os_users.contains(os_user)),
        }
    }

    /// The names and OS users that stand for more than one person.
    pub fn duplicates(&self) -> Vec<(usize, String)> {
        let mut known = BTreeSet::new();
        let people = || self.people.iter().enumerate();
        // A name that differs in case alone is somebody else to the program and to nobody who reads it.
        let names =
            people().map(|(at, person)| (at, person.name.to_lowercase(), format!("the person `{}`", person.name)));
        let users = people().flat_map(|(at, person)| person.os_users.iter().map(move |user| (at, user)));
        let users = users.map(|(at, user)| (at, format!("/{user}"), format!("the OS user `{user}`")));
        let twice = names.chain(users).filter(|(_, one, _)| !known.insert(one.clone()));
        twice.map(|(at, _, what)| (at, what)).collect()
    }

    /// The roles of an identity; none for a name that is not listed. An owner has every role.
    pub fn roles(&self, identity: &Identity) -> BTreeSet<Role> {
        let person = self.people.iter().find(|person| person.name == identity.name);
        match person {
            Some(person) if person.roles.contains(&Role::Owner) => Role::ALL.into(),
            Some(person) => person.roles.clone(),
            None => BTreeSet::new(),
        }
    }

    /// Whether a yes about this environment needs a signature. In production a name is never enough, whatever the file says.
    pub fn signs_in(&self, environment: &str) -> bool {
        environment.eq_ignore_ascii_case("production")
            || self.signed_environments.iter().any(|named| named.eq_ignore_ascii_case(environment))
            || self.apart_in(environment)
    }

    /// Whether nobody approves their own work in this environment. `Production` is `production` here: a rule must not be
    /// lost to a capital letter.
    pub fn apart_in(&self, environment: &str) -> bool {
        self.separation_of_duties.iter().any(|named| named.eq_ignore_ascii_case(environment))
    }

    /// What is true instead of an example, where it does not hold.
    pub fn contradicts(&self, example: &PersonExample) -> Option<String> {
        let name = &example.who;
        let has = |role: Role| self.with_role(role).contains(&name.as_str());
        if let Some(role) = example.may.filter(|role| !has(*role)) {
            return Some(format!("`{name}` does not have the role {role}"));
        }
        example.may_not.filter(|role| has(*role)).map(|role| format!("`{name}` has the role {role}"))
    }

    /// The names of those who have a role.
    pub fn with_role(&self, role: Role) -> Vec<&str> {
        let has = |person: &&Person| person.roles.contains(&role) || person.roles.contains(&Role::Owner);
        self.people.iter().filter(has).map(|person| person.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::from_yaml;

    #[test]
    fn an_example_that_does_not_hold_says_what_is_true_instead() {
        let people = "people: [{name: ada, roles: [approver]}, {name: grace, roles: [owner]}]";
        for (example, instead) in [
            ("{who: ada, may: approver, may_not: owner}", None),
            ("{who: grace, may: requester}", None),
            ("{who: linus, may_not: requester}", None),
            ("{who: ada, may: requester}", Some("`ada` does not have the role requester")),
            ("{who: grace, may_not: approver}", Some("`grace` has the role approver")),
            ("{who: linus, may: requester}", Some("`linus` does not have the role requester")),
        ] {
            let text = format!("kind: people\nexamples: [{example}]\n{people}");
            let people: People = from_yaml("people.yaml", &text).unwrap();
            assert_eq!(people.contradicts(&people.examples[0]).as_deref(), instead, "{example}");
        }
    }
    #[test]
    fn in_production_a_name_is_never_enough_whatever_the_file_says() {
        let people =
            |lists: &str| from_yaml::<People>("people.yaml", &format!("kind: people\npeople: []\n{lists}")).unwrap();
        let none = people("signed_environments: []\nseparation_of_duties: []");
        assert!(none.signs_in("production") && none.signs_in("Production") && !none.apart_in("production"));
        assert!(!none.signs_in("lab"));
        let lab = people("signed_environments: [Lab]\nseparation_of_duties: [staging]");
        assert!(["lab", "production", "staging"].iter().all(|environment| lab.signs_in(environment)));
    }
}
