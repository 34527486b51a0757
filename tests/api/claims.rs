//! The claims, byte for byte: the clock stands still and the randomness is seeded.

use crate::helpers::*;

#[test]
fn a_header_holds_alg_kid_and_typ_and_nothing_else() {
    let app = TestApp::start();
    let (header, _) = decoded(&app.token_as(&READER, "scorer").token());
    let jwks = app.get("/.well-known/jwks.json").json();
    let kids: Vec<&serde_json::Value> =
        jwks["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert!(kids.contains(&&header["kid"]), "{header} {kids:?}");
    let names: Vec<&String> = header.as_object().unwrap().keys().collect();
    assert_eq!(names, ["alg", "kid", "typ"]);
    assert_eq!((&header["alg"], &header["typ"]), (&"ES256".into(), &"at+jwt".into()));
}

#[test]
fn the_claims_of_a_webservice_token_are_exactly_these() {
    let app = TestApp::start();
    app.reseed();
    let (_, claims) = decoded(&app.token_as(&READER, "scorer").token());
    insta::assert_json_snapshot!(claims, @r#"
    {
      "aud": "https://localhost/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/demo-rg/providers/Microsoft.MachineLearningServices/workspaces/demo/onlineEndpoints/scorer",
      "azp": "c0000000-0000-0000-0000-000000000003",
      "client_id": "c0000000-0000-0000-0000-000000000003",
      "exp": 1772368200,
      "iat": 1772366400,
      "iss": "https://localhost",
      "jti": "r1Vw9aGBC3r3jK9LxwpmDw",
      "nbf": 1772366340,
      "oid": "0b000000-0000-0000-0000-000000000003",
      "refresh_by": 1772367329,
      "region": "local",
      "scope": "score",
      "sub": "0b000000-0000-0000-0000-000000000003",
      "tid": "11111111-1111-1111-1111-111111111111",
      "webservice": "scorer",
      "workspace": "demo"
    }
    "#);
}

#[test]
fn the_claims_of_a_management_token_are_exactly_these() {
    let app = TestApp::start();
    app.reseed();
    let (_, claims) = decoded(&app.token_for(&OWNER, ISSUER, &[]).token());
    insta::assert_json_snapshot!(claims, @r#"
    {
      "aud": "https://localhost",
      "azp": "c0000000-0000-0000-0000-000000000001",
      "client_id": "c0000000-0000-0000-0000-000000000001",
      "exp": 1772370000,
      "iat": 1772366400,
      "iss": "https://localhost",
      "jti": "r1Vw9aGBC3r3jK9LxwpmDw",
      "nbf": 1772366340,
      "oid": "0b000000-0000-0000-0000-000000000001",
      "refresh_by": 1772368258,
      "region": "local",
      "scope": "management",
      "sub": "0b000000-0000-0000-0000-000000000001",
      "tid": "11111111-1111-1111-1111-111111111111"
    }
    "#);
}

#[test]
fn refresh_by_is_spread_between_half_and_four_fifths_of_each_life() {
    let app = TestApp::start();
    let shares: Vec<f64> = (0..40)
        .map(|_| {
            let claims = decoded(&app.token_as(&READER, "scorer").token()).1;
            let second = |name: &str| claims[name].as_i64().unwrap();
            assert_eq!(second("nbf"), second("iat") - 60);
            assert_eq!(second("iat"), app.now());
            (second("refresh_by") - second("iat")) as f64 / (second("exp") - second("iat")) as f64
        })
        .collect();
    assert!(shares.iter().all(|share| (0.5..=0.8).contains(share)), "{shares:?}");
    // Spread, so that a fleet that starts together does not come back together.
    let (least, most) =
        shares.iter().fold((1.0_f64, 0.0_f64), |(least, most), share| (least.min(*share), most.max(*share)));
    assert!(most - least > 0.15, "{shares:?}");
}
