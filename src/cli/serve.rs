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
    runtime()?.block_on(async {
        let running = start(&config, Parts::default()).await?;
        serve(running).await?;
        Ok(ExitCode::SUCCESS)
    })
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
