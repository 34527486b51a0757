//! Keys of callers and of other issuers, made for one test, with their certificates and what they sign.

// ring's signing calls take no other randomness.
#![allow(clippy::disallowed_types)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde_json::{Value, json};

use crate::helpers::*;

/// Year, month and day.
type Day = (i32, u8, u8);

/// A private key with a self-signed certificate.
pub struct Signer {
    key: Key,
    public: Vec<u8>,
    pub der: Vec<u8>,
    pub pem: String,
    /// The public key alone.
    pub public_pem: String,
}

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub fn p256() -> Self {
        Self::make(&PKCS_ECDSA_P256_SHA256, ((1975, 1, 1), (4096, 1, 1)))
    }

    pub fn ed25519() -> Self {
        Self::make(&PKCS_ED25519, ((1975, 1, 1), (4096, 1, 1)))
    }

    /// Its certificate is valid from one midnight to another.
    pub fn within(from: Day, until: Day) -> Self {
        Self::make(&PKCS_ECDSA_P256_SHA256, (from, until))
    }

    fn make(algorithm: &'static rcgen::SignatureAlgorithm, (from, until): (Day, Day)) -> Self {
        let made = KeyPair::generate_for(algorithm).unwrap();
        let mut certificate = CertificateParams::default();
        (certificate.not_before, certificate.not_after) =
            (date_time_ymd(from.0, from.1, from.2), date_time_ymd(until.0, until.1, until.2));
        let certificate = certificate.self_signed(&made).unwrap();
        let pkcs8 = made.serialize_der();
        let key = if algorithm == &PKCS_ED25519 {
            Key::Ed25519(Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap())
        } else {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            Key::P256(EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &SystemRandom::new()).unwrap())
        };
        Self {
            key,
            public: made.public_key_raw().to_vec(),
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            public_pem: made.public_key_pem(),
        }
    }

    pub fn algorithm(&self) -> &'static str {
        match self.key {
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as another issuer publishes it.
    pub fn jwk(&self, kid: &str) -> Value {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.key {
            // Behind the byte that says "uncompressed".
            Key::P256(_) => json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig",
                                    "x": part(&self.public[1..33]), "y": part(&self.public[33..]) }),
            Key::Ed25519(_) => json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig",
                                       "x": part(&self.public) }),
        }
    }

    fn thumbprint(&self, algorithm: &'static Algorithm) -> Vec<u8> {
        digest(algorithm, &self.der).as_ref().to_vec()
    }

    pub fn x5t(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.thumbprint(&SHA1_FOR_LEGACY_USE_ONLY))
    }

    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.thumbprint(&SHA256))
    }

    /// What the API calls the certificate by.
    pub fn custom_key_identifier(&self) -> String {
        STANDARD.encode(self.thumbprint(&SHA1_FOR_LEGACY_USE_ONLY))
    }

    /// As MSAL names the key.
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm(), "typ": "JWT", "x5t": self.x5t() })
    }

    /// As other issuers name the key.
    pub fn header_with_kid(&self, kid: &str) -> Value {
        json!({ "alg": self.algorithm(), "typ": "JWT", "kid": kid })
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        self.sign_text(&format!("{}.{}", part(header), part(claims)))
    }

    /// Header and payload as they are, with the signature behind them.
    pub fn sign_text(&self, text: &str) -> String {
        let signature = match &self.key {
            Key::P256(key) => key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(text.as_bytes()).as_ref().to_vec(),
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// An assertion of a principal's own, in order.
    pub fn assertion(&self, app: &TestApp, who: &Who) -> String {
        self.sign(&self.header(), &own_claims(app, who))
    }
}

/// What a principal says of itself, for ten minutes.
pub fn own_claims(app: &TestApp, who: &Who) -> Value {
    let now = app.now();
    json!({ "iss": who.client_id, "sub": who.client_id, "aud": ISSUER, "jti": "d1f4",
            "iat": now, "nbf": now, "exp": now + 600 })
}

/// An object with members added or put in place of others; `null` takes one away.
pub fn with(value: &Value, members: &Value) -> Value {
    let mut value = value.clone();
    for (name, member) in members.as_object().unwrap() {
        match member {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            other => value[name] = other.clone(),
        }
    }
    value
}

pub fn path_of(who: &Who, collection: &str) -> String {
    format!("/v1.0/servicePrincipals/{}/{collection}", who.object_id)
}

pub const KEYS: &str = "keyCredentials";
pub const FEDERATED: &str = "federatedIdentityCredentials";

pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl TestApp {
    /// Registers a certificate; gives its `keyId`.
    #[track_caller]
    pub fn register(&self, who: &Who, signer: &Signer) -> String {
        let body = json!({ "key": STANDARD.encode(&signer.der) });
        let added = self.api(&OWNER).post(&path_of(who, KEYS), &body).expect(201).json();
        added["keyId"].as_str().unwrap().to_owned()
    }

    /// A management token by assertion, without `client_id`.
    pub fn prove(&self, assertion: &str) -> Answer {
        self.prove_at("/oauth2/token", assertion, &[("resource", ISSUER)])
    }

    /// The same by a federated token, beside which `client_id` must stand.
    pub fn prove_as(&self, who: &Who, assertion: &str) -> Answer {
        self.prove_at("/oauth2/token", assertion, &[("client_id", who.client_id), ("resource", ISSUER)])
    }

    pub fn prove_at(&self, path: &str, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion),
        ];
        fields.extend_from_slice(more);
        self.form(path, &[], &fields)
    }
}

/// A refused proof: its number on the wire and its reason in the audit.
#[track_caller]
pub fn assert_refused(app: &TestApp, answer: &Answer, code: u32, reason: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    let body = answer.json();
    assert_eq!((&body["error"], &body["error_codes"]), (&json!("invalid_client"), &json!([code])), "{body}");
    let record = app.record_of(answer);
    assert_eq!((record.outcome.as_str(), record.reason.as_deref()), ("refused", Some(reason)));
    assert_eq!(record.token_id, None);
    // Who it was stands there if and only if the signature was right.
    let proven = match reason {
        "assertion_time"
        | "assertion_audience"
        | "assertion_used"
        | "certificate_expired"
        | "principal_disabled"
        | "wrong_tenant" => true,
        // Its form may be wrong before the signature and after.
        "malformed_assertion" => record.object_id.is_some(),
        _ => false,
    };
    assert_eq!((record.object_id.is_some(), record.credential_id.is_some()), (proven, proven), "{reason}");
    let methods = ["private_key_jwt", "federated_credential"];
    assert_eq!(record.method.is_some_and(|method| methods.contains(&method.as_str())), proven, "{reason}");
}

/// All of an answer but what names the request and its time.
pub fn anonymous(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    headers.sort();
    let mut body = answer.text();
    for name in ["timestamp", "trace_id", "correlation_id"] {
        body = body.replace(answer.json()[name].as_str().unwrap(), name);
    }
    (answer.status, headers, body)
}
