//! Drives engagements: asks the pure core what is next, does it through the drafter and the broker, and writes
//! down what came of it. Nothing is decided here.

mod answer;
mod asked_again;
mod behind;
mod blueprints;
#[cfg(test)]
mod cancel_tests;
mod catalog_files;
mod drafting;
mod driver;
mod error;
mod filing;
mod found;
mod hindered;
mod init;
mod patience;
mod progress;
mod redact;
mod request;
mod retry;
mod revision;
#[cfg(test)]
mod revision_tests;
mod ruling;
mod shown_again;
mod signed_log;
mod signing;
mod simulate;
mod solver;
mod stamps;
mod stands;
mod talking;
mod unread;
mod witness;
mod workspace;

pub use answer::{AnswerError, Choice, Given, Open, Yes, answer, cancel, edit, nothing_open, open_question, standing};
pub use asked_again::{AskedAgain, ask_again};
pub use blueprints::Blueprints;
pub use driver::{BrokenOff, Driver};
pub use error::{DriverError, WorkspaceError};
pub use hindered::Hindered;
pub use init::init_files;
pub use progress::{Progress, Stopped};
pub use redact::{Redaction, plan_redaction, redact};
pub use request::{NewRequest, RequestError, file_request};
pub use retry::{retry, retryable, spent};
pub use signed_log::Signs;
pub use signing::{Signer, SigningError, Unsigned, Wanted, sign_trust};
pub use simulate::{Flip, Simulation, answer_word, simulate};
pub use solver::{Solver, SolverSearch, prove_spec};
pub use talking::say;
pub use unread::unread;
pub use workspace::Workspace;
