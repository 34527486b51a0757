//! Examples of lives, plans and interventions. The invariants over whole fleets stand in `tests/model/`.

use chrono::Duration;

use super::*;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn policy() -> KeyPolicy {
    let (lead, window) = (Duration::hours(24), Duration::days(30));
    KeyPolicy::new(lead, window, Duration::seconds(300), Duration::seconds(43_260))
}

fn region(name: &str) -> Region {
    Region::parse(name).expect("lawful")
}

/// Applies steps as the database would.
fn apply(rows: &mut Vec<KeyRow>, steps: Vec<Step>, region: &Region) {
    for step in steps {
        match step {
            Step::Create { generation, life, .. } => {
                let kid = format!("{region}-{generation}");
                assert!(rows.iter().all(|row| row.key.kid != kid), "{kid} is made once");
                let (region, algorithm) = (region.clone(), SigningAlgorithm::Es256);
                let key = SigningKey { kid, region, generation, algorithm, life };
                rows.push(KeyRow { key, has_private: true });
            }
            Step::Amend { kid, from, to, .. } => {
                let row = rows.iter_mut().find(|row| row.key.kid == kid).expect("known");
                assert_eq!(row.key.life, from);
                row.key.life = to;
            }
            Step::Destroy { kid, .. } => {
                let row = rows.iter_mut().find(|row| row.key.kid == kid).expect("known");
                assert!(std::mem::take(&mut row.has_private));
            }
        }
    }
}

fn tick(rows: &mut Vec<KeyRow>, name: &str, now: DateTime<Utc>) {
    let region = region(name);
    let steps = plan(rows, &region, &policy(), now);
    apply(rows, steps, &region);
    assert!(plan(rows, &region, &policy(), now).is_empty(), "a second plan finds nothing to do");
}

fn first_start() -> Vec<KeyRow> {
    let mut rows = Vec::new();
    tick(&mut rows, "west", NOW);
    rows
}

fn states(rows: &[KeyRow], name: &str, now: DateTime<Utc>) -> Vec<KeyState> {
    let own = rows.iter().filter(|row| row.key.region.as_str() == name);
    own.map(|row| row.key.life.state(now)).collect()
}

fn active(rows: &[KeyRow], name: &str, now: DateTime<Utc>) -> Vec<String> {
    let own = rows.iter().filter(|row| row.key.region.as_str() == name);
    own.filter(|row| row.key.life.state(now) == KeyState::Active).map(|row| row.key.kid.clone()).collect()
}

/// Two clocks may be wrong by 5 s each, and what was decided before a reading may be read 35 s later.
fn whole_promise() -> Duration {
    policy().lead - Duration::seconds(45)
}

fn complete_for(rows: &[KeyRow], now: DateTime<Utc>) -> Duration {
    policy().complete_for(rows.iter().map(|row| &row.key), Duration::zero(), now)
}

#[test]
fn the_first_start_makes_an_active_key_and_a_standby() {
    assert_eq!(states(&first_start(), "west", NOW), [KeyState::Active, KeyState::Standby]);
}

#[test]
fn a_year_of_ticks_never_lacks_an_active_key_or_a_published_standby() {
    let (mut now, mut rows) = (NOW, Vec::new());
    for _ in 0..(366 * 24) {
        tick(&mut rows, "west", now);
        let states = states(&rows, "west", now);
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        assert_eq!((count(KeyState::Active), count(KeyState::Standby) >= 1), (1, true), "at {now}");
        for row in &rows {
            let life = row.key.life;
            assert!(row.key.generation == 1 || life.sign_from - life.published_at >= policy().lead);
            assert_eq!(row.has_private, life.state(now) != KeyState::Gone);
        }
        now += Duration::hours(1);
    }
}

#[test]
fn a_region_that_joins_others_waits_the_whole_lead() {
    let mut rows = first_start();
    let now = NOW + Duration::days(3);
    tick(&mut rows, "north", now);
    assert_eq!(states(&rows, "north", now), [KeyState::Standby, KeyState::Standby]);
    let signs = now + policy().lead;
    assert!(active(&rows, "north", signs - Duration::microseconds(1)).is_empty());
    assert_eq!(active(&rows, "north", signs), ["north-1"]);
    assert_eq!(complete_for(&rows, now), policy().jwks_max_age, "a failover may lose it yet");
    assert_eq!(complete_for(&rows, now + policy().least_lead()), whole_promise());
}

