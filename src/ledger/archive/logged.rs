//! What a bundle has of the log over all engagements: the ledger's public keys, and for each of its chains the proof that
//! one of the events is in the log of a signed checkpoint. Pure.

use std::collections::BTreeMap;

use crate::{
    artifact::{EngagementId, LedgerId, canonical},
    engagement::{Actor, Body, Event},
};

use super::{
    super::{
        bundle::EVENTS,
        checkpoint::Checkpoint,
        keys::{KeyHistory, PUBLIC_KEYS, Unsigned, origin},
        log::{Freshness, InclusionProof, is_logged},
        note::Note,
        verify::{Problem, Verification, WITNESSED},
    },
    Contents, Told,
    leaves::LEAVES,
    trust_events,
};

/// The folder that it lies in.
pub(super) const LOG: &str = "log";
/// The proof about the engagement.
pub(in crate::ledger) const PROOF: &str = "proof.json";
/// The proof about the chain of trust stages.
pub(in crate::ledger) const TRUST_PROOF: &str = "trust.json";

/// The first event of which the log has a leaf of its own, which is written and signed with it.
fn first_logged(events: &[Event]) -> Option<&Event> {
    events.iter().find(|event| is_logged(&event.body))
}

/// Where a file is not here without which nothing shows that the log has an event: whoever took it out may have written
/// the events anew.
fn unproven(events: &[Event], file: &str) -> Option<Problem> {
    let Event { seq, body, .. } = first_logged(events)?;
    let (what, file) = (body.kind(), path(file));
    let what =
        format!("the log has a leaf of this event ({what}), and {file}, which every bundle with one has, is not here");
    Some(Problem::at(*seq, what).in_file(EVENTS))
}

/// What is said of an event that the log has a leaf of, where the proof goes up to an earlier one.
fn uncovered(later: &Event, seq: u64, chain: &Chain<'_>) -> Problem {
    let what = format!(
        "the log has a leaf of this event ({}), and {} goes up to event {seq}: nothing shows that this and what follows was not \
         written anew",
        later.body.kind(),
        path(chain.proof)
    );
    Problem::at(later.seq, what).in_file(&chain.file)
}

/// What is said of what came after a place and that the log has no leaf of: what people did, what was called and what came
/// of it, and what was filed.
fn under_no_checkpoint(events: &[Event], after: u64, file: &str) -> Option<Problem> {
    let later: Vec<&Event> = events.iter().filter(|event| event.seq > after && !is_logged(&event.body)).collect();
    let people = later.iter().filter(|event| matches!(event.actor, Actor::Person(_)));
    let people = people.map(|Event { seq, body, actor, .. }| format!("event {seq} ({}) by {actor}", body.kind()));
    let of = |one: fn(&Body) -> bool| later.iter().filter(|event| one(&event.body)).count();
    let counted = [
        (of(|body| matches!(body, Body::Allowed(_))), "call", "calls"),
        (of(|body| matches!(body, Body::Finished(_))), "result", "results"),
        (of(|body| matches!(body, Body::Settled(_))), "end of a step", "ends of steps"),
        (of(|body| matches!(body, Body::Filed(_))), "artifact", "artifacts"),
    ];
    let counted = counted.into_iter().filter(|(n, ..)| *n > 0);
    let counted = counted.map(|(n, one, more)| format!("{n} {}", if n == 1 { one } else { more }));
    let told: Vec<String> = people.chain(counted).collect();
    (!told.is_empty()).then(|| {
        let what = format!(
            "{} came after what the log has of it: nothing shows that it was not put in or written anew",
            told.join(", ")
        );
        Problem::with(file, what)
    })
}

/// Whether a file of the folder is one that a bundle has.
pub(super) fn is_of_the_log(name: &str) -> bool {
    [PUBLIC_KEYS, PROOF, TRUST_PROOF, LEAVES].contains(&name)
}

/// A chain of the bundle and what is said of it.
struct Chain<'a> {
    id: EngagementId,
    called: &'static str,
    events: &'a [Event],
    /// The file of its events.
    file: String,
    /// The file of its proof, in the folder.
    proof: &'static str,
}

impl Contents {
    /// Whether it has a proof that the log has something of the engagement.
    pub fn proves_the_engagement(&self) -> bool {
        self.log.contains_key(PROOF)
    }

