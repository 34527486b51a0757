//! Secrets at rest: envelope encryption of private keys and access keys under the KEK, digests of client secrets and
//! access keys under the pepper.
//!
//! A value is sealed under a data key of its own, and that under the KEK, so that a new KEK re-wraps 32 bytes a row. The
//! additional data bind the value to its [`Place`]: a row moved to another one can't be opened.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::domain::access_key::AccessKey;
use crate::domain::client_secret::SecretDigest;
use crate::domain::signing_key::SigningKey;
use crate::entropy::{self, Entropy};
use crate::storage::SealedPrivate;

/// Bytes in a KEK, a pepper and a data key.
pub const KEY_BYTES: usize = 32;

/// Why something can't be sealed or opened. Holds no key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    #[error(
        "{0} must be exactly 32 random bytes in base64url (43 characters): make one with `head -c 32 /dev/urandom | basenc --base64url`"
    )]
    Malformed(&'static str),
    #[error(
        "the {what} is sealed under KEK {sealed_under}, but the configured KEKs are {configured}: start with the KEK that sealed it"
    )]
    NoSuchKek { what: String, sealed_under: String, configured: String },
    #[error("the {0} can't be opened: its row was altered, moved, or belongs to another region")]
    Broken(String),
}

/// Parses 32 bytes from base64url, with or without padding.
pub fn parse_key(name: &'static str, text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealingError> {
    let text = text.trim();
    let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| SealingError::Malformed(name))?;
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| SealingError::Malformed(name))?;
    Ok(Zeroizing::new(key))
}

/// Where a sealed value belongs; it opens nowhere else.
pub struct Place {
    /// For people.
    what: String,
    /// What the data key is bound to.
    row: String,
    /// What the value is bound to, besides its row.
    version: String,
}

impl Place {
    pub fn signing_key(key: &SigningKey) -> Self {
        Self {
            what: format!("signing key {}", key.kid),
            row: key.kid.clone(),
            version: format!("{}|{}|{}", key.region, key.algorithm.as_str(), key.generation),
        }
    }

    /// `webservice_key` is the lower-case ARM id.
    pub fn access_key(webservice_key: &str, key: &AccessKey) -> Self {
        let name = key.name.as_str();
        Self {
            what: format!("{} key of {webservice_key}", name.to_lowercase()),
            row: format!("{webservice_key}|{name}"),
            version: key.generation.to_string(),
        }
    }

    fn aad(&self) -> String {
        format!("v1|{}|{}", self.row, self.version)
    }

    fn kek_aad(&self, kek_id: &[u8; 8]) -> String {
        format!("v1|{}|{}", hex(kek_id), self.row)
    }
}

/// A key-encryption key with the id under which rows name it.
struct Kek {
    id: [u8; 8],
    key: LessSafeKey,
}

/// The configured KEKs: the first seals, all of them open.
pub struct KekList(Vec<Kek>);

impl KekList {
    /// `keys` is not empty; the first is the primary.
    pub fn new(primary: &[u8; KEY_BYTES], others: &[Zeroizing<[u8; KEY_BYTES]>]) -> Self {
        let kek = |bytes: &[u8; KEY_BYTES]| Kek { id: key_id(b"kek-id", bytes), key: aead_key(bytes) };
        Self(std::iter::once(kek(primary)).chain(others.iter().map(|bytes| kek(bytes))).collect())
    }

    /// Whether this KEK is configured.
    pub fn has(&self, id: [u8; 8]) -> bool {
        self.0.iter().any(|kek| kek.id == id)
    }

    /// The ids of all of them, the primary's first.
    pub fn ids(&self) -> Vec<[u8; 8]> {
        self.0.iter().map(|kek| kek.id).collect()
    }

    /// Id of the KEK that seals: first 8 bytes of SHA-256("kek-id" || KEK).
    pub fn primary_id(&self) -> [u8; 8] {
        self.0.first().map(|kek| kek.id).unwrap_or_default()
    }

