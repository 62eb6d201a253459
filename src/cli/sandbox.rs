//! `countersign sandbox`: how a tool server is started. It gives up all rights to files but those it is told, is ended
//! with its starter, and becomes the server.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use crate::broker::{Bounds, become_server};

use super::code::{CliError, Code};

/// `sandbox`
#[derive(Debug, Args)]
pub struct Sandbox {
    /// The process that it ends with, which must be the one that starts it.
    #[arg(long, value_name = "PID")]
    with: u32,
    /// Without giving up any rights.
    #[arg(long, conflicts_with_all = ["read", "write"])]
    unconfined: bool,
    /// What may be read and started.
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// What may be changed as well.
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the command, in this process.
pub fn run(args: Sandbox) -> Result<Code, CliError> {
    let Sandbox { with, unconfined, read, write, command } = args;
    Err(CliError::failed(become_server(&Bounds { starter: with, unconfined, read, write }, &command)))
}