    /// The place of the first event of the engagement that the log has a leaf of, and that no proof here covers; and whether
    /// there is a proof of an earlier one.
    pub fn unproven(&self) -> Option<(u64, bool)> {
        let proven = self.under(PROOF).map(|(proof, _)| proof.leaf.seq);
        let later = |event: &&Event| is_logged(&event.body) && proven.is_none_or(|proven| event.seq > proven);
        self.told().engagement.iter().find(later).map(|event| (event.seq, proven.is_some()))
    }

    /// What is wrong with the keys and the proofs, or does not go with what was published.
    pub(super) fn hold_to_the_log(
        &self,
        told: &Told,
        ledger: Option<&LedgerId>,
        published: &[(Checkpoint, Note)],
        verification: &mut Verification,
    ) -> Vec<Problem> {
        let keys = match self.keys(ledger) {
            Ok(Some(keys)) => keys,
            Ok(None) => {
                if !published.is_empty() {
                    verification.unwitnessed_because("there is nothing of the log here that could be held against it");
                }
                let found = unproven(&told.engagement, PUBLIC_KEYS);
                if found.is_none() {
                    verification.notes.push("log: the ledger's keys are not here, and so nothing of its log is".into());
                }
                return found.into_iter().collect();
            }
            Err(problem) => return vec![problem],
        };
        let name = keys.keys().last().map(|last| last.key.name().to_owned()).unwrap_or_default();
        let published: Vec<_> = if published.is_empty() {
            Vec::new()
        } else {
            let own: Vec<_> = published.iter().filter(|(checkpoint, _)| checkpoint.origin == name).collect();
            if own.is_empty() {
                let what = format!("none of the published checkpoints is of this ledger, whose log is {name}");
                return vec![Problem::with(path(PUBLIC_KEYS), what)];
            }
            own
        };
        let mut found = self.seen_otherwise(&keys, &published);
        found.extend(forked(&keys, &published));
        found.extend(self.signed_by_a_replaced_key(&keys, &published));
        let engagement = told.engagement.first().map(|first| first.engagement.clone());
        let chains = [
            engagement.map(|id| Chain {
                id,
                called: "the engagement",
                events: &told.engagement,
                file: EVENTS.to_owned(),
                proof: PROOF,
            }),
            Some(Chain {
                id: EngagementId::trust(),
                called: "the chain of trust stages",
                events: &told.trust,
                file: trust_events(),
                proof: TRUST_PROOF,
            }),
        ];
        for chain in chains.into_iter().flatten() {
            match self.log.get(chain.proof) {
                None if chain.events.is_empty() => {}
                None => {
                    let missing = unproven(chain.events, PROOF).filter(|_| chain.proof == PROOF);
                    if missing.is_none() {
                        verification.notes.push(format!("log: nothing of {} is under a checkpoint here", chain.called));
                        verification.uncovered.extend(under_no_checkpoint(chain.events, 1, &chain.file));
                    }
                    if chain.proof == PROOF && !published.is_empty() {
                        verification.unwitnessed_because("nothing of it is under a checkpoint here");
                    }
                    found.extend(missing);
                }
                Some(bytes) => match self.proven(&chain, bytes, &keys, &published, verification) {
                    Ok(note) => verification.notes.push(note),
                    Err(problem) => found.push(problem),
                },
            }
        }
        found.extend(self.hold_to_all_leaves(told, &keys, signed_by(&keys, &published)));
        // Before anything was answered nothing rests on it yet.
        let answered = first_logged(&told.engagement).is_some();
        if answered && self.engagement.rests_on_trust() && !self.has_all_of_trust(told) {
            let what = "something was asked or ran above trust stage 1, and nothing here shows that no stage was taken back \
                        since: a bundle has every leaf of the log then, under the checkpoint of both its proofs";
            verification.uncovered.push(Problem::with(path(TRUST_PROOF), what));
        }
        if !published.is_empty() && !self.trust_is_covered(told, &published) {
            verification.freshness = Freshness::NotWitnessed;
            verification.notes.retain(|note| !note.starts_with(WITNESSED));
            verification.unwitnessed_because(
                "something was asked or ran above trust stage 1, and nothing here shows that no stage was taken back since; \
                 `export --bundle --with-log` does, under a published checkpoint that covers the chain of trust stages",
            );
        }
        found
    }

