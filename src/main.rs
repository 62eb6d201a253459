//! The `countersign` program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

/// Decisions, policies and documents are many small values; this allocator is quicker with them than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    countersign::cli::main()
}
