//! The boundary of a spec as Cedar: one permit for each grant, and one for the undo that a build grant implies. It
//! compiles and explains; it never widens what the spec says, and a grant that cannot be compiled is an error.

use std::collections::HashMap;

use cedar_policy::{Policy, PolicyId, PolicySet, Request, pst::BinaryOp};
use serde_json::Value;

use crate::{
    artifact::{Agent, Constraint, Grant, Spec, SpecError, ToolName},
    tool::{Effect, GrantWords, Tool},
};

use super::{
    Catalog,
    clause::{Clause, clauses},
    decide::{Miss, Nearest, Question},
    file::invalid,
    nearest,
    request::Asked,
    schema::READERS,
    sight::{Reads, Slice},
    syntax::{Permit, Principal, binary, context, source, string},
};

/// The grants of a spec as Cedar permits.
#[derive(Debug, Default)]
pub struct CompiledBoundary {
    permits: PolicySet,
    /// The permits whose scope names each tool; the others cannot hold for its calls.
    by_tool: HashMap<ToolName, Slice>,
    granted: Vec<Granted>,
}

/// A permit and the grant behind it, in the order of the spec; an undo stands behind its grant.
#[derive(Debug)]
struct Granted {
    id: String,
    side: Side,
    grant: Grant,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Discover,
    Build,
    Undo,
}

impl Side {
    fn serves(self, agent: Agent) -> bool {
        match self {
            Self::Discover => matches!(agent, Agent::Design | Agent::Verifier),
            Self::Build | Self::Undo => agent == Agent::Build,
        }
    }
}

impl CompiledBoundary {
    /// Compiles every grant; the errors say all that is wrong, in the order of the spec.
    pub fn compile(spec: &Spec, catalog: &Catalog) -> Result<Self, Vec<SpecError>> {
        let mut compiled = Self::default();
        let mut errors = Vec::new();
        let boundary = &spec.boundary;
        for (side, name, grants) in
            [(Side::Discover, "discover", &boundary.discover), (Side::Build, "build", &boundary.build)]
        {
            for (at, grant) in grants.iter().enumerate() {
                errors.extend(compiled.add(catalog, side, &format!("{name}.{at}"), grant).err().into_iter().flatten());
            }
        }
        // Strict validation has nothing to find in what is built from the same schema; should it, nothing runs.
        for (id, error) in invalid(catalog.policies.validator(), &compiled.permits, false) {
            errors.push(SpecError::new(format!("boundary.{id}"), error.message));
        }
        if errors.is_empty() { Ok(compiled) } else { Err(errors) }
    }

    /// The permits as Cedar source, for people and provers.
    pub fn cedar(&self) -> String {
        let permits = self.granted.iter().filter_map(|granted| source(self.permit(&granted.id)?).ok());
        permits.collect::<Vec<_>>().join("\n")
    }

    /// The permits about a tool, as they are asked; nothing where the spec does not grant it.
    pub(super) fn about(&self, tool: &ToolName) -> Option<&Slice> {
        self.by_tool.get(tool)
    }

    /// All permits.
    pub(super) fn permits(&self) -> &PolicySet {
        &self.permits
    }

    /// The grants with their ids, in the order of the spec: those to build, and those to read.
    pub(super) fn grants(&self) -> impl Iterator<Item = (&str, bool, &Grant)> {
        let granted = self.granted.iter().filter(|granted| granted.side != Side::Undo);
        granted.map(|granted| (granted.id.as_str(), granted.side == Side::Build, &granted.grant))
    }

    /// The permit of a grant.
    pub(super) fn permit(&self, id: &str) -> Option<&Policy> {
        self.permits.policy(&PolicyId::new(id))
    }

    /// The grants of the spec among permits that hold, in its order: each one's id, and what it lets in, in words.
    pub(super) fn holding(&self, permits: &[String]) -> impl Iterator<Item = (&str, &str)> {
        let holding = self.granted.iter().filter(|granted| permits.contains(&granted.id));
        holding.map(|granted| (granted.id.as_str(), granted.reason.as_str()))
    }

    fn add(&mut self, catalog: &Catalog, side: Side, id: &str, grant: &Grant) -> Result<(), Vec<SpecError>> {
        let path = format!("boundary.{id}");
        let wrong = |part: &str, message: String| vec![SpecError::new(format!("{path}.{part}"), message)];
        let Some(tool) = catalog.toolbox.tool(&grant.tool) else {
            let hint = nearest(grant.tool.as_str(), catalog.toolbox.tools().map(|tool| tool.name.as_str()));
            return Err(wrong("tool", format!("there is no tool `{}`{hint}", grant.tool)));
        };
        if side == Side::Discover && tool.effect != Effect::Read {
            let message = format!("`{}` changes things; only reading tools may be granted for discovery", tool.name);
            return Err(wrong("tool", message));
        }
        if tool.effect == Effect::Read && grant.at_most.is_some() {
            let message = format!("`{}` only reads, and reads are not counted; take it out (see `limits`)", tool.name);
            return Err(wrong("at_most", message));
        }
        let clauses = clauses(grant, tool, &catalog.inventory).map_err(|whys| {
            whys.into_iter().map(|(name, why)| SpecError::new(format!("{path}.where.{name}"), why)).collect::<Vec<_>>()
        })?;
        let mut conditions: Vec<_> = clauses.into_iter().map(|clause| clause.expr).collect();
        if side == Side::Build {
            conditions.insert(0, binary(BinaryOp::Eq, context("undo_of"), string("")));
        }
        let reason = words(grant, tool);
        let principal = match side {
            Side::Discover => Principal::Group(READERS),
            Side::Build | Side::Undo => Principal::Agent(Agent::Build.as_str()),
        };
        let permit = Permit { id, reason: &reason, principal, tool: tool.name.as_str(), conditions };
        self.push(permit, side, grant).map_err(|message| wrong("tool", message))?;
        if let (Side::Build, Some(undo)) = (side, &tool.undo) {
            let reason = format!("takes back what `{id}` did with `{}`, and nothing else", tool.name);
            let conditions = vec![binary(BinaryOp::Eq, context("undo_of"), string(id))];
            let id = undo_id(id);
            let permit = Permit { id: &id, reason: &reason, principal, tool: undo.tool.as_str(), conditions };
            let grant = Grant { tool: undo.tool.clone(), constraints: Default::default(), at_most: None };
            self.push(permit, Side::Undo, &grant).map_err(|message| wrong("tool", message))?;
        }
        Ok(())
    }