    /// Whether what was published covers the whole chain of trust stages, or nothing rests on it: else a stage that was taken
    /// back may have been cut off, or left out of what is here.
    fn trust_is_covered(&self, told: &Told, published: &[&(Checkpoint, Note)]) -> bool {
        let covers = |size: u64| published.iter().any(|(theirs, _)| theirs.size == size);
        !self.engagement.rests_on_trust()
            || self.has_all_of_trust(told) && self.under(TRUST_PROOF).is_some_and(|(_, under)| covers(under.size))
    }

    /// Whether the whole chain of trust stages is in the log that is here, every leaf of it.
    fn has_all_of_trust(&self, told: &Told) -> bool {
        let (Some((proof, under)), Some((_, own))) = (self.under(TRUST_PROOF), self.under(PROOF)) else { return false };
        let whole = told.trust.last().is_some_and(|last| last.seq <= proof.leaf.seq);
        self.has_all_leaves() && whole && under.size == own.size
    }

    /// A proof, and the checkpoint that it is under.
    fn under(&self, proof: &str) -> Option<(InclusionProof, Checkpoint)> {
        let proof: InclusionProof = serde_json::from_slice(self.log.get(proof)?).ok()?;
        let note: Note = proof.checkpoint.parse().ok()?;
        let under = Checkpoint::of(&note).ok()?;
        Some((proof, under))
    }

    /// The keys, where they are here; else what is wrong with them.
    fn keys(&self, ledger: Option<&LedgerId>) -> Result<Option<KeyHistory>, Problem> {
        let wrong = |what: String| Problem::with(path(PUBLIC_KEYS), what);
        let Some(bytes) = self.log.get(PUBLIC_KEYS) else {
            let alone = self.log.keys().next();
            return alone.map_or(Ok(None), |proof| Err(wrong(format!("is missing, and {} is here", path(proof)))));
        };
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        let keys = KeyHistory::parse(text).map_err(|error| wrong(error.to_string()))?;
        let notes = Note::several(text).map_err(|error| wrong(error.to_string()))?;
        let again: Vec<String> = notes.iter().map(ToString::to_string).collect();
        if again.join("\n") != text {
            return Err(wrong("is not written as this program writes it".into()));
        }
        let first = keys.keys().first().map(|first| first.key.name());
        match ledger.map(origin).filter(|own| first != Some(own)) {
            Some(own) => Err(wrong(format!("has the keys of {}, and the rest is of {own}", first.unwrap_or_default()))),
            None => Ok(Some(keys)),
        }
    }

