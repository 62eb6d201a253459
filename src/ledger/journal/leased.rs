//! The target that an engagement changes or is about to, while nobody else may.

use std::time::Instant;

use jiff::SignedDuration;

use super::Journal;
use crate::{
    artifact::{EngagementId, NodeId},
    ledger::{Lease, LedgerError, Taken, Waits, With},
};

/// What an engagement has or waits for; at most one target at a time, so that no two wait for each other.
#[derive(Default)]
pub(super) struct Leased {
    has: Option<Has>,
    waits: Option<(String, Waits, Instant)>,
}

struct Has {
    target: String,
    with: With,
    lease: Box<dyn Lease>,
    /// The step for which it is had: between two of them others have their turn.
    node: Option<NodeId>,
    /// Whether it was looked at since.
    looked: bool,
}

/// Others have the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The engagement that has it, where that is known.
    pub who: Option<EngagementId>,
    /// The target.
    pub target: String,
    /// Since when this one waits behind it.
    pub since: Instant,
    /// Whether it waits behind it from now on.
    pub begins: bool,
}

impl Journal {
    /// Takes a target, and gives back the one that was had; nothing where it is had now. It does not wait: whoever waits asks
    /// again, and asks for nothing else meanwhile.
    ///
    /// # Errors
    ///
    /// As [`crate::ledger::Store::take`].
    pub async fn take(
        &mut self,
        target: &str,
        with: With,
        node: Option<&NodeId>,
    ) -> Result<Option<Behind>, LedgerError> {
        self.leased.has = None;
        let waits = self.leased.waits.take().filter(|(of, ..)| of == target);
        let known = waits.as_ref().map(|(_, waits, since)| (waits.behind.clone(), *since));
        let waits = waits.map(|(_, waits, _)| waits);
        match self.store.take(target, &self.state.id, with, waits).await? {
            Taken::Has(lease) => {
                self.leased.has =
                    Some(Has { target: target.to_owned(), with, lease, node: node.cloned(), looked: false });
                Ok(None)
            }
            Taken::Waits(waits) => {
                let who = waits.behind.clone();
                // Behind each it is waited for as long.
                let same = known.filter(|(known, _)| who.is_none() || *known == who);
                let (begins, since) = (same.is_none(), same.map_or_else(Instant::now, |(_, since)| since));
                self.leased.waits = Some((target.to_owned(), waits, since));
                Ok(Some(Behind { who, target: target.to_owned(), since, begins }))
            }
        }
    }

    /// Whether a target is had for a step, and with nobody where nobody else may have it.
    pub fn has(&self, target: &str, with: With, node: Option<&NodeId>) -> bool {
        let fits = |has: &Has| has.target == target && (has.with == with || with == With::TheBlind);
        self.leased.has.as_ref().is_some_and(|has| fits(has) && has.node.as_ref() == node)
    }

    /// Whether the target that is had was looked at since.
    pub fn has_looked(&self) -> bool {
        self.leased.has.as_ref().is_some_and(|has| has.looked)
    }

    /// Says that it was.
    pub fn looked(&mut self) {
        if let Some(has) = &mut self.leased.has {
            has.looked = true;
        }
    }

    /// Says that something is sent to the target that may act so long at most, or until [`Journal::answered`].
    ///
    /// # Errors
    ///
    /// As [`Lease::sends`]; then nothing may be sent.
    pub fn sends(&mut self, at_most: SignedDuration) -> Result<(), LedgerError> {
        self.leased.has.as_mut().map_or(Ok(()), |has| has.lease.sends(at_most))
    }

    /// Says that what was sent was answered, or is over.
    pub fn answered(&mut self) {
        if let Some(has) = &mut self.leased.has {
            has.lease.over();
        }
    }

    /// Gives the target back, and waits for none.
    pub fn let_go(&mut self) {
        self.leased = Leased::default();
    }
}
