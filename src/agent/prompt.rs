//! The instructions of each agent: a template that ships with the program, and what an organisation adds. Additions are
//! appended as they are and never replace anything: what an agent may do is said first, and decided by the broker
//! whatever stands here.

use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::json;

use crate::artifact::{Agent, ArtifactKind, CanonicalError, Digest, digest_of};

use super::{
    limits::RETURNS,
    offer::{ASK, READ_RESULT},
};

const REQUIREMENTS: &str = include_str!("../../prompts/requirements.md");
const DESIGN: &str = include_str!("../../prompts/design.md");
const BUILD: &str = include_str!("../../prompts/build.md");

/// The instructions of the agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// What the organisation adds: file names and texts, in the order of the names.
    custom: Vec<(String, String)>,
    /// Whether there is a model that fills what a design leaves open.
    builds: bool,
}

/// What one agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// The digest of the template and the additions.
    pub digest: Digest,
}

/// What a template is filled with.
pub(super) struct Filling<'a> {
    pub(super) kind: ArtifactKind,
    pub(super) schema: &'a str,
    pub(super) attempts: u32,
    /// Whether a step has failed, and what is wanted then is asked for.
    pub(super) failed: bool,
}

/// Instructions that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// There is no such agent.
    #[error("the {0} agent drafts nothing with a model")]
    NoAgent(Agent),
    /// The template does not come out.
    #[error("prompts/{agent}.md: {reason}")]
    Template {
        /// The agent.
        agent: Agent,
        /// Why not.
        reason: String,
    },
    /// It has no digest.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Prompts {
    /// The shipped instructions with additions, each a file name of prompts/custom and its text. A file that is named
    /// for an agent, such as `design.md` or `design-naming.md`, is for that agent; any other is for all.
    pub fn with(mut custom: Vec<(String, String)>) -> Self {
        custom.sort();
        Self { custom, builds: false }
    }

    /// The same, where there is a model for the build agent or none: only then may a design leave holes to it.
    #[must_use]
    pub fn building(self, builds: bool) -> Self {
        Self { builds, ..self }
    }

    pub(super) fn builds(&self) -> bool {
        self.builds
    }

    pub(super) fn render(&self, agent: Agent, filling: &Filling<'_>) -> Result<Prompt, PromptError> {
        let template = template(agent).ok_or(PromptError::NoAgent(agent))?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let context = context! {
            artifact => filling.kind.file_name(),
            drafting => if filling.kind == ArtifactKind::Discovery { "discovery" } else { filling.kind.file_name() },
            schema => filling.schema,
            builds => self.builds,
            failed => filling.failed,
            ask => ASK,
            read_result => READ_RESULT,
            most_questions => crate::engagement::AgentAsked::MOST,
            most_wants => if filling.failed {
                crate::engagement::Considered::MOST_WANTS
            } else {
                crate::engagement::HolesFilled::MOST_WANTS
            },
            returns => RETURNS,
            attempts => filling.attempts,
            by_the_program => match filling.kind {
                ArtifactKind::Discovery => "`spec`, `acceptance` and `drift`, and of each read all but `id`, `item` and `call`",
                _ => "`spec`, `discovery` and `inputs`",
            },
        };
        let wrong = |error: minijinja::Error| PromptError::Template { agent, reason: format!("{error:#}") };
        let mut text = environment.render_str(template, context).map_err(wrong)?;
        let custom: Vec<&(String, String)> = self.custom.iter().filter(|(name, _)| is_for(name, agent)).collect();
        for (_, addition) in &custom {
            text.push_str("\n\n# What your organisation adds\n\n");
            text.push_str(addition.trim());
        }
        let mut told = json!({"template": template, "custom": custom});
        if self.builds
            && let Some(told) = told.as_object_mut()
        {
            told.insert("builds".into(), json!(true));
        }
        let digest = digest_of(&told)?;
        Ok(Prompt { text, digest })
    }
}

fn template(agent: Agent) -> Option<&'static str> {
    match agent {
        Agent::Requirements => Some(REQUIREMENTS),
        Agent::Design => Some(DESIGN),
        Agent::Build => Some(BUILD),
        Agent::Verifier => None,
    }
}

/// Whether an addition is for an agent.
fn is_for(name: &str, agent: Agent) -> bool {
    let stem = name.strip_suffix(".md").unwrap_or(name);
    let names = |other: &Agent| stem == other.as_str() || stem.starts_with(&format!("{other}-"));
    names(&agent) || !Agent::ALL.iter().any(names)
}
