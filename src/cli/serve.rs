//! `wsts serve`: until SIGTERM or Ctrl-C drains it; a second signal ends it at once.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigArg, Outcome, runtime};
use crate::config::Config;
use crate::startup::{Parts, Running, start};
use crate::telemetry;

pub fn run(args: &ConfigArg) -> Outcome {
    let config = Config::load(&args.config)?;
    telemetry::start(&config.log)?;
    raise_open_files();
    runtime()?.block_on(async {
        let running = start(&config, Parts::default()).await?;
        serve(running).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// As many open files as the system grants, so that connections are bounded by memory and not by the 1024 that shells
/// and service managers set.
fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both pointers are to a live local; getrlimit fills it, setrlimit only reads it.
    #[allow(unsafe_code)]
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            // A refusal leaves the limit as it was.
            let _ = libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Serves a running service until it is told to stop.
pub async fn serve(running: Running) -> std::io::Result<()> {
    let stopper = running.stopper();
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!(
            "draining: not ready from now on; then no new requests are taken, and running ones may end"
        );
        let draining = tokio::spawn({
            let stopper = stopper.clone();
            async move { stopper.stop(true).await }
        });
        tokio::select! {
            _ = draining => {}
            _ = term.recv() => stopper.stop(false).await,
            _ = interrupt.recv() => stopper.stop(false).await,
        }
    });
    running.serve().await
}
