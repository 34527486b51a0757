//! The `wsts` program.

use std::process::ExitCode;

/// Audit records are made on one thread and freed on another (docs/decisions/0006).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    workspace_sts::cli::main()
}
