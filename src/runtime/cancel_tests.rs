//! Whoever cancels comes after whoever runs it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Driver, NewRequest, SolverSearch, Stopped, Workspace, cancel, edit, file_request, init_files};
use crate::{
    artifact::{ArtifactKind, RecordOutcome, Spec, from_yaml},
    broker::{Broker, Sources},
    facts::Identity,
    ledger::Journal,
};

const SPEC: &str = "\
kind: spec
title: Which VLANs are on sw01
requirements:
  - {id: R1, text: it is known}
boundary:
  discover:
    - {tool: vlan.list, where: {switch: {is: sw01}}}
acceptance:
  - id: A1
    covers: [R1]
    check: {tool: vlan.list, with: {switch: sw01}}
    expect: result.vlans.size() > 0
    invariant: true
";

/// A workspace with a request, and who asked for it.
async fn requested(home: &tempfile::TempDir) -> (Arc<Workspace>, Journal, Identity) {
    let root = home.path().canonicalize().unwrap().join("workspace");
    init_files(&root, "ada", "ada").unwrap();
    let workspace = Arc::new(Workspace::open(&root, std::env::current_exe().unwrap()).await.unwrap());
    let ada = workspace.identify(Some("ada"), "ada").unwrap();
    let new = NewRequest { spec: Some(from_yaml::<Spec>("spec", SPEC).unwrap()), ..NewRequest::default() };
    let journal = file_request(&workspace, new, ada.clone(), Timestamp::now()).await.unwrap();
    (workspace, journal, ada)
}

#[tokio::test]
async fn what_another_process_wrote_meanwhile_keeps_no_cancellation_back() {
    let home = tempfile::tempdir().unwrap();
    let (workspace, mut journal, ada) = requested(&home).await;
    // Another process opens it, and writes.
    let mut other = Journal::open(Arc::clone(workspace.store()), journal.id()).await.unwrap();
    edit(&workspace, &mut other, ada.clone(), ArtifactKind::Spec, "spec", SPEC).await.unwrap().unwrap();
    assert!(other.state().seq > journal.state().seq);
    cancel(&workspace, &mut journal, ada.clone(), "stop it".into()).await.unwrap();
    assert_eq!(journal.state().seq, other.state().seq + 1);
    assert_eq!(journal.state().cancelled.as_deref(), Some("stop it"));
    // What is over is not cancelled again.
    assert!(cancel(&workspace, &mut other, ada, "once more".into()).await.is_err());
}

#[tokio::test]
async fn whoever_runs_it_finds_it_cancelled_and_misses_nothing_of_what_it_had_begun_to_file() {
    let home = tempfile::tempdir().unwrap();
    let (workspace, mut journal, ada) = requested(&home).await;
    let broker = Broker::new(Arc::clone(&workspace) as Arc<dyn Sources>);
    let driver = Driver::new(&workspace, &broker).proving(SolverSearch { named: None, folders: Vec::new() });
    // The spec is filed, and is to be written with what comes next.
    while journal.state().artifact(ArtifactKind::Spec).is_none() {
        assert_eq!(driver.step(&mut journal, &mut |_| ()).await.unwrap(), None);
    }
    let mut other = Journal::open(Arc::clone(workspace.store()), journal.id()).await.unwrap();
    assert!(other.state().artifact(ArtifactKind::Spec).is_none());
    cancel(&workspace, &mut other, ada, "stop it".into()).await.unwrap();
    let stopped = driver.drive(&mut journal, &mut |_| ()).await.unwrap();
    let Stopped::Closed(closed) = stopped else { panic!("{stopped:?}") };
    assert_eq!(closed.outcome, RecordOutcome::Cancelled);
}
