//! The keys this process can sign with and those it publishes, as one snapshot.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::Serialize;

use super::jwks::PublicJwk;
use super::key_pair::{KeyError, KeyPair};
use super::provider::{KeptKey, library_algorithm};
use super::sealing::{KekList, Place, SealingError};
use crate::domain::claims::TOKEN_TYPE;
use crate::domain::region::Region;
use crate::domain::signing_key::{KeyLife, KeyState, SigningKey};
use crate::storage::StoredSigningKey;

/// Why the key ring can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Sealing(#[from] SealingError),
    #[error("signing key {0}: {1}")]
    Key(String, KeyError),
    #[error("signing key {0}: its public half in the database is not that of its private half")]
    Swapped(String),
    #[error("signing key {0}: its stored public JWK can't be read")]
    BadJwk(String),
}

/// The token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("signing failed: {0}")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

/// A key with its public half and, when it is this region's and not gone, what signs with it.
#[derive(Clone)]
pub struct LoadedKey {
    pub key: SigningKey,
    pub jwk: PublicJwk,
    signing: Option<Arc<Signing>>,
}

struct Signing {
    /// The JOSE header, encoded, with its full stop: the same on every token of the key.
    header: String,
    algorithm: Algorithm,
    encoding_key: EncodingKey,
    /// Keeps the private key in memory for as long as the snapshot lives.
    _kept: KeptKey,
}

/// All keys as read from the database at one instant.
pub struct KeyRing {
    keys: Vec<LoadedKey>,
    /// When all of them were read, by the steady clock, so that a jump of the wall clock makes no key older or younger.
    pub read_at: Duration,
    /// When it was last read which of them are revoked.
    pub obeyed_at: Duration,
}

impl KeyRing {
    /// Opens and checks every key; one bad row refuses them all.
    pub fn load(
        stored: &[StoredSigningKey],
        region: &Region,
        keks: &KekList,
        read_at: Duration,
    ) -> Result<Self, LoadError> {
        let keys = stored.iter().map(|row| load_key(row, region, keks)).collect::<Result<_, _>>()?;
        Ok(Self { keys, read_at, obeyed_at: read_at })
    }

    /// These keys with the lives that the rows give them now, whatever else stands there: no row that can't be opened may
    /// keep a revoked key in use.
    #[must_use]
    pub fn obeying(&self, stored: &[StoredSigningKey], now: Duration) -> Self {
        let lives: HashMap<&str, KeyLife> =
            stored.iter().map(|row| (row.key.kid.as_str(), row.key.life)).collect();
        let mut keys = self.keys.clone();
        for loaded in &mut keys {
            if let Some(life) = lives.get(loaded.key.kid.as_str()) {
                loaded.key.life = *life;
            }
        }
        Self { keys, read_at: self.read_at, obeyed_at: now }
    }

    /// The key that signs now.
    pub fn active(&self, now: DateTime<Utc>) -> Option<&LoadedKey> {
        self.keys
            .iter()
            .rev()
            .find(|loaded| loaded.signing.is_some() && loaded.key.life.state(now) == KeyState::Active)
    }

    /// The key that is to sign next.
    pub fn standby(&self, now: DateTime<Utc>) -> Option<&LoadedKey> {
        self.keys
            .iter()
            .filter(|loaded| loaded.signing.is_some() && loaded.key.life.state(now) == KeyState::Standby)
            .min_by_key(|loaded| loaded.key.life.sign_from)
    }

    /// The keys that the JWKS shows now; those of the active key's algorithm first, since some validators stop at
    /// the first key of another family.
    pub fn published(&self, now: DateTime<Utc>) -> Vec<&LoadedKey> {
        let first = self.active(now).map(|loaded| loaded.key.algorithm);
        let mut published: Vec<_> =
            self.keys.iter().filter(|loaded| loaded.key.life.state(now).is_published()).collect();
        published.sort_by_key(|loaded| {
            (Some(loaded.key.algorithm) != first, std::cmp::Reverse(loaded.key.generation))
        });
        published
    }

    pub fn keys(&self) -> &[LoadedKey] {
        &self.keys
    }
}

impl LoadedKey {
    /// A JWS in compact form (RFC 7515, section 3.1) with exactly `alg`, `kid` and `typ` in its header.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, SignError> {
        let Some(signing) = &self.signing else {
            return Err(SignError(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat.into()));
        };
        // Large enough for any claims of ours and for every signature but RSA's.
        let mut payload = Vec::with_capacity(1024);
        serde_json::to_writer(&mut payload, claims).map_err(jsonwebtoken::errors::Error::from)?;
        let mut token = String::with_capacity(2048);
        token.push_str(&signing.header);
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature =
            jsonwebtoken::crypto::sign(token.as_bytes(), &signing.encoding_key, signing.algorithm)?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }
}

fn load_key(row: &StoredSigningKey, region: &Region, keks: &KekList) -> Result<LoadedKey, LoadError> {
    let kid = || row.key.kid.clone();
    let jwk: PublicJwk = serde_json::from_str(&row.public_jwk).map_err(|_| LoadError::BadJwk(kid()))?;
    // Another region's key is published from its row alone.
    if jwk.kid != row.key.kid || !jwk.is_named_after_itself() {
        return Err(LoadError::Swapped(kid()));
    }
    let signing = match &row.private {
        // Another region's private keys are not this process's to open.
        Some(sealed) if row.key.region == *region => {
            let der = keks.open(&Place::signing_key(&row.key), row.kek_id, sealed)?;
            let pair =
                KeyPair::from_pkcs8(row.key.algorithm, &der).map_err(|error| LoadError::Key(kid(), error))?;
            // A swapped public half would make every gateway refuse, or trust, the wrong tokens.
            if pair.public_jwk().members != jwk.members {
                return Err(LoadError::Swapped(kid()));
            }
            let kept = KeptKey::keep(pair);
            let header = serde_json::json!({
                "alg": row.key.algorithm.as_str(), "kid": row.key.kid, "typ": TOKEN_TYPE
            });
            Some(Arc::new(Signing {
                header: URL_SAFE_NO_PAD.encode(header.to_string()) + ".",
                algorithm: library_algorithm(row.key.algorithm),
                encoding_key: kept.encoding_key(),
                _kept: kept,
            }))
        }
        _ => None,
    };
    Ok(LoadedKey { key: row.key.clone(), jwk, signing })
}
