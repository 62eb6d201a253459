//! Whoever cancels comes after whoever runs it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{NewRequest, Workspace, cancel, edit, file_request, init_files};
use crate::{
    artifact::{ArtifactKind, Spec, from_yaml},
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

#[tokio::test]
async fn what_another_process_wrote_meanwhile_keeps_no_cancellation_back() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap().join("workspace");
    init_files(&root, "ada", "ada").unwrap();
    let workspace = Workspace::open(&root, std::env::current_exe().unwrap()).await.unwrap();
    let ada = || workspace.identify(Some("ada"), "ada").unwrap();
    let new = NewRequest { spec: Some(from_yaml::<Spec>("spec", SPEC).unwrap()), ..NewRequest::default() };
    let mut journal = file_request(&workspace, new, ada(), Timestamp::now()).await.unwrap();
    // Another process opens it, and writes.
    let mut other = Journal::open(Arc::clone(workspace.store()), journal.id()).await.unwrap();
    edit(&workspace, &mut other, ada(), ArtifactKind::Spec, "spec", SPEC).await.unwrap().unwrap();
    assert!(other.state().seq > journal.state().seq);
    cancel(&workspace, &mut journal, ada(), "stop it".into()).await.unwrap();
    assert_eq!(journal.state().seq, other.state().seq + 1);
    assert_eq!(journal.state().cancelled.as_deref(), Some("stop it"));
    // What is over is not cancelled again.
    assert!(cancel(&workspace, &mut other, ada(), "once more".into()).await.is_err());
}
