//! `wsts keys`: what an operator sees and does.

use std::process::Command;

use crate::helpers::*;

fn kid_of(place: &Place, state: &str) -> String {
    let listed = place.over_demo(&["keys", "list"]).expect(0).out;
    let row = listed
        .lines()
        .find(|line| line.contains("ES256") && line.contains(&format!(" {state} ")))
        .unwrap_or_else(|| panic!("{listed}"));
    let mut cells = row.split('│').map(str::trim);
    cells.find(|cell| cell.len() == 43).unwrap_or_else(|| panic!("{listed}")).to_owned()
}

#[test]
fn the_list_shows_a_time_line() {
    let place = Place::with_demo();
    let out = place.over_demo(&["keys", "list"]).expect(0).out;
    for part in
        ["active", "standby", "now", "local 1 ", "local 2 ", "█", "░", "retires in 29 d", "signs in 29 d"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn revoke_rotate_and_preview_tell_what_comes_of_it() {
    let place = Place::with_demo();
    let (active, standby) = (kid_of(&place, "active"), kid_of(&place, "standby"));
    let refused = place.over_demo(&["keys", "rotate"]).expect(1);
    assert!(refused.err.contains("may sign from"), "{}", refused.err);
    let preview = place.over_demo(&["keys", "preview"]).expect(0);
    assert!(preview.err.contains(&standby), "{}", preview.err);
    assert_eq!(preview.out.trim().split('.').count(), 3);
    let done = place.over_demo(&["keys", "revoke", &active]).expect(0);
    assert!(done.out.contains(&format!("revoked {active}")) && done.out.contains("335 s"), "{}", done.out);
    assert!(done.out.contains(&format!("{standby} signs now")), "{}", done.out);
    assert!(done.out.contains("gateways may refuse its tokens until"), "{}", done.out);
    assert_eq!(kid_of(&place, "active"), standby);
    assert_eq!(kid_of(&place, "revoked"), active);
    let again = place.over_demo(&["keys", "revoke", &active]).expect(1);
    assert!(again.err.contains("was revoked at"), "{}", again.err);
    let unknown = place.over_demo(&["keys", "revoke", "nobody"]).expect(1);
    assert!(unknown.err.contains("there is no signing key `nobody`"), "{}", unknown.err);
    // One kid in 64 begins with a hyphen: it is no option, and never the help.
    for kid in ["-hQx12345", "--help-me"] {
        let hyphen = place.over_demo(&["keys", "revoke", kid]).expect(1);
        assert!(hyphen.err.contains("there is no signing key"), "{}", hyphen.err);
    }
    let control = place.over_demo(&["keys", "revoke", "\u{1b}[31mx"]).expect(1);
    assert!(control.err.contains("no key id") && !control.err.contains('\u{1b}'), "{}", control.err);
    let reasons: Vec<_> =
        place.audit().iter().map(|row| row["reason"].as_str().unwrap_or_default().to_owned()).collect();
    for reason in ["revoked", "previewed"] {
        assert!(reasons.iter().any(|known| known == reason), "{reasons:?}");
    }
}

/// A running service hears of it by itself.
#[test]
fn a_serving_process_drops_a_revoked_key_within_seconds() {
    let place = Place::with_demo();
    let _serving = place.serve();
    let active = kid_of(&place, "active");
    let fetch = || {
        let ca = place.path("wsts-data/ca.pem");
        let fetched = Command::new("curl")
            .args(["-s", "--cacert", ca.to_str().unwrap(), &place.url("/.well-known/jwks.json")])
            .output()
            .unwrap();
        String::from_utf8(fetched.stdout).unwrap()
    };
    assert!(fetch().contains(&active));
    place.over_demo(&["keys", "revoke", &active]).expect(0);
    wait_until(|| {
        let published = fetch();
        published.contains("keys") && !published.contains(&active)
    });
}

#[test]
fn the_export_is_what_the_service_publishes_and_openssl_reads_it() {
    let place = Place::with_demo();
    let jwks = place.over_demo(&["keys", "export"]).expect(0).out;
    let jwks: serde_json::Value = serde_json::from_str(&jwks).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
    assert!(jwks["keys"][0].get("d").is_none());
    place.write("jwks.json", &jwks.to_string());
    let token = place.over_demo(&["keys", "preview"]).expect(0).out;
    place.write("token", &token);
    place.run(&["verify", "--jwks", "jwks.json", "--token", "token"]).expect(0);
    let pem = place.over_demo(&["keys", "export", "--format", "pem"]).expect(0).out;
    for (index, block) in pem.split("# kid ").skip(1).enumerate() {
        assert!(block.starts_with(jwks["keys"][index]["kid"].as_str().unwrap()), "{block}");
        let file = place.write("key.pem", block);
        let read = Command::new("openssl")
            .args(["pkey", "-pubin", "-noout", "-text", "-in"])
            .arg(file)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        assert!(text.contains("prime256v1"), "{text}{}", String::from_utf8_lossy(&read.stderr));
    }
    for format in ["jwks", "pem"] {
        let none =
            place.over_demo(&["keys", "export", "--region", "elsewhere", "--format", format]).expect(1);
        assert!(none.out.is_empty() && none.err.contains("no key is published"), "{}", none.err);
    }
    place.over_demo(&["keys", "export", "--region", "NOT A REGION"]).expect(1);
}

/// Its tokens would be another service's.
#[test]
fn no_command_works_under_another_issuer() {
    let place = Place::with_demo();
    let text = place.read("wsts-data/wsts.toml");
    let issuer = format!("https://localhost:{}", place.port);
    place.write("wsts-data/wsts.toml", &text.replace(&issuer, "https://evil.example"));
    let refused = place.over_demo(&["keys", "preview"]).expect(1);
    assert!(refused.err.contains(&issuer) && refused.out.is_empty(), "{}", refused.err);
}