    /// Holds the proof about a chain against its events, and its checkpoint against what was published; what to say of it.
    fn proven(
        &self,
        chain: &Chain<'_>,
        bytes: &[u8],
        keys: &KeyHistory,
        published: &[&(Checkpoint, Note)],
        verification: &mut Verification,
    ) -> Result<String, Problem> {
        let wrong = |what: String| Problem::with(path(chain.proof), what);
        let proof: InclusionProof = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let checkpoint = proof.check(keys).map_err(|why| wrong(format!("does not hold: {why}")))?;
        let note: Result<Note, _> = proof.checkpoint.parse();
        let written = note.is_ok_and(|note| note.to_string() == proof.checkpoint);
        if !written || canonical(&proof).ok().as_deref() != Some(bytes) {
            return Err(wrong("is not written as this program writes it".into()));
        }
        let InclusionProof { leaf, index, .. } = &proof;
        if leaf.engagement != chain.id {
            return Err(wrong(format!("is about {}, and this is {}", leaf.engagement, chain.id)));
        }
        let at = |what: String| Problem::at(leaf.seq, what).in_file(&chain.file);
        match chain.events.iter().find(|event| event.seq == leaf.seq) {
            None => return Err(at(format!("leaf {index} of the log is of this event, which is missing"))),
            Some(event) if event.hash != leaf.head => {
                return Err(at(format!("leaf {index} of the log says that this event hashes to {}", leaf.head)));
            }
            Some(_) => {}
        }
        if chain.proof == PROOF {
            for (seq, seen) in self.engagement.logs_seen().into_iter().filter(|(seq, _)| *seq <= leaf.seq) {
                if seen.size > *index {
                    let what = format!(
                        "whoever signed this saw {} leaves in the log, and event {}, which is no earlier, is leaf {index}",
                        seen.size, leaf.seq
                    );
                    return Err(Problem::at(seq, what).in_file(&chain.file));
                }
            }
        }
        // What else has a leaf of its own is under no checkpoint here: whoever hands it over may have written it anew.
        let later = chain.events.iter().find(|event| event.seq > leaf.seq && is_logged(&event.body));
        // An engagement that rests on no stage is none the worse for one that was set after the checkpoint, or made up.
        let rests = chain.proof == PROOF || self.engagement.rests_on_trust();
        match later.map(|later| uncovered(later, leaf.seq, chain)) {
            Some(later) if rests => verification.uncovered.push(later),
            later => verification.notes.extend(later.map(|later| format!("UNDER NO CHECKPOINT: {later}"))),
        }
        if later.is_none() {
            verification.uncovered.extend(under_no_checkpoint(chain.events, leaf.seq, &chain.file));
        }
        self.witness(chain, &proof, &checkpoint, (keys, later), published, verification)?;
        let (size, last) = (checkpoint.size, chain.events.last().map_or(leaf.seq, |last| last.seq));
        let tail = match last.saturating_sub(leaf.seq) {
            0 => "that is the last one here".to_owned(),
            after => format!("{after} after it, up to event {last}, are under no checkpoint here"),
        };
        let signer = proof.checkpoint.parse().ok().and_then(|note| Some(keys.signer_of(&note, size).ok()?.1.key.id()));
        let signer = signer.unwrap_or_default();
        Ok(format!(
            "log: event {} of {} is leaf {index} (from 0) of {size}, signed by the key {signer} that is here; {tail}",
            leaf.seq, chain.called
        ))
    }

    /// Holds a checkpoint against those that were published of the same size. Of others nothing follows.
    fn witness(
        &self,
        chain: &Chain<'_>,
        proof: &InclusionProof,
        checkpoint: &Checkpoint,
        (keys, later): (&KeyHistory, Option<&Event>),
        published: &[&(Checkpoint, Note)],
        verification: &mut Verification,
    ) -> Result<(), Problem> {
        let (size, wrong) = (checkpoint.size, |what: String| Problem::with(path(chain.proof), what));
        let mut same = false;
        // Whoever published did so with a key that the ledger had by then; a later one may be unknown here.
        let unknown = |theirs: &Checkpoint, note: &Note| {
            theirs.origin == checkpoint.origin && keys.signer_of(note, theirs.size) == Err(Unsigned::Unknown)
        };
        let strange =
            published.iter().filter(|(theirs, note)| unknown(theirs, note)).map(|(theirs, _)| theirs.size).min();
        if let Some(strange) = strange.filter(|strange| *strange <= size) {
            return Err(wrong(format!(
                "the published checkpoint of {strange} leaves is not signed by a key here, so these are not the ledger's keys"
            )));
        }
        if let Some(strange) = strange.filter(|_| chain.proof == PROOF) {
            verification.notes.push(format!(
                "the published checkpoint of {strange} leaves is signed by a key that is not here: the ledger has had another \
                 one since, or these are not its keys"
            ));
        }
        for (theirs, _) in published.iter().filter(|(theirs, _)| theirs.size == size) {
            if theirs.root != checkpoint.root {
                return Err(wrong(format!(
                    "the published checkpoint of {size} leaves is over others than the one here: one was changed, left out \
                     or put in (a fork)"
                )));
            }
            same = true;
        }
        if chain.proof != PROOF || published.is_empty() {
            return Ok(());
        }
        let last = signed_by(keys, published).map(|theirs| theirs.size).max();
        if let Some(last) = last.filter(|last| *last > size) {
            verification.notes.push(format!(
                "a checkpoint of {last} leaves was published too, and this goes up to {size}: what was done after that is not \
                 here; `export --bundle --against` proves it under the last one"
            ));
        }
        let seq = proof.leaf.seq;
        if let (true, Some(later)) = (same, later) {
            verification.unwitnessed_because(&format!(
                "the published checkpoint of {size} leaves covers it up to event {seq}, and event {} ({}) came later and is \
                 in the log of a later one; bring one along that was published since",
                later.seq,
                later.body.kind()
            ));
        } else if same {
            verification.freshness = Freshness::Witnessed { size, seq: Some(seq) };
            verification.witnessed_because(&match self.has_all_leaves() {
                true => format!(
                    "up to event {seq}, by a published checkpoint of {size} leaves; the whole log is here, and by then had \
                     nothing else of it"
                ),
                false => format!(
                    "up to event {seq}, by a published checkpoint of {size} leaves; that by then none came after it and the \
                     log has no other history of it, only the whole log shows: in the workspace, or with `export --bundle \
                     --with-log`"
                ),
            });
        } else {
            verification.unwitnessed_because(&format!(
                "the proof here is under a checkpoint of {size} leaves, and none such was published; \
                 `export --bundle --against` proves it under one that was"
            ));
        }
        Ok(())
    }

