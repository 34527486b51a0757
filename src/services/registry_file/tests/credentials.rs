//! Certificates and federated credentials in a file.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use super::*;
use crate::domain::ids::CredentialId;

/// Self-signed; made once, and the private key thrown away. rcgen over ring makes no RSA keys.
const RSA_1024: &str = "-----BEGIN CERTIFICATE-----
MIIB/jCCAWegAwIBAgIUcO4Hmt+pUFFdf5aRT5fKyP6zgK8wDQYJKoZIhvcNAQEL
BQAwEDEOMAwGA1UEAwwFc2hvcnQwIBcNMjYxMTI0MDQ0MjA5WhgPMjEyNjEwMzEw
NDQyMDlaMBAxDjAMBgNVBAMMBXNob3J0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB
iQKBgQCnM422lK3bDoZxzAjvWfFEjbeDIUhkbIPsGZFk3uvX0lki89dKMXXf5s2g
Ylx3GDD5DUxKfE25T58M6KvQQG/krxFIwMlApBGtpnwHMSRNEB8Ax0XjNNqZ5mwJ
2WeIc8uQkeiC8YobLJJsT0CB3KQ91ykT/IiiSWYSWpjZPb3VUQIDAQABo1MwUTAd
BgNVHQ4EFgQUd7agSpYK+v/94Oaa0iDSokfFjxEwHwYDVR0jBBgwFoAUd7agSpYK
+v/94Oaa0iDSokfFjxEwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOB
gQAkklPRLeNemMN4rtRj3Rradb7pDg4P9IF8PGzVk08wrqw6Ipzo3mh9dJWLdOlQ
ZKk0YLz8F6ZK7Jqi5d3mJo+iHw8uk2M0FaX7m3O4qbn40/tnkCgVYBcIQSLZnX3I
kXXmLzWwy4caJvaVw0tH2gp+wG1tLDNoieA1uXs9xIy8DQ==
-----END CERTIFICATE-----";
const RSA_2048: &str = "-----BEGIN CERTIFICATE-----
MIIC/zCCAeegAwIBAgIUHiS9MfSmquymIp5FM99NT52At0QwDQYJKoZIhvcNAQEL
BQAwDjEMMAoGA1UEAwwDcnNhMCAXDTI2MTEyNDA0NDIwOVoYDzIxMjYxMDMxMDQ0
MjA5WjAOMQwwCgYDVQQDDANyc2EwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEK
AoIBAQCq8gONQPhWnLAazXIkZMrP9vVR6mnVYxQ94BOHwKWPl7XiGZuWGCDwlpgg
HC7sHLr+b99bLLsMlEek4UzQJbkLk4ocGvM6jLwFkVBdad/U7f+bXIV61lz+52U/
LMPyMujxtfXHHSzcs9RnAmNcBk1/9C89P0VXWdHNKcyufx9uh1LDsdhgauIwYcG4
vXAu0BQnYs5+dIuNfSPtr9IxpWnl1SFPLE1BL7SbrZvgR/kKoI9ycl9TM3y7iW7j
4alImcI7dHfTowXzV8P3jVAtjmhiSEj9TG2L9MmwKUWGNuxQT98n16RVpPQK6GQI
olnrGlLTBTo/kRfLE90Bvfpj/K3FAgMBAAGjUzBRMB0GA1UdDgQWBBSgR4PPRk6s
hnV0egB4L2HDykxMXzAfBgNVHSMEGDAWgBSgR4PPRk6shnV0egB4L2HDykxMXzAP
BgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4IBAQBgpyI5O/QOyjHlms1j
fCl5cffnVc+01GANdT8GQ7mK1XVf3mDL1F1qHJ9P7UZWTm6iS1gEAfSM3SeEy091
TVw/rd28MQADQjNsxvzbyo1EuzN4e2rRDVoGMlV8hS+Gswde1iApizINgpUr08bC
+sLjqbrk0Mfqg2Rb3okk9dUa9AwsTzczU9Xx4bUBA4mmipa558qOZvK3K8WHHlUL
vwLzYBXhMlZYyhoRNSeaJArKad48PZmAiU7mIE1OXkzE+0XoaEnQkuGgjNZ+bRa4
cIB7AofwdtgDp8g7rqy6NUtki5834fEPdifODDWapGP0E3Z949cmr5Vg52TfW5bB
RDR7
-----END CERTIFICATE-----";

