//! The form of a client secret: `wsts_` + 43 characters (256 random bits) + 6 characters of checksum.
//!
//! The prefix lets a scanner find a leaked secret; the checksum tells a mistyped one from a wrong one
//! before anything is hashed. What the digest is made with belongs to `signing::sealing`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Every secret of this service begins so.
pub const PREFIX: &str = "wsts_";
/// Random bytes in a secret.
pub const RANDOM_BYTES: usize = 32;

const BODY_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Length of a whole secret in bytes.
pub const LENGTH: usize = PREFIX.len() + BODY_CHARS + CHECKSUM_CHARS;

/// HMAC-SHA-256 of a secret under the pepper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest(pub [u8; 32]);

/// A secret in the clear: made here, shown once, wiped when dropped.
pub struct PlainSecret(Zeroizing<String>);

impl PlainSecret {
    /// Makes a secret of 256 random bits.
    pub fn from_random(random: &[u8; RANDOM_BYTES]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(LENGTH));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(random, &mut text);
        let sum = checksum(&text);
        text.push_str(&sum);
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part that may be shown again: the prefix and three characters.
    pub fn hint(&self) -> String {
        self.0.chars().take(PREFIX.len() + 3).collect()
    }
}

impl std::fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlainSecret(redacted)")
    }
}

/// Whether the text has the form of a secret made here. Says nothing about whose it is.
pub fn is_well_formed(text: &str) -> bool {
    text.len() == LENGTH && text.starts_with(PREFIX) && text.is_char_boundary(LENGTH - CHECKSUM_CHARS) && {
        let (body, sum) = text.split_at(LENGTH - CHECKSUM_CHARS);
        checksum(body) == sum
    }
}

/// CRC-32 (IEEE 802.3) of the text in base64url: against typing errors, not against forgers.
fn checksum(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            // The reflected polynomial, applied when the bit that falls out is set.
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    URL_SAFE_NO_PAD.encode((!crc).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32() {
        // The check value of CRC-32/ISO-HDLC for "123456789" is cbf43926.
        assert_eq!(checksum("123456789"), URL_SAFE_NO_PAD.encode([0xcb, 0xf4, 0x39, 0x26]));
    }

    proptest::proptest! {
        #[test]
        fn a_made_secret_is_well_formed_and_no_altered_one_is(random: [u8; 32], at in 0_usize..LENGTH) {
            let secret = PlainSecret::from_random(&random);
            proptest::prop_assert!(is_well_formed(secret.expose()));
            let mut bytes = secret.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            proptest::prop_assert!(!is_well_formed(&String::from_utf8_lossy(&bytes)));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", PlainSecret::from_random(&[7; 32])), "PlainSecret(redacted)");
    }
}