#[test]
fn regions_that_start_together_wait_the_shortest_lead() {
    let mut rows = first_start();
    let now = NOW + policy().founding - Duration::seconds(1);
    assert_eq!(complete_for(&rows, now), policy().jwks_max_age, "no more is promised meanwhile");
    tick(&mut rows, "north", now);
    assert_eq!(active(&rows, "north", now + policy().least_lead()), ["north-1"]);
    // Later than the founding itself, and with the youngest key older than a commit that a failover may lose.
    let founded = now + policy().least_lead();
    assert_eq!(complete_for(&rows, founded - Duration::seconds(1)), policy().jwks_max_age);
    assert_eq!(complete_for(&rows, founded), whole_promise());
    let aged = policy().complete_for(rows.iter().map(|row| &row.key), Duration::seconds(1), founded);
    assert_eq!(aged, policy().jwks_max_age, "what counts is when the rows were read");
    tick(&mut rows, "east", NOW + policy().founding);
    assert!(active(&rows, "east", NOW + policy().founding + policy().lead - Duration::seconds(1)).is_empty());
}

#[test]
fn after_a_long_absence_the_shortest_lead_is_used_where_that_is_what_is_promised() {
    let mut rows = first_start();
    let last = rows.last().expect("two keys").key.life;
    // Retired, still published: the promise is short, and so is the lead.
    let now = last.sign_until + Duration::hours(1);
    assert_eq!(complete_for(&rows, now), policy().jwks_max_age);
    let mut alone = rows.clone();
    tick(&mut alone, "west", now);
    assert_eq!(active(&alone, "west", now + policy().least_lead()), ["west-3"]);
    // Gone, beside a region that lives on: nobody expects it, so it joins like a new one.
    tick(&mut rows, "north", NOW);
    let mut now = NOW;
    while now < last.remove_at {
        tick(&mut rows, "north", now);
        now += Duration::days(1);
    }
    assert_eq!(complete_for(&rows, now), policy().jwks_max_age, "it may have come back just before");
    now = last.remove_at + policy().lead;
    tick(&mut rows, "north", now);
    assert_eq!(complete_for(&rows, now), whole_promise());
    tick(&mut rows, "west", now);
    assert!(active(&rows, "west", now + policy().lead - Duration::seconds(1)).is_empty());
    assert_eq!(active(&rows, "west", now + policy().lead), ["west-3"]);
}

#[test]
fn a_revoked_key_is_replaced_by_the_standby_at_once() {
    let mut rows = first_start();
    let (now, west) = (NOW + Duration::days(10), region("west"));
    let done = revoke(&rows, "west-1", Some(&west), &policy(), now).expect("revocable");
    let known_at = NOW + policy().least_lead();
    assert_eq!(done.aftermath, Aftermath::Successor { kid: "west-2".to_owned(), known_at });
    apply(&mut rows, done.steps, &west);
    assert_eq!(states(&rows, "west", now), [KeyState::Revoked, KeyState::Active, KeyState::Standby]);
    assert!(!rows[0].has_private, "what was revoked can't sign again");
    let (second, third) = (rows[1].key.life, rows[2].key.life);
    assert_eq!(third.sign_from, second.sign_until, "no gap and no overlap");
    assert!(plan(&rows, &west, &policy(), now).is_empty());
    let again = revoke(&rows, "west-1", Some(&west), &policy(), now);
    assert_eq!(again, Err(CantRevoke::Revoked("west-1".to_owned(), now)));
    assert_eq!(
        revoke(&rows, "west-9", Some(&west), &policy(), now),
        Err(CantRevoke::Unknown("west-9".to_owned()))
    );
}

#[test]
fn a_revoked_standby_leaves_no_gap_in_the_succession() {
    let west = region("west");
    // Early, with no key after it, and late, with one that is published for a lead already.
    for days in [1, 29] {
        let mut rows = first_start();
        tick(&mut rows, "west", NOW + Duration::days(days));
        let now = NOW + Duration::days(days) + Duration::hours(1);
        let done = revoke(&rows, "west-2", Some(&west), &policy(), now).expect("revocable");
        assert_eq!(done.aftermath, Aftermath::Unchanged);
        apply(&mut rows, done.steps, &west);
        let end = rows[0].key.life.sign_until;
        assert_eq!(active(&rows, "west", now), ["west-1"]);
        assert_eq!(active(&rows, "west", end), ["west-3"], "{days} days");
        let third = rows[2].key.life;
        assert!(third.sign_from >= third.published_at + policy().lead);
    }
}

