//! The `countersign` program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    countersign::cli::main().await
}
