//! How long things last in the model, in milliseconds, and the policies that it runs under.

use chrono::{DateTime, Duration, Utc};
use workspace_sts::domain::signing_key::{CLOCK_TOLERANCE_SECONDS, KeyPolicy};

/// Milliseconds of the database's clock, which is the true one.
pub type Millis = i64;

pub const SECOND: Millis = 1000;
/// The smallest step: half of what the policies are counted in, so that nothing hides between two seconds.
pub const HALF: Millis = 500;
/// Clock error that is tolerated (C).
pub const C: Millis = CLOCK_TOLERANCE_SECONDS * SECOND;
/// How often a worker looks at the keys when nobody tells it to.
pub const POLL: Millis = 4 * SECOND;
/// Until a replica that reaches the database has what was written (R): a poll, and a step of the model.
pub const R: Millis = POLL + SECOND;
/// From choosing a key to the last byte of the answer (D).
pub const D: Millis = 10 * SECOND;

pub fn at(time: Millis) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time).expect("within what chrono knows")
}

pub const fn millis(duration: Duration) -> Millis {
    duration.num_milliseconds()
}

/// One set of lengths.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    pub policy: KeyPolicy,
    /// For how long a replica signs without the database (G).
    pub grace: Millis,
    /// The newest commits that a failover loses are at most this old.
    pub loss: Millis,
    /// Life of a token, in seconds (T).
    pub token: u32,
    /// Leeway of validators, in seconds (K).
    pub leeway: u32,
    /// Far from every boundary, steps are this long.
    pub stride: Millis,
}

impl Lengths {
    const fn new(lead: i64, window: i64, (grace, loss): (Millis, Millis), stride: Millis) -> Self {
        let (token, leeway) = (25, 5);
        let policy = KeyPolicy {
            lead: Duration::seconds(lead),
            window: Duration::seconds(window),
            jwks_max_age: Duration::seconds(10),
            longest_token: Duration::seconds((token + leeway) as i64),
            propagation: Duration::seconds(15),
            clock_error: Duration::seconds(CLOCK_TOLERANCE_SECONDS),
            founding: Duration::seconds(20),
        };
        Self { policy, grace: grace * SECOND, loss: loss * SECOND, token, leeway, stride }
    }

    /// Many rotations in a short time, the shortest lead that is lawful, and phases that stand to one another as those of
    /// the default configuration do (a day, thirty days). In each the lead outlasts the grace and what a failover loses.
    pub fn all() -> [Self; 3] {
        [
            Self::new(100, 240, (40, 20), SECOND),
            Self::new(35, 120, (5, 4), SECOND),
            Self::new(90, 2700, (30, 20), 4 * SECOND),
        ]
    }

    pub const fn lead(&self) -> Millis {
        millis(self.policy.lead)
    }

    pub const fn window(&self) -> Millis {
        millis(self.policy.window)
    }

    pub const fn max_age(&self) -> Millis {
        millis(self.policy.jwks_max_age)
    }

    /// The longest time from reading the clock to the commit of what was decided by it.
    pub const fn longest_write(&self) -> Millis {
        millis(self.policy.propagation)
    }

    /// From a token's `iat` to the last moment at which a validator takes it.
    pub const fn token_life(&self) -> Millis {
        (self.token + self.leeway) as Millis * SECOND
    }
}
