//! A fleet that is simulated: two regions, replicas with clocks of their own, a database that goes away and forgets,
//! partitions, kills, operators, and validators that keep what they fetched for as long as they may.
//!
//! Every decision is made by `domain::signing_key` and `domain::issuance`, and every clock is a real `WatchedClock`;
//! the model adds what happens around them. Each invariant is a test that bears its name, over the same runs.
//! I10, the sealing of private bytes, needs real ones: `src/signing/sealing.rs` has it.
//!
//! `PROPTEST_CASES` makes them search for longer. `mutations.py` breaks the domain by one unit at a time and tells which of
//! them notices.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod database;
mod facts;
mod fleet;
mod lengths;
mod replica;
mod schedule;
mod trust;
mod upkeep;
mod validators;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use lengths::{HALF, Lengths, SECOND};
use schedule::{Mark, Op, Schedule};

/// As many runs as keep all invariants together below a minute on two cores without optimisation, and the same ones each
/// time: a change is judged by what it does, and not by luck. Whoever wants others says how many.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return default;
    }
    ProptestConfig { cases: 160, rng_seed: RngSeed::Fixed(1), ..default }
}

/// Each invariant is one watcher over runs of its own.
macro_rules! invariants {
    ($($(#[$about:meta])* $name:ident: $watch:ty),* $(,)?) => {
        $(proptest! {
            #![proptest_config(config())]
            $(#[$about])*
            #[test]
            fn $name(schedule in schedule::schedule()) {
                let mut watch = <$watch>::default();
                schedule.run(&mut watch).map_err(TestCaseError::fail)?;
            }
        })*
    };
}

invariants! {
    /// For every token, every validator that honours `max-age` has its key until the token has expired.
    i1_no_unknown_kid: trust::NoUnknownKid,
    /// No answer without a key can still be fresh when the key signs.
    i2_publish_before_sign: trust::PublishBeforeSign,
    /// No JWKS drops a key before its last token has expired.
    i3_retire_after: trust::RetireAfter,
    /// A region has one active key and a standby.
    i4_one_active_key_and_a_standby: upkeep::OneActive,
    /// No replica signs outside the key's window, or on what it should have known, or without the database for too long.
    i5_no_signature_out_of_time: upkeep::InTime,
    /// Never empty, few, never back, and lives only ever end earlier.
    i6_the_jwks_is_orderly: trust::Orderly,
    /// One key a generation, and every state heals by itself.
    i7_creators_do_not_collide: upkeep::NoCollision,
    /// No copy may be kept for longer than a lead after the reading.
    i8_max_age_is_bounded: trust::BoundedMaxAge,
    /// No token outlives the publication of its key, and the mint has never to refuse one.
    i9_no_token_outlives_its_key: upkeep::TokensEndFirst,
    /// Private bytes are destroyed when the key is gone, and not before.
    i11_private_bytes_end_with_the_key: upkeep::PrivateBytes,
    /// A key whose creation a failover lost never signed and never will.
    i12_a_lost_key_never_signs: upkeep::LostKeys,
    /// The union has every region's keys, whether that region lives or not.
    i13_the_union_is_whole: trust::WholeUnion,
    /// A wrong clock neither makes keys nor switches them nor signs, and is not ready.
    i14_a_wrong_clock_does_nothing: upkeep::WrongClock,
}

proptest! {
    #![proptest_config(config())]
    /// Whether a maker dies before its write, after it, or not at all: the region comes to the same end.
    #[test]
    fn i7_every_kill_point_leads_to_the_same_end(
        offset in -10..=10_i64, takes in 0..=100_i64, killed_after in 0..40_i64, back_after in 0..100_i64
    ) {
        let end_of = |kill: Op| {
            let ops = vec![
                Op::WaitFor(Mark::SignFrom, 0, SECOND),
                Op::WaitFor(Mark::Due, 0, -HALF),
                Op::DatabaseDown,
                Op::WaitFor(Mark::Due, 0, 8 * SECOND),
                Op::DatabaseUp,
                Op::SlowTend(0, takes),
                Op::Wait(killed_after * HALF),
                kill,
                Op::Wait(back_after * HALF),
                Op::Run(0),
                Op::Wait(300 * SECOND),
            ];
            let mut end = upkeep::End::default();
            let schedule = Schedule { lengths: Lengths::all()[0], seed: 0, offsets: [offset * HALF, 0], ops };
            schedule.run(&mut end).map(|()| end.0)
        };
        let alive = end_of(Op::Wait(0)).map_err(TestCaseError::fail)?;
        prop_assert!(alive.len() >= 4, "rotations happened: {:?}", alive);
        prop_assert_eq!(&alive, &end_of(Op::Kill(0, false)).map_err(TestCaseError::fail)?);
        prop_assert_eq!(&alive, &end_of(Op::Kill(0, true)).map_err(TestCaseError::fail)?);
    }
}