    /// Where an approver saw another log than was published.
    fn seen_otherwise(&self, keys: &KeyHistory, published: &[&(Checkpoint, Note)]) -> Vec<Problem> {
        let mut found = Vec::new();
        for (seq, seen) in self.engagement.logs_seen() {
            let other = |(theirs, note): &&&(Checkpoint, Note)| {
                theirs.size == seen.size && theirs.root != seen.root && keys.signer_of(note, theirs.size).is_ok()
            };
            if published.iter().any(|one| other(&one)) {
                let what = format!("whoever signed this saw another log of {} leaves than was published", seen.size);
                found.push(Problem::at(seq, what).in_file(EVENTS));
            }
        }
        found
    }

    /// What a key signed after another had taken over from it, here or among what was published.
    fn signed_by_a_replaced_key(&self, keys: &KeyHistory, published: &[&(Checkpoint, Note)]) -> Vec<Problem> {
        let wrong = |what: String| Problem::with(path(PUBLIC_KEYS), what);
        let (mut signed, mut found) = (Vec::new(), Vec::new());
        for (Checkpoint { size, .. }, note) in published {
            match keys.signer_of(note, *size) {
                Ok((place, _)) => signed.push((*size, place)),
                Err(Unsigned::Unknown) => {}
                Err(why) => found.push(wrong(format!("the published checkpoint of {size} leaves {why}"))),
            }
        }
        // What is wrong with each of these by itself is found where it is held against its chain.
        let proofs = [PROOF, TRUST_PROOF].into_iter().filter_map(|name| self.log.get(name));
        for proof in proofs.filter_map(|bytes| serde_json::from_slice::<InclusionProof>(bytes).ok()) {
            let note: Option<Note> = proof.checkpoint.parse().ok();
            let read = note.and_then(|note| Some((Checkpoint::of(&note).ok()?.size, note)));
            signed.extend(read.and_then(|(size, note)| Some((size, keys.signer_of(&note, size).ok()?.0))));
        }
        found.extend(keys.out_of_order(&signed).map(|(_, what)| wrong(what)));
        found
    }

    /// The files of the log, by their paths.
    pub(super) fn log_files(&self) -> BTreeMap<String, Vec<u8>> {
        self.log.iter().map(|(name, bytes)| (path(name), bytes.clone())).collect()
    }
}

/// What was published and is signed by a key of the ledger that is here.
fn signed_by<'a>(
    keys: &'a KeyHistory,
    published: &'a [&'a (Checkpoint, Note)],
) -> impl Iterator<Item = &'a Checkpoint> {
    published.iter().filter(|(theirs, note)| keys.signer_of(note, theirs.size).is_ok()).map(|(theirs, _)| theirs)
}

/// Where two different logs of one size were published.
fn forked(keys: &KeyHistory, published: &[&(Checkpoint, Note)]) -> Option<Problem> {
    let mut roots = BTreeMap::new();
    let differs = |theirs: &&Checkpoint| *roots.entry(theirs.size).or_insert(theirs.root) != theirs.root;
    let size = signed_by(keys, published).find(differs)?.size;
    let what = format!("two checkpoints of {size} leaves were published over different ones (a fork)");
    Some(Problem::with(path(PUBLIC_KEYS), what))
}

fn path(name: &str) -> String {
    format!("{LOG}/{name}")
}
