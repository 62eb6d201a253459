//! A question for a solver: is there a call for which this holds? The formula is Cedar through and through, so what
//! is proven is what the authorizer evaluates; the encoding for the solver is `cedar-policy-symcc`'s. Whoever runs
//! the solver implements [`Ask`]; nothing here starts a process.

use cedar_policy::{
    Effect, EntityTypeName, Policy, PolicyId, PolicySet, RequestEnv,
    pst::{self, Clause, Expr},
};
use cedar_policy_symcc::{
    CompiledPolicy, CompiledPolicySet, Env, WellFormedAsserts, always_denies_asserts, implies_asserts,
    never_errors_asserts,
};

use super::super::{
    Catalog,
    syntax::{Join, forbid_unless, joined},
};
use crate::tool::Tool;

/// What a solver is asked: whether any request satisfies it.
#[derive(Debug)]
pub struct Goal(Compiled);

#[derive(Debug)]
enum Compiled {
    /// Something is allowed.
    Allowed(Box<CompiledPolicySet>),
    /// Something is allowed by the first and not by the second.
    Beyond(Box<[CompiledPolicySet; 2]>),
    /// Something makes the policy fail.
    Fails(Box<CompiledPolicy>),
}

impl Goal {
    /// The goal as assertions; they can be satisfied exactly where the goal can be reached.
    pub fn asserts(&self) -> WellFormedAsserts<'_> {
        match &self.0 {
            Compiled::Allowed(policies) => always_denies_asserts(policies),
            Compiled::Beyond(both) => {
                let [policies, others] = &**both;
                implies_asserts(policies, others)
            }
            Compiled::Fails(policy) => never_errors_asserts(policy),
        }
    }
}

/// Someone who can say whether a goal can be reached. The error is why it cannot be said, and an answer that does not
/// come in time is one.
pub trait Ask {
    /// Whether some request satisfies the goal; that none does is proven.
    fn reachable(&mut self, goal: &Goal) -> Result<bool, String>;

    /// Some request that satisfies the goal, if one does. It is the solver's word, and believed only once the
    /// authorizer has confirmed it.
    fn example(&mut self, goal: &Goal) -> Result<Option<Env>, String>;
}

/// What is looked for among the calls of one tool.
#[derive(Clone, Copy)]
pub(super) enum Claim<'a> {
    /// A call that these policies allow.
    Allowed(&'a PolicySet),
    /// A call that the first allow and the second do not.
    Beyond(&'a PolicySet, &'a PolicySet),
    /// A call for which this policy fails.
    Fails(&'a Policy),
}

/// A claim about the calls of one tool, and what is known of those calls.
pub(super) struct Formula<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) tool: &'a Tool,
    pub(super) claim: Claim<'a>,
    /// What holds for every call that can be made, see [`super::world`].
    pub(super) given: Vec<Expr>,
}

impl<'a> Formula<'a> {
    /// The same claim about fewer calls.
    pub(super) fn with(&self, more: impl IntoIterator<Item = Expr>) -> Formula<'a> {
        let given = self.given.iter().cloned().chain(more).collect();
        Formula { given, ..*self }
    }

    /// Whether anything satisfies it.
    pub(super) fn possible(&self, ask: &mut dyn Ask) -> Result<bool, String> {
        ask.reachable(&self.goal()?)
    }

    /// Something that satisfies it.
    pub(super) fn example(&self, ask: &mut dyn Ask) -> Result<Option<Env>, String> {
        ask.example(&self.goal()?)
    }

    fn goal(&self) -> Result<Goal, String> {
        let lowered = self.catalog.policies.lowered();
        let action = lowered.actions.get(&self.tool.name).ok_or("no policy knows the tool")?;
        let named = |name: &str| name.parse::<EntityTypeName>().map_err(|error| error.to_string());
        let env = RequestEnv::new(named("Agent")?, action.uid.clone(), named("Target")?);
        let schema = &lowered.schema;
        let compile = |policies: &PolicySet| {
            CompiledPolicySet::compile(policies, &env, schema).map_err(|error| error.to_string())
        };
        let compiled = match self.claim {
            Claim::Allowed(policies) => Compiled::Allowed(Box::new(compile(&self.bounded(policies)?)?)),
            Claim::Beyond(policies, others) => {
                let both = [compile(&self.bounded(policies)?)?, compile(&of_tool(others, &action.uid))?];
                Compiled::Beyond(Box::new(both))
            }
            Claim::Fails(policy) => {
                let policy = self.given_first(policy)?;
                let policy = CompiledPolicy::compile(&policy, &env, schema).map_err(|error| error.to_string())?;
                Compiled::Fails(Box::new(policy))
            }
        };
        Ok(Goal(compiled))
    }

    /// The policies, and a `forbid` of every call of which what is given does not hold.
    fn bounded(&self, policies: &PolicySet) -> Result<PolicySet, String> {
        let lowered = self.catalog.policies.lowered();
        let action = lowered.actions.get(&self.tool.name).ok_or("no policy knows the tool")?;
        let mut bounded = of_tool(policies, &action.uid);
        let forbid = forbid_unless(self.tool.name.as_str(), joined(Join::All, self.given.clone()))?;
        // No rule can have this id: one of a file has a word, and one of a grant a place in the spec.
        let forbid = forbid.new_id(PolicyId::new("(what is given)"));
        bounded.add(forbid).map_err(|error| error.to_string())?;
        Ok(bounded)
    }

    /// The policy with what is given as its first condition, so that it fails only for calls that can be made.
    fn given_first(&self, policy: &Policy) -> Result<Policy, String> {
        let try_build = || -> Result<Policy, Box<dyn std::error::Error>> {
            let template: pst::Template = policy.to_pst()?.body().clone();
            let first = Clause::When(joined(Join::All, self.given.clone()).into());
            let clauses: Vec<Clause> = std::iter::once(first).chain(template.clauses().iter().cloned()).collect();
            let policy = pst::StaticPolicy::try_from(template.try_with_clauses(clauses)?)?;
            Ok(Policy::from_pst(policy.into())?)
        };
        try_build().map_err(|error| error.to_string())
    }
}

/// The policies that could match a call of this action: all `forbid`s, and the permits that name it.
fn of_tool(policies: &PolicySet, action: &cedar_policy::EntityUid) -> PolicySet {
    let matters = |policy: &&Policy| match policy.action_constraint() {
        cedar_policy::ActionConstraint::Eq(uid) => uid == *action,
        _ => true,
    };
    let kept = policies.policies().filter(|policy| policy.effect() == Effect::Forbid || matters(policy));
    PolicySet::from_policies(kept.cloned()).unwrap_or_else(|_| policies.clone())
}
