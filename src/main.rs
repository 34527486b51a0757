//! The `wsts` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    workspace_sts::cli::main()
}
