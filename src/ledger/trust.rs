//! The ledger's own chain of trust stages: which stage each blueprint has in each environment, who said so and why.
//! It is a chain like an engagement's, with the same hashes and the same one write.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use ssh_key::PublicKey;

use crate::{
    artifact::{Digest, EngagementId, Written},
    engagement::{Actor, Body, Event, Head, Signed, TrustRefusal, TrustSet, TrustStatement},
    facts::{AllowedSigners, Identity, People, STAGES, Scope, TRUST_NAMESPACE as NAMESPACE, Trust, key_of},
};

use super::{
    chain,
    error::LedgerError,
    log::{anew, torn},
    mentions::mentions,
    store::{Append, Link, Logs, Store},
    verify::{Problem, follows, person, unsigned_stages},
};

/// A stage that was not set.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] TrustRefusal),
    /// It could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a stage that was raised counts as never raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lapsed {
    /// The signers do not name the key that it was raised with, for then.
    Key,
    /// Whoever raised it may not raise a stage any more.
    Role(Identity),
}

/// The chain and what it folds into.
pub struct TrustBook {
    store: Arc<dyn Store>,
    events: Vec<Event>,
    trust: Trust,
    /// Who raised each scope last.
    raised: BTreeMap<Scope, Raised>,
}

/// A raise, and what it was signed with.
#[derive(Clone)]
struct Raised {
    by: Identity,
    /// Nothing where its signature cannot be read.
    key: Option<PublicKey>,
    at: Timestamp,
}

