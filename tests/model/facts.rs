//! What is told to invariants, and what they may ask.

use std::rc::Rc;

use workspace_sts::domain::region::Region;
use workspace_sts::domain::signing_key::{KeyLife, KeyRow};

use super::fleet::Fleet;
use super::lengths::Millis;

/// What an invariant looks at; the first complaint ends the run.
pub type Check = Result<(), String>;

/// One invariant, told of everything that happens.
pub trait Watch {
    fn answered(&mut self, _: &Fleet) -> Check {
        Ok(())
    }
    fn signed(&mut self, _: &Fleet, _: &Signature) -> Check {
        Ok(())
    }
    fn committed(&mut self, _: &Fleet, _: &Commit) -> Check {
        Ok(())
    }
    fn failed_over(&mut self, _: &Fleet, _lost: &[usize]) -> Check {
        Ok(())
    }
    fn instant(&mut self, _: &Fleet) -> Check {
        Ok(())
    }
    /// Everything was healed, and some time has passed.
    fn settled(&mut self, _: &Fleet) -> Check {
        Ok(())
    }
}

/// A token was signed, or refused by the mint for its key's end.
#[derive(Debug)]
pub struct Signature {
    pub replica: usize,
    pub row: KeyRow,
    pub kid: usize,
    /// Seconds; none when the mint refused.
    pub exp: Option<i64>,
    /// When the replica had read the row.
    pub read_at: Millis,
}

/// A transaction was made.
#[derive(Debug)]
pub struct Commit {
    pub by: usize,
    pub before: Rc<Vec<KeyRow>>,
    pub is_intervention: bool,
    /// How far the clock was ahead by which it was decided.
    pub offset: Millis,
}

/// What is known of a key from outside.
#[derive(Debug, Clone)]
pub struct KeyFacts {
    pub region: Region,
    pub committed_at: Millis,
    /// As it was written first.
    pub life: KeyLife,
    /// A failover lost it.
    pub is_lost: bool,
    /// Even if a failover has forgotten that.
    pub was_revoked: bool,
    /// It signs sooner than after a whole lead because another was revoked.
    pub emergency: Option<Emergency>,
    pub last_signed: Option<Millis>,
    /// When the last of its tokens is refused as expired.
    pub tokens_end: Millis,
}

/// The one lawful cause of an unknown kid.
#[derive(Debug, Clone, Copy)]
pub struct Emergency {
    /// When the revocation was committed.
    pub at: Millis,
    /// From here on whoever asks a replica that reaches the database knows the successor.
    pub known_at: Millis,
}

/// What was done to a region's keys, and when.
#[derive(Debug, Default)]
pub struct RegionFacts {
    /// When a replica looked and brought everything in order at once.
    pub tended: Vec<Millis>,
    pub revoked: Vec<Millis>,
    pub rotated: Vec<Millis>,
}
