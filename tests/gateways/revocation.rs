//! A revoked key under traffic: its tokens are refused within the bound, and those of its successor at no time.

use std::time::{Duration, Instant};

use workspace_sts::domain::signing_key::{KeyPolicy, KeyState};

use crate::gateway::{Gateway, Kind};
use crate::service::{MAX_AGE_SECONDS, PROPAGATION_SECONDS, Service, lawful};
use crate::{alone, figure, traffic};

/// How long a gateway may take a token of a key after it was revoked.
fn bound(kind: Kind) -> Duration {
    let whole = PROPAGATION_SECONDS + MAX_AGE_SECONDS;
    // nginx counts the age of what it keeps in whole seconds: a copy may serve for up to one longer.
    Duration::from_secs(whole.unsigned_abs() + u64::from(kind == Kind::Nginx))
}

#[test]
fn a_revoked_key_is_refused_within_the_bound_and_its_successor_never() {
    let _alone = alone();
    let policy = KeyPolicy { window: chrono::Duration::seconds(120), ..lawful() };
    let service = Service::start(policy);
    let gateways = Gateway::all(&service);
    let now = || service.app.core.clock.now();
    let in_state = |state| {
        let keys = service.keys();
        let found = keys.iter().find(|key| key.life.state(now()) == state);
        found.unwrap_or_else(|| panic!("no key is {state:?}: {keys:?}")).clone()
    };
    let (old, new) = (in_state(KeyState::Active), in_state(KeyState::Standby));
    let mut revoked = Instant::now();
    let began = Instant::now();
    let seen = traffic::during(&service, &gateways, || {
        // Until every gateway must have the standby.
        let known = new.life.published_at + policy.lead - now();
        std::thread::sleep(known.to_std().unwrap_or_default() + Duration::from_secs(2));
        revoked = Instant::now();
        service.revoke(&old.kid);
        std::thread::sleep(bound(Kind::Nginx) + Duration::from_secs(3));
    });
    for (gateway, seen) in gateways.iter().zip(&seen) {
        let (of, bound) = (gateway.name(), bound(gateway.kind));
        let last = seen.accepted[&old.kid].last.saturating_duration_since(revoked);
        let first = seen.accepted[&new.kid].first.saturating_duration_since(revoked);
        figure(of, "requests", seen.requests, "many");
        figure(of, "last old token accepted, s", format!("{:.2}", last.as_secs_f64()), &format!("{bound:?}"));
        figure(of, "first new token accepted, s", format!("{:.2}", first.as_secs_f64()), "1");
        figure(of, "new tokens refused", seen.refused_of(&new.kid), "0");
        let early = seen.refused.iter().filter(|refusal| refusal.at < revoked).count();
        figure(of, "old tokens refused before the revocation", early, "0");
        figure(of, "old tokens refused afterwards", seen.refused_of(&old.kid) - early, "many");
        assert!(last < bound, "{of} took an old token {last:?} after the revocation");
        assert!(seen.refused_of(&old.kid) - early > 20, "old tokens were not shown to {of}");
        assert!(first <= Duration::from_secs(PROPAGATION_SECONDS.unsigned_abs()));
        let complaints = seen.complaints(began);
        assert_eq!(
            (seen.refused_of(&new.kid), early),
            (0, 0),
            "{of}: {complaints:?}\n{}",
            gateway.log_tail()
        );
    }
}
