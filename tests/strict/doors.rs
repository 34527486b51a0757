//! The doors, and a key whose tokens all of them take.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use workspace_sts::domain::signing_key::SigningAlgorithm;
use workspace_sts::signing::assertion::Assertion;
use workspace_sts::signing::compact::Kind;
use workspace_sts::signing::foreign_keys;
use workspace_sts::signing::key_pair::KeyPair;
use workspace_sts::signing::provider;
use workspace_sts::signing::verifier::{Expected, KeySet};

pub const NOW: i64 = 1_767_323_045;
const KID: &str = "the-key";

/// Every kind of token; `OwnAccessToken` by our own verifier, `AnyJwt` by that of `wsts verify`.
pub const DOORS: [Kind; 5] =
    [Kind::OwnAccessToken, Kind::ClientAssertion, Kind::SubjectToken, Kind::ForeignAccessToken, Kind::AnyJwt];

pub fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// `typ` as each kind has it.
pub fn header(door: Kind) -> Value {
    let typ = match door {
        Kind::OwnAccessToken | Kind::ForeignAccessToken => "at+jwt",
        _ => "JWT",
    };
    json!({ "alg": "ES256", "kid": KID, "typ": typ })
}

/// What all doors want, and no more.
pub fn claims() -> Value {
    json!({
        "iss": "https://sts.example", "aud": "https://sts.example", "sub": "s", "oid": "o", "client_id": "c", "tid": "t",
        "iat": NOW, "nbf": NOW - 60, "exp": NOW + 600, "jti": "j", "refresh_by": NOW + 300, "region": "r",
        "scope": "score",
    })
}

/// An ES256 key, in a set of its own.
pub struct Key {
    pair: KeyPair,
    jwks: String,
}

impl Key {
    pub fn new() -> Self {
        provider::install();
        let algorithm = SigningAlgorithm::Es256;
        let pair = KeyPair::from_pkcs8(algorithm, &KeyPair::generate(algorithm).unwrap()).unwrap();
        let mut jwk = serde_json::to_value(pair.public_jwk()).unwrap();
        jwk["kid"] = KID.into();
        Self { pair, jwks: json!({ "keys": [jwk] }).to_string() }
    }

    pub fn jwk(&self) -> Value {
        serde_json::from_str::<Value>(&self.jwks).unwrap()["keys"][0].clone()
    }

    pub fn signature(&self, signed: &str) -> Vec<u8> {
        self.pair.sign(signed.as_bytes()).unwrap()
    }

    /// Encoded header and payload as they are, with a signature that is right for them.
    pub fn sign_encoded(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        let signature = encode(self.signature(&signed));
        format!("{signed}.{signature}")
    }

    pub fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.sign_encoded(&encode(header), &encode(payload))
    }

    pub fn good(&self, door: Kind) -> String {
        self.sign(header(door).to_string(), claims().to_string())
    }

    pub fn shown(&self, door: Kind, token: &str) -> Result<(), String> {
        shown(door, &self.jwks, token)
    }

    /// With what a door says to it.
    pub fn assert_refused_everywhere(&self, what: &str, token: impl Fn(Kind) -> String) {
        for door in DOORS {
            assert_eq!(self.shown(door, &self.good(door)), Ok(()), "{door:?} is open");
            let token = token(door);
            assert!(self.shown(door, &token).is_err(), "{door:?} takes {what}: {token}");
        }
    }
}

/// A token at a door that has these keys.
pub fn shown(door: Kind, jwks: &str, token: &str) -> Result<(), String> {
    let now: DateTime<Utc> = DateTime::from_timestamp(NOW, 0).unwrap();
    let expected = Expected { issuer: None, audience: None, now, leeway_seconds: 60 };
    match door {
        Kind::OwnAccessToken => {
            let keys = KeySet::parse(jwks).map_err(|error| error.to_string())?;
            keys.verify(token, &expected).map(drop).map_err(|error| error.to_string())
        }
        Kind::AnyJwt => {
            let keys = foreign_keys::parse(jwks).map_err(|error| error.to_string())?;
            foreign_keys::verify(&keys, token, &expected).map(drop).map_err(|error| error.to_string())
        }
        _ => {
            let assertion = Assertion::parse(door, token).map_err(|error| error.to_string())?;
            let keys = foreign_keys::parse(jwks).map_err(|error| error.to_string())?;
            let key = keys.get(assertion.key.kid.as_deref().unwrap_or_default()).ok_or("no such kid")?;
            if assertion.is_signed_by(key) { Ok(()) } else { Err("the signature is wrong".to_owned()) }
        }
    }
}
