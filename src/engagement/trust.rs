//! Trust stages: what an engagement stands at, and who may give a scope another stage.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::ArtifactKind,
    facts::{IdentityMeans, Inventory, Role, STAGES, Scope, Trust, spec_facts},
};

use super::{
    event::{Actor, TrustSet},
    state::GateState,
    view::View,
};

/// The trust stage that an engagement stands at, and why it is not another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The stage, from 1.
    pub stage: u8,
    /// Why it is this one.
    pub because: String,
}

impl Standing {
    /// The standing of an engagement now: that of its blueprint in the environments of its targets, the lowest of
    /// them; stage 1 for whatever is not byte for byte the blueprint's, or was approved on a name alone.
    pub fn of(view: &View<'_>, inventory: &Inventory, trust: &Trust) -> Self {
        let (stage, because) = stage(view, inventory, trust);
        Self { stage, because }
    }
}

fn stage(view: &View<'_>, inventory: &Inventory, trust: &Trust) -> (u8, String) {
    let assisted = |because: &str| (*STAGES.start(), because.to_owned());
    let Some(expanded) = view.documents.expanded() else {
        if view.state.requested.model {
            return assisted("the spec was drafted from words, and only a blueprint can be trusted with more");
        }
        return assisted("the spec was written by hand, and only a blueprint can be trusted with more");
    };
    if !trust.knows(&expanded.blueprint) {
        return assisted("nobody has trusted this version of the blueprint with more");
    }
    if view.state.artifact(ArtifactKind::Spec) != Some(expanded.spec) {
        return assisted("the spec is not byte for byte what the blueprint gives");
    }
    let Some(spec) = view.documents.spec() else { return assisted("there is no spec yet") };
    let facts = spec_facts(spec, view.toolbox, inventory);
    if facts.unlisted_targets {
        return assisted("the spec reaches targets that cannot be listed, so their environments are not known");
    }
    let scope = |environment: &String| Scope { blueprint: expanded.blueprint, environment: environment.clone() };
    let lowest = facts.environments.iter().map(|name| (trust.stage(&scope(name)), name)).min();
    let named = |gate: &GateState| matches!(gate, GateState::Open { by: Actor::Person(who), .. } if who.means == IdentityMeans::Asserted);
    if [&view.state.gate1, &view.state.gate2].into_iter().any(named)
        && lowest.as_ref().is_some_and(|(stage, _)| stage > STAGES.start())
    {
        return assisted(
            "a gate was approved on a name alone, without a signature, which is enough for no other stage",
        );
    }
    match lowest {
        Some((stage, name)) => (stage, format!("the blueprint is trusted with stage {stage} in {name}")),
        None => assisted("the spec names no target of the inventory"),
    }
}

/// A trust stage that is not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustRefusal {
    /// Only people give trust.
    #[error("{0} cannot set a trust stage: only a person can")]
    NotAPerson(String),
    /// There is no such stage.
    #[error("there is no trust stage {0}: 1 is assisted, 2 supervised, 3 autonomous within policy")]
    NoSuchStage(u8),
    /// It is at this stage.
    #[error("{0} is at stage {1} already")]
    Unchanged(String, u8),
    /// Nobody would know why.
    #[error("say why, with `--reason`")]
    NoReason,
    /// The person may not raise it.
    #[error(
        "raising a trust stage needs the role `{0}` (`raise_trust` in policies/people.yaml); lowering one needs none"
    )]
    NotInRole(Role),
    /// Trust is not raised on a name alone.
    #[error("raising a trust stage needs your signature: give your SSH key with `--key ~/.ssh/id_ed25519`")]
    NeedsSignature,
    /// The signature is not good for this.
    #[error("the signature is not taken: {0}")]
    Signature(String),
}

/// What gives `scope` another stage, or why it is refused; [`super::TrustStatement::sign`] puts the signature to it.
/// Raising needs the role `raises`; lowering needs none, so that whoever sees something go wrong can stop it.
pub fn set_trust(
    trust: &Trust,
    actor: &Actor,
    wanted: (Scope, &str, u8),
    reason: &str,
    roles: &BTreeSet<Role>,
    raises: Role,
) -> Result<TrustSet, TrustRefusal> {
    let (scope, name, stage) = wanted;
    if !matches!(actor, Actor::Person(_)) {
        return Err(TrustRefusal::NotAPerson(actor.to_string()));
    }
    if !STAGES.contains(&stage) {
        return Err(TrustRefusal::NoSuchStage(stage));
    }
    let from = trust.stage(&scope);
    if from == stage {
        return Err(TrustRefusal::Unchanged(format!("{name}@{}", scope.environment), stage));
    }
    if reason.trim().is_empty() {
        return Err(TrustRefusal::NoReason);
    }
    let role = roles.iter().copied().filter(|role| *role >= raises).max();
    if stage > from && role.is_none() {
        return Err(TrustRefusal::NotInRole(raises));
    }
    let role = role.filter(|_| stage > from);
    let (name, reason) = (name.to_owned(), reason.trim().to_owned());
    Ok(TrustSet { scope, name, from, stage, role, reason, signature: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifact::Digest, facts::Identity};

    fn ada() -> Actor {
        Actor::Person(Identity { name: "ada".into(), os_user: "ada".into(), means: IdentityMeans::Asserted })
    }

    fn lab() -> Scope {
        Scope { blueprint: Digest::ZERO, environment: "lab".into() }
    }

    #[test]
    fn raising_needs_the_role_and_lowering_never_does() {
        let (none, owner): (BTreeSet<Role>, BTreeSet<Role>) = (BTreeSet::new(), [Role::Owner].into());
        let mut trust = Trust::default();
        let set = |trust: &Trust, stage, roles: &BTreeSet<Role>| {
            set_trust(trust, &ada(), (lab(), "dns", stage), "it went well", roles, Role::Owner)
        };
        assert_eq!(set(&trust, 2, &none), Err(TrustRefusal::NotInRole(Role::Owner)));
        assert_eq!(set(&trust, 2, &[Role::Approver].into()), Err(TrustRefusal::NotInRole(Role::Owner)));
        assert!(matches!(set(&trust, 3, &owner), Ok(TrustSet { from: 1, stage: 3, .. })));
        trust.set(lab(), 3, Digest::ZERO);
        assert!(matches!(set(&trust, 1, &none), Ok(TrustSet { from: 3, role: None, .. })));
        assert_eq!(set(&trust, 3, &owner), Err(TrustRefusal::Unchanged("dns@lab".into(), 3)));
        assert_eq!(set(&trust, 4, &owner), Err(TrustRefusal::NoSuchStage(4)));
        assert_eq!(set(&trust, 0, &owner), Err(TrustRefusal::NoSuchStage(0)));
        let silent = set_trust(&trust, &ada(), (lab(), "dns", 2), " ", &owner, Role::Owner);
        assert_eq!(silent, Err(TrustRefusal::NoReason));
        let agent = set_trust(&trust, &Actor::Program, (lab(), "dns", 1), "no", &owner, Role::Owner);
        assert!(matches!(agent, Err(TrustRefusal::NotAPerson(_))));
    }
}