    /// Seals a value for its place.
    pub fn seal(
        &self,
        place: &Place,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<SealedPrivate, SealingError> {
        let broken = || SealingError::Broken(place.what.clone());
        let kek = self.0.first().ok_or_else(broken)?;
        let data_key = Zeroizing::new(entropy::bytes::<KEY_BYTES>(entropy));
        Ok(SealedPrivate {
            private: seal(&aead_key(&data_key), &place.aad(), plain, entropy).ok_or_else(broken)?,
            data_key: seal(&kek.key, &place.kek_aad(&kek.id), data_key.as_slice(), entropy)
                .ok_or_else(broken)?,
        })
    }

    /// Opens the value of a place.
    pub fn open(
        &self,
        place: &Place,
        kek_id: [u8; 8],
        sealed: &SealedPrivate,
    ) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let broken = || SealingError::Broken(place.what.clone());
        let data_key = self.open_data_key(place, kek_id, &sealed.data_key)?;
        let data_key =
            Zeroizing::new(<[u8; KEY_BYTES]>::try_from(data_key.as_slice()).map_err(|_| broken())?);
        open(&aead_key(&data_key), &place.aad(), &sealed.private).ok_or_else(broken)
    }

    /// Seals the data key of a place anew, under the primary. The value stays as it is and is not opened.
    pub fn rewrap(
        &self,
        place: &Place,
        kek_id: [u8; 8],
        data_key: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealingError> {
        let broken = || SealingError::Broken(place.what.clone());
        let data_key = self.open_data_key(place, kek_id, data_key)?;
        let primary = self.0.first().ok_or_else(broken)?;
        seal(&primary.key, &place.kek_aad(&primary.id), &data_key, entropy).ok_or_else(broken)
    }

    fn open_data_key(
        &self,
        place: &Place,
        kek_id: [u8; 8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let Some(kek) = self.0.iter().find(|kek| kek.id == kek_id) else {
            let configured: Vec<String> = self.0.iter().map(|kek| hex(&kek.id)).collect();
            return Err(SealingError::NoSuchKek {
                what: place.what.clone(),
                sealed_under: hex(&kek_id),
                configured: configured.join(", "),
            });
        };
        open(&kek.key, &place.kek_aad(&kek.id), sealed)
            .ok_or_else(|| SealingError::Broken(place.what.clone()))
    }
}

/// The key under which client secrets and access keys are digested.
pub struct Pepper {
    id: [u8; 8],
    key: hmac::Key,
}

impl Pepper {
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self { id: key_id(b"pepper-id", bytes), key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    /// Tells two peppers apart without telling either.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    pub fn digest(&self, secret: &str) -> SecretDigest {
        let tag = hmac::sign(&self.key, secret.as_bytes());
        // HMAC-SHA-256 has 32 bytes.
        SecretDigest(<[u8; 32]>::try_from(tag.as_ref()).unwrap_or_default())
    }

    /// Compares in constant time.
    pub fn matches(&self, secret: &str, digest: &SecretDigest) -> bool {
        hmac::verify(&self.key, secret.as_bytes(), &digest.0).is_ok()
    }
}

/// Eight bytes as text.
pub fn hex(bytes: &[u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(*bytes))
}

fn key_id(label: &[u8], key: &[u8; KEY_BYTES]) -> [u8; 8] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(label);
    context.update(key);
    context.finish().as_ref().first_chunk::<8>().copied().unwrap_or_default()
}

// AES-256 takes exactly the 32 bytes that the type holds.
#[allow(clippy::expect_used)]
fn aead_key(bytes: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are an AES-256 key"))
}

/// nonce || ciphertext || tag, with a fresh random nonce: each data key seals one value, a KEK a few thousand.
fn seal(key: &LessSafeKey, aad: &str, plain: &[u8], entropy: &dyn Entropy) -> Option<Vec<u8>> {
    let nonce = entropy::bytes::<NONCE_LEN>(entropy);
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body).ok()?;
    let mut sealed = nonce.to_vec();
    sealed.append(&mut body);
    Some(sealed)
}

