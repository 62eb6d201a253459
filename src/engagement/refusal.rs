//! Why something may not be written to an engagement's chain, in words that a person can act on.

use crate::{artifact::Phase, facts::Role};

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error(
        "the engagement is closed; start another with `countersign request --text '…'`, `--blueprint` or `--spec`, and `--from {0}` \
         where it has a record to start from"
    )]
    Over(String),
    /// A person ended it; only what clears up may still happen.
    #[error("the engagement was cancelled: {0}")]
    Cancelled(String),
    /// A gate is closed.
    #[error("{0} is not open for the current version")]
    GateClosed(&'static str),
    /// Out of order.
    #[error("{what} does not belong in the {phase} phase")]
    OutOfOrder {
        /// What was wanted.
        what: String,
        /// The phase.
        phase: Phase,
    },
    /// What failed is tried again only where the engagement has ended.
    #[error("{0} has not ended yet, and what failed is tried again only then; `countersign run {0}` goes on with it")]
    NotEnded(String),
    /// It does not follow from what it must follow from.
    #[error("{0}")]
    NotMadeFrom(String),
    /// Another ledger asked before.
    #[error("it was asked in the ledger {before}, and is not asked in {now}")]
    Elsewhere {
        /// The ledger that it would be asked in.
        now: String,
        /// The one that asked before.
        before: String,
    },
    /// Nobody asked this.
    #[error("nothing is open to answer; look with `countersign show {0}`")]
    NothingAsked(String),
    /// The question changed.
    #[error("the question changed meanwhile; it is now about {now}; look again with `countersign show {id}`")]
    OtherQuestion {
        /// What is asked now.
        now: String,
        /// The engagement.
        id: String,
    },
    /// The person may not.
    #[error("this needs the role `{0}`; ask someone who has it, or have an owner add it in policies/people.yaml")]
    NotInRole(Role),
    /// A rejection without a reason.
    #[error("say why, with `--reason`")]
    NoReason,
    /// An answer of the wrong kind.
    #[error("that is not an answer to this question: {0}")]
    WrongAnswer(&'static str),
    /// Answers, cancellations and retries come from people; no agent can author one.
    #[error("{0} cannot do this: only a person can")]
    NotAPerson(String),
    /// The policy answers, and does nothing else; nobody answers in its name.
    #[error("{0} cannot do this: the policy answers at trust stage 3, and does nothing else")]
    NotThePolicy(String),
    /// Duties are apart where this is.
    #[error(
        "{0} asked for this, wrote it or told the agents about it, and where it runs nobody approves their own work; ask another approver (`separation_of_duties` in policies/people.yaml)"
    )]
    SameHands(String),
    /// A name is not enough here.
    #[error(
        "an answer here needs the signature of the person who gives it: give your SSH key with `--key ~/.ssh/id_ed25519`"
    )]
    NeedsSignature,
    /// The signature is not good for this.
    #[error("the signature is not taken: {0}")]
    Signature(String),
    /// A proof comes from asking the solver, which nobody but the program does.
    #[error("{0} cannot do this: only the program can")]
    NotTheProgram(String),
    /// What was said is not what is asked, or nothing.
    #[error("{0}")]
    Said(String),
    /// Turns and questions of an agent come from that agent.
    #[error("{0} cannot do this: only the agent itself can")]
    NotTheAgent(String),
    /// It cannot be redacted, or not any more be worked with.
    #[error("{0}")]
    Redaction(String),
    /// The call or node is not in the state that this needs.
    #[error("{0}")]
    Call(String),
}
