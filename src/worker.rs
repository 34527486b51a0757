//! What runs beside the requests: tending the signing keys, following what other processes changed, comparing clocks,
//! saying that this process lives.

use std::sync::Arc;
use std::time::Duration;

use crate::services::Core;
use crate::storage::Change;

/// How often changes of other processes are looked for.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Ticks of the above between two looks at the signing keys.
const TEND_EVERY_TICKS: u32 = 5;
/// How often the clock is compared: a wrong one must be known within five seconds.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// How often latencies are written: what a process that is killed does not tell any more.
const KEEP_LATENCIES_EVERY: Duration = Duration::from_secs(15);
/// Ticks of the above between two removals of old ones: ten minutes.
const FORGET_LATENCIES_EVERY_TICKS: u32 = 40;
/// How often this replica says that it lives: six times before it is taken for dead.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// How often room is made for the audit of the coming months.
const PREPARE_EVERY: Duration = Duration::from_secs(3600);

/// How often client assertions and revoked tokens that have expired are forgotten.
const FORGET_EXPIRED_EVERY: Duration = Duration::from_secs(60);

/// Runs until it is aborted.
pub async fn run(core: Arc<Core>) {
    // Side by side: a database that hangs in the one must not keep the other from its time.
    tokio::join!(
        follow(&core),
        ship(&core),
        compare_clock(&core),
        prepare_audit(&core),
        keep_latencies(&core),
        announce(&core),
        forget_expired(&core)
    );
}

async fn prepare_audit(core: &Core) {
    loop {
        if let Err(error) = core.store.prepare_audit().await {
            tracing::warn!(%error, "no room was made for the audit of the coming months; it goes on where it is");
        }
        tokio::time::sleep(PREPARE_EVERY).await;
    }
}

/// Writes down how long issuing took, so that `GET /regions` tells it after a restart, and of all processes.
async fn keep_latencies(core: &Core) {
    let mut tick: u32 = 0;
    loop {
        tokio::time::sleep(KEEP_LATENCIES_EVERY).await;
        tick = tick.wrapping_add(1);
        if let Err(error) = core.keep_latencies().await {
            tracing::debug!(error = %error, "latencies could not be written; they are kept and written later");
        }
        if tick.is_multiple_of(FORGET_LATENCIES_EVERY_TICKS)
            && let Err(error) = core.forget_latencies().await
        {
            tracing::debug!(error = %error, "old latencies could not be removed");
        }
    }
}

async fn forget_expired(core: &Core) {
    loop {
        tokio::time::sleep(FORGET_EXPIRED_EVERY).await;
        if let Err(error) = core.forget_assertions().await {
            tracing::debug!(%error, "expired client assertions could not be removed");
        }
        if let Err(error) = core.forget_revoked_tokens().await {
            tracing::debug!(%error, "expired tokens could not be removed from the deny-list");
        }
    }
}

async fn announce(core: &Core) {
    loop {
        tokio::time::sleep(ANNOUNCE_EVERY).await;
        core.announce().await;
    }
}

/// Moves what the spool holds into the database.
async fn ship(core: &Core) {
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        core.recorder.ship().await;
    }
}

async fn compare_clock(core: &Core) {
    loop {
        tokio::time::sleep(COMPARE_EVERY).await;
        if let Err(error) = core.compare_clock().await {
            // Whoever follows says that the database is away.
            tracing::debug!(error = %error, "the clock could not be compared; it is still watched");
        }
    }
}

async fn follow(core: &Core) {
    let mut tick: u32 = 0;
    loop {
        // An error has slept already.
        let _ = core.store.change_signal().await;
        tick = tick.wrapping_add(1);
        let keys_changed = match core.directory.follow().await {
            Ok(changes) => changes.contains(&Change::SigningKeys),
            Err(error) => {
                tracing::warn!(error = %error, "changes could not be followed");
                false
            }
        };
        // States of keys are a function of time, so they are looked at even when nothing was written.
        if (keys_changed || tick.is_multiple_of(TEND_EVERY_TICKS))
            && let Err(error) = core.watch_signing_keys().await
        {
            tracing::error!(error = %error, "signing keys could not be tended; the loaded ones go on");
        }
    }
}