fn open(key: &LessSafeKey, aad: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = key.open_in_place(nonce, Aad::from(aad), &mut body).ok()?.len();
    body.truncate(plain);
    Some(body)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::region::Region;
    use crate::domain::signing_key::{KeyLife, SigningAlgorithm};
    use crate::entropy::SeededEntropy;

    fn row(generation: i64) -> Place {
        let life = KeyLife {
            published_at: DateTime::UNIX_EPOCH,
            sign_from: DateTime::UNIX_EPOCH,
            sign_until: DateTime::UNIX_EPOCH,
            remove_at: DateTime::UNIX_EPOCH,
            revoked_at: None,
        };
        let region = Region::parse("local").expect("lawful");
        let algorithm = SigningAlgorithm::Es256;
        Place::signing_key(&SigningKey { kid: "kid".to_owned(), region, generation, algorithm, life })
    }

    #[test]
    fn only_the_same_row_under_the_same_kek_opens() -> Result<(), SealingError> {
        let entropy = SeededEntropy::default();
        let keks = KekList::new(&[1; 32], &[]);
        let sealed = keks.seal(&row(1), b"private", &entropy)?;
        assert_eq!(keks.open(&row(1), keks.primary_id(), &sealed)?.as_slice(), b"private");
        assert!(matches!(keks.open(&row(2), keks.primary_id(), &sealed), Err(SealingError::Broken(_))));
        let other = KekList::new(&[2; 32], &[]);
        assert!(matches!(
            other.open(&row(1), keks.primary_id(), &sealed),
            Err(SealingError::NoSuchKek { .. })
        ));
        let both = KekList::new(&[2; 32], &[Zeroizing::new([1; 32])]);
        assert_eq!(both.open(&row(1), keks.primary_id(), &sealed)?.as_slice(), b"private");
        let mut altered = sealed.clone();
        altered.private[20] ^= 1;
        assert!(keks.open(&row(1), keks.primary_id(), &altered).is_err());
        Ok(())
    }

    #[test]
    fn a_data_key_that_is_wrapped_anew_opens_the_same_value_under_the_new_kek_only()
    -> Result<(), SealingError> {
        let entropy = SeededEntropy::default();
        let (old, new) = (KekList::new(&[1; 32], &[]), KekList::new(&[2; 32], &[]));
        let both = KekList::new(&[2; 32], &[Zeroizing::new([1; 32])]);
        assert_eq!(both.ids(), [new.primary_id(), old.primary_id()]);
        let mut sealed = old.seal(&row(1), b"private", &entropy)?;
        let before = sealed.clone();
        sealed.data_key = both.rewrap(&row(1), old.primary_id(), &sealed.data_key, &entropy)?;
        assert_eq!(sealed.private, before.private);
        assert_eq!(new.open(&row(1), new.primary_id(), &sealed)?.as_slice(), b"private");
        // The new one under the old name, or the old one under the new name.
        assert!(both.open(&row(1), old.primary_id(), &sealed).is_err());
        assert!(both.open(&row(1), new.primary_id(), &before).is_err());
        assert!(matches!(
            new.rewrap(&row(1), old.primary_id(), &before.data_key, &entropy),
            Err(SealingError::NoSuchKek { .. })
        ));
        assert!(matches!(
            both.rewrap(&row(1), new.primary_id(), &before.data_key, &entropy),
            Err(SealingError::Broken(_))
        ));
        Ok(())
    }

    #[test]
    fn a_value_is_sealed_anew_each_time() -> Result<(), SealingError> {
        let (keks, entropy) = (KekList::new(&[1; 32], &[]), SeededEntropy::default());
        let [one, other] =
            [keks.seal(&row(1), b"private", &entropy)?, keks.seal(&row(1), b"private", &entropy)?];
        for (one, other) in [(&one.private, &other.private), (&one.data_key, &other.data_key)] {
            assert_ne!(one.get(..NONCE_LEN), other.get(..NONCE_LEN), "a nonce was used twice");
            assert_ne!(one, other);
        }
        Ok(())
    }

    #[test]
    fn keys_are_exactly_32_bytes() {
        assert!(parse_key("kek", &URL_SAFE_NO_PAD.encode([7; 32])).is_ok());
        assert!(parse_key("kek", &format!("{}\n", URL_SAFE.encode([7; 32]))).is_ok());
        for text in ["", "short", &URL_SAFE_NO_PAD.encode([7; 31]), &URL_SAFE_NO_PAD.encode([7; 33])] {
            assert!(parse_key("kek", text).is_err());
        }
    }
}
