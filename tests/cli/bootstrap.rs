//! `wsts bootstrap`: the first principal, once.

use crate::helpers::*;

/// A configuration over an empty database: that of a demo, without the demo.
fn empty() -> Place {
    let place = Place::with_demo();
    for file in ["wsts.db", "wsts.db-wal", "wsts.db-shm", "wsts.spool"] {
        let _ = std::fs::remove_file(place.path(&format!("wsts-data/{file}")));
    }
    place
}

fn told<'a>(out: &'a str, name: &str) -> &'a str {
    out.lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("no {name} in {out}"))
        .trim()
}

#[test]
fn the_first_principal_is_made_once_and_may_do_everything() {
    let place = empty();
    let tenant = "77777777-7777-7777-7777-777777777777";
    let made = place.over_demo(&["bootstrap", "--tenant", tenant]).expect(0);
    let (id, secret) = (told(&made.out, "client id").to_owned(), told(&made.out, "client secret").to_owned());
    assert_eq!(told(&made.out, "tenant"), tenant);
    assert!(secret.starts_with("wsts_") && !made.err.contains(&secret), "{}", made.err);
    assert!(made.err.contains("shown this once"), "{}", made.err);

    let again = place.over_demo(&["bootstrap", "--tenant", tenant]).expect(1);
    assert!(again.err.contains(&id) && again.err.contains("wsts apply"), "{}", again.err);
    assert_eq!(again.out, "");

    let records = place.audit();
    let of_bootstrap = records.iter().filter(|record| record["method"] == "bootstrap").count();
    assert_eq!(of_bootstrap, 5, "tenant, subscription, principal, secret, assignment");
    assert!(!format!("{records:?}").contains(&secret));

    let _serving = place.serve();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).tls_config(
        ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::from(
                ureq::tls::parse_pem(place.read("wsts-data/ca.pem").as_bytes())
                    .filter_map(|item| match item.unwrap() {
                        ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
            ))
            .build(),
    );
    let agent: ureq::Agent = agent.build().into();
    let scope = format!("{}/.default", place.url(""));
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
        ("scope", &scope),
    ];
    let answer = agent.post(place.url("/oauth2/token")).send_form(fields).unwrap().into_body();
    let answer: serde_json::Value = serde_json::from_reader(answer.into_reader()).unwrap();
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")));
    let listed =
        agent.get(place.url("/v1.0/servicePrincipals")).header("authorization", &bearer).call().unwrap();
    assert_eq!(listed.status().as_u16(), 200);
    let roles = place.url("/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01");
    assert_eq!(agent.get(roles).header("authorization", &bearer).call().unwrap().status().as_u16(), 200);
}

#[test]
fn of_several_at_once_one_makes_it() {
    let place = empty();
    // The file and its migrations first: what is raced for is the principal.
    place.over_demo(&["audit", "list"]).expect(1);
    let running: Vec<_> = (0..4)
        .map(|_| {
            let mut command = place.command(&["bootstrap", "--config", "wsts-data/wsts.toml"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let ended: Vec<Ended> = running.into_iter().map(|one| one.wait_with_output().unwrap().into()).collect();
    let made = ended.iter().filter(|one| one.code == Some(0)).count();
    let told: Vec<_> = ended.iter().map(|one| one.err.as_str()).collect();
    assert_eq!(made, 1, "{told:?}");
    assert!(ended.iter().all(|one| one.code == Some(0) || one.out.is_empty()));
}

#[test]
fn what_is_no_id_is_refused_and_named() {
    let place = empty();
    for flag in ["--tenant", "--subscription"] {
        let ended = place.over_demo(&["bootstrap", flag, "../x y"]).expect(1);
        assert!(ended.err.contains(flag), "{}", ended.err);
    }
    // A demo has principals.
    let ended = Place::with_demo().over_demo(&["bootstrap"]).expect(1);
    assert!(ended.err.contains("has principals"), "{}", ended.err);
}