fn pem_of(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    CertificateParams::default().self_signed(&key).expect("a certificate").pem()
}

pub fn pem() -> String {
    pem_of(&PKCS_ECDSA_P256_SHA256)
}

pub fn trust(name: &str) -> Value {
    json!({"name": name, "issuer": "https://issuer.example", "subject": format!("subject of {name}"),
           "audience": "api://sts", "claims": {"ref": "main"}})
}

/// [`whole`] with these credentials of its principal.
fn holding(certificates: &[&str], federated: &[Value]) -> Value {
    let mut file = whole();
    file["principals"][0]["certificates"] = json!(certificates);
    file["principals"][0]["federated_credentials"] = json!(federated);
    file
}

/// What is stored after `holding(…)` was applied to what is stored after [`whole`].
fn stored_with(certificates: &[&str], federated: &[Value]) -> RegistrySnapshot {
    let mut paper = Paper(applied());
    let difference = compared(holding(certificates, federated), &paper.0, false, 2).expect("lawful");
    paper.apply(&difference);
    paper.0
}

#[track_caller]
pub fn assert_nothing(difference: &Difference) {
    assert_eq!(texts(difference), Vec::<String>::new());
    assert!(difference.mutations.is_empty());
}

/// The one mistake of a file compared with what [`applied`] stores.
#[track_caller]
pub fn mistake(value: Value) -> String {
    let mut found = compared(value, &applied(), false, 2).expect_err("a mistake");
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn credentials_are_put_once_whatever_their_kind() {
    let (p256, ed25519) = (pem(), pem_of(&PKCS_ED25519));
    let file = || holding(&[&p256, RSA_2048, &ed25519], &[trust("ci"), trust("cluster")]);
    let mut paper = Paper(applied());
    let first = compared(file(), &paper.0, false, 2).expect("lawful");
    let certificate = |until: &str| format!("+ certificate until {until} of principal {CLIENT}");
    let federated = |name: &str| format!("+ federated credential `{name}` of principal {CLIENT}");
    let expected = [
        certificate("4096-01-01"),
        certificate("2126-10-31"),
        certificate("4096-01-01"),
        federated("ci"),
        federated("cluster"),
    ];
    assert_eq!(texts(&first), expected);
    paper.apply(&first);
    let kinds: Vec<Value> = paper
        .0
        .key_credentials
        .iter()
        .map(|key| serde_json::from_str::<Value>(&key.public_jwk).expect("a JWK")["kty"].clone())
        .collect();
    assert_eq!(kinds, ["EC", "RSA", "OKP"]);
    let owner = paper.0.principals[0].object_id;
    assert!(paper.0.key_credentials.iter().all(|key| key.object_id == owner));
    let ci = &paper.0.federated_credentials[0];
    assert_eq!((ci.object_id, ci.issuer.as_str()), (owner, "https://issuer.example"));
    assert_eq!((ci.subject.as_str(), ci.audience.as_str()), ("subject of ci", "api://sts"));
    assert_eq!(ci.claims, [("ref".to_owned(), "main".to_owned())].into());
    for prune in [false, true] {
        assert_nothing(&compared(file(), &paper.0, prune, 3).expect("lawful"));
    }
}

#[test]
fn a_principal_may_come_with_its_credentials() {
    let certificate = pem();
    let mut paper = Paper::default();
    let difference = compared(holding(&[&certificate], &[trust("ci")]), &paper.0, false, 1).expect("lawful");
    let place = |matching: fn(&Mutation) -> bool| difference.mutations.iter().position(matching);
    let principal = place(|mutation| matches!(mutation, Mutation::PutPrincipal(_)));
    assert!(principal < place(|mutation| matches!(mutation, Mutation::AddKeyCredential(_))));
    assert!(principal < place(|mutation| matches!(mutation, Mutation::PutFederatedCredential(_))));
    paper.apply(&difference);
    let owner = paper.0.principals[0].object_id;
    assert_eq!(paper.0.key_credentials[0].object_id, owner);
    assert_eq!(paper.0.federated_credentials[0].object_id, owner);
}

#[test]
fn pruning_removes_what_is_not_named_and_nothing_else_does() {
    let (kept, dropped) = (pem(), pem());
    let stored = stored_with(&[&kept, &dropped], &[trust("kept"), trust("dropped")]);
    let fewer = || holding(&[&kept], &[trust("kept")]);
    assert_nothing(&compared(fewer(), &stored, false, 3).expect("lawful"));
    let difference = compared(fewer(), &stored, true, 3).expect("lawful");
    let expected = [
        format!("- certificate {} of principal {CLIENT}", stored.key_credentials[1].id),
        format!("- federated credential `dropped` of principal {CLIENT}"),
    ];
    assert_eq!(texts(&difference), expected);
    let mut paper = Paper(stored);
    paper.apply(&difference);
    assert_eq!((paper.0.key_credentials.len(), paper.0.federated_credentials.len()), (1, 1));
    assert_nothing(&compared(fewer(), &paper.0, true, 4).expect("lawful"));
}

#[test]
fn pruning_leaves_the_credentials_of_principals_that_the_file_does_not_name() {
    let stored = stored_with(&[&pem()], &[trust("ci")]);
    let mut unnamed = whole();
    unnamed["principals"] = json!([]);
    unnamed["role_assignments"] = json!([]);
    let difference = compared(unnamed, &stored, true, 3).expect("lawful");
    let of_credentials = |mutation: &Mutation| {
        matches!(mutation, Mutation::RemoveKeyCredential(..) | Mutation::RemoveFederatedCredential(..))
    };
    // They go with the principal itself, which is another line.
    assert!(!difference.mutations.iter().any(of_credentials), "{:?}", texts(&difference));
    assert!(texts(&difference).iter().any(|line| line.starts_with(&format!("- principal {CLIENT}"))));
}

#[test]
fn a_pruned_federated_credential_makes_room_before_its_match_is_put_again() {
    let stored = stored_with(&[], &[trust("ci")]);
    let mut renamed = trust("ci");
    renamed["name"] = json!("pipeline");
    let difference = compared(holding(&[], &[renamed]), &stored, true, 3).expect("lawful");
    let expected = [
        format!("- federated credential `ci` of principal {CLIENT}"),
        format!("+ federated credential `pipeline` of principal {CLIENT}"),
    ];
    assert_eq!(texts(&difference), expected);
}

#[test]
fn a_changed_federated_credential_keeps_its_id() {
    let stored = stored_with(&[], &[trust("ci"), trust("other")]);
    let id_of = |name: &str| {
        let found = stored.federated_credentials.iter().find(|found| found.name == name);
        found.expect("stored").id
    };
    for (member, value) in [
        ("issuer", json!("https://another.example")),
        ("subject", json!("another")),
        ("audience", json!("another")),
        ("claims", json!({})),
    ] {
        let mut changed = trust("ci");
        changed[member] = value;
        let difference =
            compared(holding(&[], &[changed, trust("other")]), &stored, true, 3).expect("lawful");
        assert_eq!(texts(&difference), [format!("~ federated credential `ci` of principal {CLIENT}")]);
        let ids: Vec<CredentialId> = difference
            .mutations
            .iter()
            .map(|mutation| match mutation {
                Mutation::PutFederatedCredential(put) => put.id,
                Mutation::RemoveFederatedCredential(_, id) => *id,
                other => panic!("{other:?}"),
            })
            .collect();
        // What it matches is given up first, for another one of the file may match it now.
        let expected = if member == "claims" { vec![id_of("ci")] } else { vec![id_of("ci"); 2] };
        assert_eq!(ids, expected, "{member}");
    }
}

#[test]
fn the_same_certificate_twice_is_one() {
    let certificate = pem();
    // Also with other line ends and a remark before it.
    let respelled = format!("made by hand\n{}", certificate.replace("\r\n", "\n"));
    let file = || holding(&[&certificate, &certificate, &respelled], &[]);
    let difference = compared(file(), &applied(), false, 2).expect("lawful");
    assert_eq!(difference.mutations.len(), 1, "{:?}", texts(&difference));
    let mut paper = Paper(applied());
    paper.apply(&difference);
    assert_nothing(&compared(file(), &paper.0, true, 3).expect("lawful"));
}

#[test]
fn certificates_that_can_not_be_used_are_named() {
    let good = pem();
    let two = format!("{good}{}", pem());
    let key = KeyPair::generate().expect("a key").serialize_pem();
    let broken = good.replacen("MII", "AAA", 1);
    let long = format!("{good}{}", "\n".repeat(16 * 1024));
    let p384 = pem_of(&PKCS_ECDSA_P384_SHA384);
    let not_pem = "not one certificate in PEM (-----BEGIN CERTIFICATE-----)";
    let not_offered = "its key is not offered: RSA from 2048 bits on, P-256 or Ed25519";
    for (wrong, named) in [
        ("", not_pem),
        ("MIIB", not_pem),
        (two.as_str(), not_pem),
        (key.as_str(), not_pem),
        (format!("{good}{key}").as_str(), not_pem),
        (format!("{key}{good}").as_str(), not_pem),
        (broken.as_str(), "not an X.509 certificate in DER"),
        (long.as_str(), "longer than 16384 bytes"),
        (RSA_1024, not_offered),
        (p384.as_str(), not_offered),
    ] {
        let expected = format!("certificates[1]: {named} of principal {CLIENT}");
        assert_eq!(mistake(holding(&[&good, wrong], &[])), expected);
    }
    // All of them at once.
    let found = compared(holding(&["", &good, RSA_1024], &[]), &applied(), false, 2).expect_err("mistakes");
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn federated_credentials_that_can_not_be_are_named() {
    let texts_of = "must have 1 to 600 bytes and no control characters";
    let scheme = "`issuer` must begin with https:// (http:// for a loopback address only)".to_owned();
    let many: serde_json::Map<String, Value> = (0..11).map(|n| (format!("claim {n}"), json!("x"))).collect();
    for (member, value, named) in [
        ("name", json!(""), format!("`name` {texts_of}")),
        ("issuer", json!("http://issuer.example"), scheme.clone()),
        ("issuer", json!("http://localhost.example"), scheme.clone()),
        ("issuer", json!("HTTPS://issuer.example"), scheme),
        ("issuer", json!(""), format!("`issuer` {texts_of}")),
        ("subject", json!(""), format!("`subject` {texts_of}")),
        ("subject", json!("x".repeat(601)), format!("`subject` {texts_of}")),
        ("subject", json!("a\nb"), format!("`subject` {texts_of}")),
        ("audience", json!(""), format!("`audience` {texts_of}")),
        ("claims", json!({"": "x"}), format!("`claims` {texts_of}")),
        ("claims", json!({"x": ""}), format!("`claims` {texts_of}")),
        ("claims", Value::Object(many), "more than 10 claims".to_owned()),
    ] {
        let mut wrong = trust("ci");
        wrong[member] = value;
        let name = wrong["name"].as_str().expect("a text").to_owned();
        let expected = format!("federated credential `{name}` of principal {CLIENT}: {named}");
        assert_eq!(mistake(holding(&[], &[trust("good"), wrong])), expected);
    }
    let mut longest = trust("ci");
    longest["subject"] = json!("x".repeat(600));
    compared(holding(&[], &[longest]), &applied(), false, 2).expect("lawful");
    for wrong in [json!({"audiences": ["a"]}), json!({"claims": {"ref": 1}}), json!({"description": "x"})] {
        let mut entry = trust("ci");
        entry.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
        assert!(serde_json::from_value::<RegistryFile>(holding(&[], &[entry])).is_err(), "{wrong}");
    }
}

#[test]
fn doubled_federated_credentials_are_named() {
    let mut same_name = trust("other");
    same_name["name"] = json!("ci");
    let expected = format!("federated credential of principal {CLIENT} `ci`: named twice");
    assert_eq!(mistake(holding(&[], &[trust("ci"), same_name])), expected);
    let mut same_match = trust("ci");
    same_match["name"] = json!("other");
    same_match["claims"] = json!({});
    let expected = format!(
        "federated credential of principal {CLIENT} \"https://issuer.example\" \"subject of ci\" \"api://sts\": named twice"
    );
    assert_eq!(mistake(holding(&[], &[trust("ci"), same_match])), expected);
    // Another principal may trust the same.
    let mut two = holding(&[], &[trust("ci")]);
    let mut second = two["principals"][0].clone();
    second["client_id"] = json!("00000000-0000-0000-0000-0000000000c2");
    two["principals"].as_array_mut().expect("a list").push(second);
    compared(two, &applied(), false, 2).expect("lawful");
}

#[test]
fn twenty_of_each_are_taken_and_no_more() {
    let certificates: Vec<String> = (0..21).map(|_| pem()).collect();
    let certificates: Vec<&str> = certificates.iter().map(String::as_str).collect();
    let federated: Vec<Value> = (0..21).map(|n| trust(&format!("trust {n}"))).collect();
    let difference = compared(holding(&certificates[..20], &federated[..20]), &applied(), false, 2);
    assert_eq!(difference.expect("lawful").mutations.len(), 40);
    let of = |what: &str| format!("more than 20 {what} of principal {CLIENT}");
    assert_eq!(mistake(holding(&certificates, &[])), of("certificates and keys"));
    assert_eq!(mistake(holding(&[], &federated)), of("federated credentials"));
    // What is registered already and stays counts too.
    let stored = stored_with(&certificates[..20], &federated[..20]);
    let last = || holding(&certificates[20..], &federated[20..]);
    let found = compared(last(), &stored, false, 3).expect_err("too many together");
    assert_eq!(found, [of("certificates and keys"), of("federated credentials")]);
    compared(last(), &stored, true, 3).expect("lawful when the others go");
    compared(holding(&certificates[..20], &federated[..20]), &stored, false, 3)
        .expect("lawful: the same ones");
}

#[test]
fn two_that_swap_what_they_match_are_removed_before_they_are_put() {
    let (mut first, mut second) = (trust("first"), trust("second"));
    let stored = stored_with(&[], &[first.clone(), second.clone()]);
    (first["subject"], second["subject"]) = (second["subject"].take(), first["subject"].take());
    let difference = compared(holding(&[], &[first, second]), &stored, false, 2).expect("lawful");
    let kinds: Vec<_> = difference
        .mutations
        .iter()
        .map(|mutation| match mutation {
            Mutation::RemoveFederatedCredential(_, id) => ("remove", *id),
            Mutation::PutFederatedCredential(put) => ("put", put.id),
            other => panic!("{other:?}"),
        })
        .collect();
    let [one, two] = [0, 1].map(|place: usize| stored.federated_credentials[place].id);
    assert_eq!(kinds, [("remove", one), ("remove", two), ("put", one), ("put", two)]);
}