    fn push(&mut self, permit: Permit<'_>, side: Side, grant: &Grant) -> Result<(), String> {
        let (id, reason) = (permit.id.to_owned(), permit.reason.to_owned());
        let policy = permit.build()?;
        let about = self.by_tool.entry(grant.tool.clone());
        let about = about.or_insert_with(|| Slice::new(PolicySet::new(), Reads::OF_GRANTS));
        about.add(policy.clone())?;
        self.permits.add(policy).map_err(|error| error.to_string())?;
        self.granted.push(Granted { id, side, grant: grant.clone(), reason });
        Ok(())
    }

    /// Why nothing permits this call, naming the arguments that fall outside the grant that comes closest.
    pub(super) fn explain(&self, catalog: &Catalog, question: &Question<'_>, asked: &Asked<'_>) -> String {
        let (tool, agent) = (question.tool, question.agent);
        if let Some(undone) = question.undo_of {
            return format!(
                "no build grant `{undone}` is undone with `{}`; only the manifest's own undo runs",
                tool.name
            );
        }
        match self.nearest(catalog, question, asked) {
            Some(Nearest { grant, misses }) if !misses.is_empty() => {
                let misses = misses.iter().map(|miss| format!("`{}` must be {}", miss.argument, miss.must_be));
                format!("outside the grant {grant}: {}", misses.collect::<Vec<_>>().join("; "))
            }
            Some(Nearest { grant, .. }) => format!("the grant {grant} does not hold for this call"),
            None if self.granted.iter().any(|granted| granted.is_of(tool)) => {
                format!("the spec grants `{}`, but not to the {agent} agent", tool.name)
            }
            None => format!("the spec does not grant `{}`", tool.name),
        }
    }

    /// The grant of this tool, for this agent, that the fewest arguments fall outside of.
    pub(super) fn nearest(&self, catalog: &Catalog, question: &Question<'_>, asked: &Asked<'_>) -> Option<Nearest> {
        let (tool, agent) = (question.tool, question.agent);
        let request = asked.whole().ok()?;
        let usable = self.granted.iter().filter(|granted| granted.is_of(tool) && granted.side.serves(agent));
        let misses = usable.filter_map(|granted| {
            let clauses = clauses(&granted.grant, tool, &catalog.inventory).ok()?;
            Some(Nearest { grant: granted.id.clone(), misses: misses(&clauses, tool, agent, asked, &request) })
        });
        misses.min_by_key(|nearest| nearest.misses.len())
    }
}

impl Granted {
    /// Whether the grant, and not the undo that stands behind one, is of this tool.
    fn is_of(&self, tool: &Tool) -> bool {
        self.grant.tool == tool.name && self.side != Side::Undo
    }
}

/// The id of the permit for the undo of a build grant.
pub(super) fn undo_id(grant: &str) -> String {
    format!("{grant}.undo")
}

/// The clauses that do not hold, in words. Cedar is asked, so that this cannot differ from the decision.
fn misses(clauses: &[Clause], tool: &Tool, agent: Agent, asked: &Asked<'_>, request: &Request) -> Vec<Miss> {
    let permit = |clause: &Clause| -> Option<Policy> {
        let conditions = vec![clause.expr.clone()];
        let principal = Principal::Agent(agent.as_str());
        let permit = Permit { id: &clause.argument, reason: "", principal, tool: tool.name.as_str(), conditions };
        permit.build().ok().map(|policy| policy.new_id(PolicyId::new(&clause.argument)))
    };
    let policies = PolicySet::from_policies(clauses.iter().filter_map(permit)).unwrap_or_default();
    let hold = asked.ask(&policies, request).rules;
    clauses
        .iter()
        .filter(|clause| !hold.contains(&clause.argument))
        .map(|clause| Miss { argument: clause.argument.clone(), must_be: clause.words.clone() })
        .collect()
}

/// A grant in plain words: the tool's own sentence, then what it does not mention.
fn words(grant: &Grant, tool: &Tool) -> String {
    let default = |default: Option<&Value>| match default {
        Some(default) => default.as_str().map_or_else(|| default.to_string(), str::to_owned),
        None => "(nothing)".to_owned(),
    };
    let words =
        GrantWords { said: |_: &str, constraint: &Constraint| constraint.words(), unsaid: Constraint::words, default };
    let mut text = tool.sentence_of(grant, &words);
    if let Some(most) = grant.at_most {
        text = format!("{text}, at most {most} in all");
    }
    text
}
