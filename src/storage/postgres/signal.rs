//! Waiting for a word from the server that something changed. The net below it is the caller's own look each second.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Every commit that changes the registry notifies it, with the number of its last change.
pub const CHANNEL: &str = "wsts_changes";

/// How long a follower waits without a word.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so much silence the connection is asked whether it is still there: a link that was cut says nothing either.
const SILENCE: Duration = Duration::from_secs(30);

/// The connection that listens, made at the first wait and again after a failure. One follower a store: of two that
/// wait at once, one hears of the change and the other looks after a second.
#[derive(Default)]
pub struct Signal(Mutex<Option<Listening>>);

struct Listening {
    listener: PgListener,
    /// When it was last known to hear.
    heard: Instant,
}

impl Signal {
    /// Returns when something changed, or after [`PATIENCE`]. Whatever fails, the follower looks a second later.
    pub async fn wait(&self, pool: &PgPool) {
        let deadline = Instant::now() + PATIENCE;
        if let Ok(Err(_)) = timeout_at(deadline, self.listen(pool)).await {
            sleep_until(deadline).await;
        }
    }

    /// May be given up at any time without losing a word: what was not read yet stays in the socket.
    async fn listen(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut place = self.0.lock().await;
        let Some(mut listening) = place.take() else {
            *place = Some(Listening::start(pool).await?);
            // Changes before this went unheard: look at once.
            return Ok(());
        };
        // Still taken out, so that a connection which does not answer here is not asked again.
        if listening.heard.elapsed() >= SILENCE {
            listening.prove().await?;
        }
        let listening = place.insert(listening);
        // `None`: the connection was lost and made again, and changes went unheard meanwhile.
        match listening.listener.try_recv().await {
            Ok(_) => {
                listening.heard = Instant::now();
                Ok(())
            }
            Err(error) => {
                *place = None;
                Err(error)
            }
        }
    }

    /// Gives the connection back, for the pool waits for it when it closes.
    pub async fn close(&self) {
        self.0.lock().await.take();
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // The driver gives the connection back in a task, and panics where there is no runtime for one: at the end of
        // a process, which takes the connection along anyway.
        if Handle::try_current().is_err() {
            std::mem::forget(self.0.get_mut().take());
        }
    }
}

impl Listening {
    async fn start(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self { listener, heard: Instant::now() })
    }

    async fn prove(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&mut self.listener).await?;
        self.heard = Instant::now();
        Ok(())
    }
}
