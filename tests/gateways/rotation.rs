//! Keys that change every few seconds under traffic: with a lawful lead no gateway refuses anybody.

use std::time::{Duration, Instant};

use workspace_sts::domain::signing_key::KeyPolicy;

use crate::gateway::{Gateway, Kind};
use crate::service::{Service, lawful};
use crate::{alone, figure, is_full, traffic};

/// Lets the plan change keys for a while, then an operator as often as it is lawful. How many requests each gateway refused.
fn rotate_under_traffic(policy: KeyPolicy, by_plan: Duration, by_hand: Duration) -> Vec<(Kind, usize)> {
    let service = Service::start(policy);
    let gateways = Gateway::all(&service);
    let (began, mut rotations) = (Instant::now(), 0);
    let seen = traffic::during(&service, &gateways, || {
        std::thread::sleep(by_plan);
        let since = Instant::now();
        while since.elapsed() < by_hand {
            rotations += usize::from(service.rotate());
            std::thread::sleep(Duration::from_millis(100));
        }
        // So that the last key is met, too.
        std::thread::sleep(Duration::from_secs(3));
    });
    let took = began.elapsed().as_secs_f64();
    figure("rotation", "seconds of traffic", format!("{took:.0}"), "");
    figure("rotation", "of the rotations by an operator", rotations, "");
    for (gateway, seen) in gateways.iter().zip(&seen) {
        let of = gateway.name();
        figure(of, "requests a second", format!("{:.0}", seen.requests as f64 / took), "");
        figure(of, "requests", seen.requests, "many");
        figure(of, "keys whose tokens were accepted", seen.accepted.len(), "6 and more");
        figure(of, "refused or broken", seen.refused.len(), "0");
        for complaint in seen.complaints(began) {
            eprintln!("    {complaint}");
        }
    }
    for seen in &seen {
        assert!(seen.requests > 500, "the traffic was none");
        assert!(seen.accepted.len() >= 6, "the keys did not change");
    }
    gateways.iter().zip(seen).map(|(gateway, seen)| (gateway.kind, seen.refused.len())).collect()
}

#[test]
fn rotation_with_a_lawful_lead_refuses_nobody() {
    let _alone = alone();
    let seconds = if is_full() { [120, 180] } else { [21, 22] }.map(Duration::from_secs);
    for (kind, refused) in rotate_under_traffic(lawful(), seconds[0], seconds[1]) {
        assert_eq!(refused, 0, "{kind:?} refused tokens");
    }
}

/// The test above can fail: a key that signs as soon as it is published is refused by those that keep the JWKS for a time
/// of their own. nginx is nearly spared, for with such a lead the service says that no copy may be kept.
#[test]
fn rotation_without_a_lead_is_seen_where_max_age_is_not_read() {
    let _alone = alone();
    let policy = KeyPolicy { lead: chrono::Duration::zero(), ..lawful() };
    let refused = rotate_under_traffic(policy, Duration::ZERO, Duration::from_secs(9));
    let of = |kind| refused.iter().find(|(found, _)| *found == kind).unwrap().1;
    for envoy in [Kind::EnvoyOnDemand, Kind::EnvoyAsync] {
        assert!(of(envoy) > of(Kind::Nginx), "{refused:?}");
    }
}
