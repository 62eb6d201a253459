//! `countersign sandbox`: how a tool server is started. It gives up all rights to files but those it is told, and
//! becomes the server.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use crate::broker::run_confined;

use super::output::{CliError, Code};

/// `sandbox`
#[derive(Debug, Args)]
pub struct Sandbox {
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
pub fn run(args: &Sandbox) -> Result<Code, CliError> {
    Err(CliError::failed(run_confined(&args.read, &args.write, &args.command)))
}
