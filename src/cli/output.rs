//! What commands print. A line that can't be written makes the command fail in the end, in one line of its own, and
//! never panic; a reader that went away is not told.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};
use std::sync::OnceLock;

use super::Failure;

/// Why standard output took a line no more; the first time counts.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Writes to standard output at once; the command goes on when that fails.
pub fn write(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Writes to standard error, where there is nobody left to tell that it failed.
pub fn complain(text: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// Fails when something that was printed is lost.
pub fn all_written() -> Result<(), Failure> {
    match LOST.get() {
        None => Ok(()),
        Some(error) => {
            Err(Failure(format!("standard output can't be written, so something of it is lost: {error}")))
        }
    }
}