impl TrustBook {
    /// Reads the chain, checking every link.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] for a chain that is not what was written; and whatever [`Store::events`] gives.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, LedgerError> {
        let stored = store.events(&EngagementId::trust(), 0).await?;
        Self::unread(store).followed_by(stored)
    }

    /// The chain before anything of it was read.
    pub(super) fn unread(store: Arc<dyn Store>) -> Self {
        Self { store, events: Vec::new(), trust: Trust::default(), raised: BTreeMap::new() }
    }

    /// Whether it is of this store.
    pub(super) fn is_of(&self, store: &Arc<dyn Store>) -> bool {
        Arc::ptr_eq(&self.store, store)
    }

    /// The same with these stored events after the last one.
    pub(super) fn followed_by(&self, later: Vec<Vec<u8>>) -> Result<Self, LedgerError> {
        let (store, events) = (Arc::clone(&self.store), self.events.clone());
        let mut book = Self { store, events, trust: self.trust.clone(), raised: self.raised.clone() };
        for bytes in later {
            let (seq, prev) = book.last();
            let event = chain::check(&bytes, seq + 1, prev)
                .map_err(|error| LedgerError::event(&EngagementId::trust(), &error))?;
            book.fold(event)?;
        }
        Ok(book)
    }

    /// Whether the log over all engagements has just these events of the chain.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] where it has another one more, or not all of these; and whatever the store gives.
    pub async fn held_to_log(&self) -> Result<(), LedgerError> {
        let (id, last) = (EngagementId::trust(), self.events.last());
        let last = last.map(|event| (event.seq, event.body.kind()));
        let store = self.store.as_ref();
        let mut reason = torn(store, &id, self.last().0, last).await?;
        if let (None, Some(leaf)) = (&reason, store.last_leaf(&id).await?) {
            reason = anew(store, &id, leaf, self.last()).await?;
        }
        reason.map_or(Ok(()), |reason| Err(LedgerError::corrupt("the chain of trust stages", reason)))
    }

    /// What the chain folds into.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The same as these signers and people have it: what was raised by a key that they do not name, or by somebody who may
    /// not raise a stage any more, counts as never raised. What the chain says of keys and roles is only what was so when it
    /// was written, and whoever can write it can say that of any key.
    pub fn trust_by(&self, signers: &AllowedSigners, people: &People) -> Cow<'_, Trust> {
        let mut trust = Cow::Borrowed(&self.trust);
        for scope in self.raised.keys().filter(|scope| self.lapsed(scope, signers, people).is_some()) {
            trust.to_mut().set(scope.clone(), *STAGES.start(), self.trust.head());
        }
        trust
    }

    /// Why the stage of a scope counts as never raised, if it was and does.
    pub fn lapsed(&self, scope: &Scope, signers: &AllowedSigners, people: &People) -> Option<Lapsed> {
        let Raised { by, key, at } = self.raised.get(scope)?;
        let named = key.as_ref().is_some_and(|key| signers.allows(&by.name, key, NAMESPACE, *at).is_ok());
        if self.trust.stage(scope) == *STAGES.start() {
            None
        } else if !named {
            Some(Lapsed::Key)
        } else if !people.roles(by).iter().any(|role| *role >= people.raise_trust) {
            Some(Lapsed::Role(by.clone()))
        } else {
            None
        }
    }

    /// Its events, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The last event of the chain, as whoever sets a stage signs it.
    pub fn head(&self) -> Head {
        let (seq, hash) = self.last();
        Head { seq, hash }
    }

    /// Gives a scope another stage; [`crate::engagement::set_trust`] says what may be set.
    ///
    /// # Errors
    ///
    /// [`TrustError::Refused`] if the signature that it needs is missing or for something else,
    /// [`LedgerError::Conflict`] if another process wrote meanwhile; and whatever [`Store::append`] gives.
    pub async fn set(
        &mut self,
        at: Timestamp,
        actor: Actor,
        set: TrustSet,
        signed: Option<Signed<TrustStatement>>,
    ) -> Result<(), TrustError> {
        let ledger = self.store.ledger().await?;
        let by = person(&actor).ok_or_else(|| TrustRefusal::NotAPerson(actor.to_string()))?;
        let set = TrustStatement::sign(set, signed.as_ref(), ledger, by, self.head())?;
        let (seq, prev) = self.last();
        let at = self.events.last().map_or(at, |last| at.max(last.at));
        let sealed = chain::seal(&EngagementId::trust(), seq + 1, at, actor, Body::TrustSet(set), prev);
        let sealed = sealed.map_err(LedgerError::Unwritable)?;
        let mut blobs = Vec::new();
        if let Some(signed) = signed {
            for document in [Written::of(&signed.statement), Written::of(&signed.signers.document())] {
                blobs.push(document.map_err(|error| LedgerError::Unwritable(error.into()))?);
            }
        }
        let link = Link { seq: seq + 1, bytes: sealed.bytes, hash: sealed.event.hash };
        let append = Append {
            engagement: EngagementId::trust(),
            expected_seq: seq,
            events: vec![link],
            blobs,
            destroyed: Vec::new(),
            summary: None,
            logs: Logs::Last,
            snapshot: None,
        };
        self.store.append(append).await?;
        Ok(self.fold(sealed.event)?)
    }

    /// What is wrong with the signatures of the chain. Opening it checks that they are there; this checks each, and
    /// holds it against allowed signers of the verifier's own too.
    ///
    /// # Errors
    ///
    /// Whatever [`Store::blobs`] gives.
    pub async fn verify(&self, own: Option<&AllowedSigners>) -> Result<Vec<Problem>, LedgerError> {
        let ledger = self.store.ledger().await?;
        let named: Vec<Digest> = self.events.iter().flat_map(mentions).map(|mention| mention.digest).collect();
        let stored = self.store.blobs(&named).await?;
        let document = |digest: &Digest| serde_json::from_slice(stored.get(digest)?).ok();
        Ok(unsigned_stages(&self.events, &ledger, &document, own))
    }

    /// Whether the signatures of the events after a place hold: what decisions rest on is asked, not only what is verified.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] if one does not; and whatever [`Store::blobs`] gives.
    pub(super) async fn believed_after(&self, seq: u64) -> Result<(), LedgerError> {
        match self.verify(None).await?.into_iter().find(|problem| problem.seq > seq) {
            None => Ok(()),
            Some(problem) => Err(LedgerError::corrupt(
                "the chain of trust stages",
                format!(
                    "event {} is not believed: {} (`countersign verify trust` shows all)",
                    problem.seq, problem.what
                ),
            )),
        }
    }

    fn last(&self) -> (u64, Digest) {
        self.events.last().map_or((0, Digest::ZERO), |event| (event.seq, event.hash))
    }

    fn fold(&mut self, event: Event) -> Result<(), LedgerError> {
        follows(&mut self.trust, &event).map_err(|why| LedgerError::corrupt("the chain of trust stages", why))?;
        if let (Body::TrustSet(set), Actor::Person(who)) = (&event.body, &event.actor)
            && set.stage > set.from
        {
            let key = set.signature.as_ref().and_then(|signature| key_of(&signature.armored).ok());
            self.raised.insert(set.scope.clone(), Raised { by: who.clone(), key, at: event.at });
        }
        self.events.push(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ssh_key::{HashAlg, LineEnding, PrivateKey, private::Ed25519Keypair};

    use super::*;
    use crate::{
        artifact::{canonical, from_yaml},
        engagement::Statement,
        facts::{AllowedSigners, IdentityMeans, Role, Scope, line_for},
        ledger::SqliteStore,
    };

    fn key() -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]))
    }

    fn ada(means: IdentityMeans) -> Actor {
        Actor::Person(Identity { name: "ada".into(), os_user: "ada".into(), means })
    }

    fn set(from: u8, stage: u8) -> TrustSet {
        TrustSet {
            scope: Scope { blueprint: Digest::ZERO, environment: "lab".into() },
            name: "dns".into(),
            from,
            stage,
            role: (stage > from).then_some(Role::Owner),
            reason: "it went well".into(),
            signature: None,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_000).unwrap()
    }

    async fn signed(book: &TrustBook, set: &TrustSet) -> Signed<TrustStatement> {
        let ledger = book.store.ledger().await.unwrap();
        let by = Identity { name: "ada".into(), os_user: "ada".into(), means: IdentityMeans::Signed };
        let statement = TrustStatement::of(set, ledger, &by, book.head(), Timestamp::from_second(2_000).unwrap());
        let armored = key().sign(statement.namespace(), HashAlg::Sha512, &canonical(&statement).unwrap()).unwrap();
        let signers = AllowedSigners::parse(&line_for("ada", key().public_key())).unwrap();
        Signed { statement, armored: armored.to_pem(LineEnding::LF).unwrap(), signers, at: now() }
    }

    /// What is stored beside it.
    fn kept(signed: &Signed<TrustStatement>) -> BTreeMap<Digest, Arc<serde_json::Value>> {
        let kept = [serde_json::to_value(&signed.statement).unwrap(), signed.signers.document()];
        kept.into_iter().map(|value| (crate::artifact::digest_of(&value).unwrap(), Arc::new(value))).collect()
    }

    fn sealed(book: &TrustBook, actor: Actor, set: TrustSet) -> chain::Sealed {
        let (seq, prev) = book.last();
        chain::seal(&EngagementId::trust(), seq + 1, now(), actor, Body::TrustSet(set), prev).unwrap()
    }

    /// Writes a trust event without asking whether it may be.
    async fn forge(book: &TrustBook, actor: Actor, set: TrustSet) {
        let (sealed, seq) = (sealed(book, actor, set), book.last().0);
        let link = Link { seq: seq + 1, bytes: sealed.bytes, hash: sealed.event.hash };
        let (engagement, events) = (EngagementId::trust(), vec![link]);
        let append = Append {
            engagement,
            expected_seq: seq,
            events,
            blobs: Vec::new(),
            destroyed: Vec::new(),
            summary: None,
            logs: Logs::Last,
            snapshot: None,
        };
        book.store.append(append).await.unwrap();
    }

    async fn book(dir: &tempfile::TempDir) -> TrustBook {
        let store = Arc::new(SqliteStore::open(dir.path().join("ledger.db")).await.unwrap());
        TrustBook::open(store).await.unwrap()
    }

    #[tokio::test]
    async fn trust_that_was_raised_with_a_key_that_is_not_named_any_more_counts_as_never_raised() {
        let dir = tempfile::tempdir().unwrap();
        let mut trust = book(&dir).await;
        let first = signed(&trust, &set(1, 3)).await;
        trust.set(now(), ada(IdentityMeans::Signed), set(1, 3), Some(first)).await.unwrap();
        trust.set(now(), ada(IdentityMeans::Asserted), set(3, 2), None).await.unwrap();
        let line = line_for("ada", key().public_key());
        let stage = |signers: &str| {
            let signers = AllowedSigners::parse(signers).unwrap();
            trust.trust_by(&signers, &people("owner")).stage(&set(1, 2).scope)
        };
        assert_eq!(stage(&line), 2);
        assert_eq!(
            stage(&line.replace(" namespaces", " valid-before=\"19700102Z\",namespaces")),
            2,
            "it signs no more"
        );
        assert_eq!(stage(&line.replace(" namespaces", " valid-after=\"19700102Z\",namespaces")), 1, "it did not then");
        assert_eq!(stage(&line.replace("ada", "eve")), 1);
        assert_eq!(stage(""), 1);
        // Nor does it where whoever raised it has not the role any more, or is somebody else by now.
        let (signers, scope) = (AllowedSigners::parse(&line).unwrap(), set(1, 2).scope);
        let lapsed = |people: &People| trust.lapsed(&scope, &signers, people);
        assert_eq!(lapsed(&people("owner")), None);
        assert!(matches!(lapsed(&people("requester")), Some(Lapsed::Role(by)) if by.name == "ada"));
        assert_eq!(trust.trust_by(&signers, &people("requester")).stage(&scope), 1);
        let others: People = from_yaml("people.yaml", "kind: people\npeople: [{name: bob, roles: [owner]}]").unwrap();
        assert!(matches!(lapsed(&others), Some(Lapsed::Role(_))));
    }

    fn people(role: &str) -> People {
        from_yaml("people.yaml", &format!("kind: people\npeople: [{{name: ada, roles: [{role}]}}]")).unwrap()
    }

    #[tokio::test]
    async fn trust_that_was_raised_without_a_good_signature_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut trust = book(&dir).await;
        let refused = trust.set(now(), ada(IdentityMeans::Asserted), set(1, 2), None).await.unwrap_err();
        assert!(matches!(refused, TrustError::Refused(TrustRefusal::NeedsSignature)), "{refused}");
        let first = signed(&trust, &set(1, 2)).await;
        trust.set(now(), ada(IdentityMeans::Signed), set(1, 2), Some(first.clone())).await.unwrap();
        assert_eq!(trust.verify(None).await.unwrap(), []);
        trust.set(now(), ada(IdentityMeans::Asserted), set(2, 1), None).await.unwrap();
        // The signature that raised it once does not raise it again, through the front door or behind it.
        let again = trust.set(now(), ada(IdentityMeans::Signed), set(1, 2), Some(first.clone())).await.unwrap_err();
        assert!(matches!(again, TrustError::Refused(TrustRefusal::Signature(_))), "{again}");
        let signature = Some(first.check().unwrap());
        forge(&trust, ada(IdentityMeans::Signed), TrustSet { signature, ..set(1, 2) }).await;
        let found = book(&dir).await.verify(None).await.unwrap();
        assert!(matches!(found.as_slice(), [Problem { seq: 3, .. }]), "{found:?}");
        // What decisions rest on finds it too, and goes on from nothing.
        let around = crate::ledger::Around::default();
        let refused = around.read(&book(&dir).await.store, None).await.err().unwrap();
        assert!(
            matches!(&refused, LedgerError::Corrupt { reason, .. } if reason.contains("event 3 is not believed")),
            "{refused}"
        );
        // Nor from an account that it does not say.
        let dir = tempfile::tempdir().unwrap();
        let trust = book(&dir).await;
        let signature = Some(signed(&trust, &set(1, 2)).await.check().unwrap());
        let eve = Identity { name: "ada".into(), os_user: "eve".into(), means: IdentityMeans::Signed };
        for (by, as_it_was) in [(Actor::Person(eve), false), (ada(IdentityMeans::Signed), true)] {
            let event = sealed(&trust, by, TrustSet { signature: signature.clone(), ..set(1, 2) }).event;
            let documents = kept(&signed(&trust, &set(1, 2)).await);
            let document = |digest: &Digest| documents.get(digest).cloned();
            let ledger = trust.store.ledger().await.unwrap();
            assert_eq!(unsigned_stages(&[event], &ledger, &document, None).is_empty(), as_it_was);
        }
        let dir = tempfile::tempdir().unwrap();
        forge(&book(&dir).await, ada(IdentityMeans::Asserted), set(1, 3)).await;
        let store = Arc::new(SqliteStore::open(dir.path().join("ledger.db")).await.unwrap());
        assert!(matches!(TrustBook::open(store).await.err(), Some(LedgerError::Corrupt { .. })));
    }
}