#[test]
fn a_gap_that_a_revocation_left_is_closed() {
    let (west, mut rows) = (region("west"), first_start());
    // One replica has decided to make the next key; before that is written, another region revokes its predecessor.
    let now = NOW + Duration::days(29);
    let decided = plan(&rows, &west, &policy(), now);
    let done = revoke(&rows, "west-2", Some(&region("north")), &policy(), now).expect("revocable");
    apply(&mut rows, done.steps, &west);
    apply(&mut rows, decided, &west);
    let end = rows[0].key.life.sign_until;
    assert_eq!(active(&rows, "west", end), Vec::<String>::new());
    tick(&mut rows, "west", now + Duration::seconds(5));
    assert_eq!(active(&rows, "west", end), ["west-3"]);
    let third = rows[2].key.life;
    assert_eq!(third.sign_from, (third.published_at + policy().lead).max(end));
}

#[test]
fn a_revocation_holds_by_every_clock() {
    let (west, mut rows) = (region("west"), first_start());
    let (now, slow) = (NOW + Duration::days(10), NOW + Duration::days(10) - policy().clock_error * 2);
    let done = revoke(&rows, "west-1", Some(&west), &policy(), now).expect("revocable");
    apply(&mut rows, done.steps, &west);
    assert_eq!(states(&rows, "west", slow)[0], KeyState::Revoked);
    assert_eq!(active(&rows, "west", slow), ["west-2"]);
}

#[test]
fn a_lost_region_can_have_its_key_revoked_by_another() {
    let mut rows = first_start();
    tick(&mut rows, "north", NOW);
    let (now, west) = (NOW + Duration::days(5), region("west"));
    let done = revoke(&rows, "north-1", Some(&west), &policy(), now).expect("revocable");
    assert!(!done.steps.iter().any(|step| matches!(step, Step::Create { .. })), "north makes its own keys");
    apply(&mut rows, done.steps, &region("north"));
    assert_eq!(active(&rows, "north", now), ["north-2"]);
    tick(&mut rows, "north", now);
    assert_eq!(states(&rows, "north", now).last(), Some(&KeyState::Standby));
}

#[test]
fn without_a_standby_a_revocation_says_when_tokens_are_issued_again() {
    let (west, mut rows) = (region("west"), first_start());
    rows.pop();
    let now = NOW + Duration::days(5);
    let done = revoke(&rows, "west-1", Some(&west), &policy(), now).expect("revocable");
    assert_eq!(done.aftermath, Aftermath::Nobody { until: Some(now + policy().least_lead()) });
    let done = revoke(&rows, "west-1", None, &policy(), now).expect("revocable");
    assert_eq!(done.aftermath, Aftermath::Nobody { until: None }, "an import decides");
}

#[test]
fn a_rotation_before_the_time_waits_until_every_validator_has_the_standby() {
    let (west, mut rows) = (region("west"), first_start());
    let possible_from = NOW + policy().lead;
    let early = rotate(&rows, &west, Some(&west), &policy(), possible_from - Duration::seconds(1));
    assert_eq!(early, Err(CantRotate::TooSoon { published_at: NOW, possible_from }));
    let before = rows[0].key.life;
    let done = rotate(&rows, &west, Some(&west), &policy(), possible_from).expect("possible");
    apply(&mut rows, done.steps, &west);
    assert_eq!(
        states(&rows, "west", possible_from),
        [KeyState::Retiring, KeyState::Active, KeyState::Standby]
    );
    assert_eq!(
        rows[0].key.life.remove_at, before.remove_at,
        "published for as long as anybody may sign with it"
    );
    let again = rotate(&rows, &west, Some(&west), &policy(), possible_from + Duration::hours(1));
    assert!(matches!(again, Err(CantRotate::TooSoon { .. })));
    assert_eq!(rotate(&[], &west, Some(&west), &policy(), NOW), Err(CantRotate::NoActive));
}

#[test]
fn contradictory_lengths_are_refused() {
    let lead = KeyPolicy { lead: Duration::seconds(344), ..policy() };
    assert_eq!(lead.check(), Err(KeyPolicyError::Lead { given: 344, least: 345 }));
    assert_eq!(KeyPolicy { lead: Duration::seconds(345), ..policy() }.check(), Ok(()));
    assert!(KeyPolicy { window: Duration::hours(47), ..policy() }.check().is_err());
    assert!(KeyPolicy { jwks_max_age: Duration::seconds(59), ..policy() }.check().is_err());
}
