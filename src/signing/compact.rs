//! JWS compact serialization (RFC 7515, section 7.1), read strictly: the one door for every token that comes in.
//!
//! What may stand in a header depends on the kind of token, and is a table here. Nothing is believed: whose key made the
//! signature, and what the claims must say, is for those who ask.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::public_key::{PublicKey, VerificationAlgorithm};
use crate::domain::claims::TOKEN_TYPE;
use crate::strict_json;

/// Longest token that is looked at, in bytes: an assertion with a chain in `x5c` has some 10 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token can't be read. Constant texts: nothing of what was sent comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// What a token is shown as. A token of one kind is refused as another (RFC 8725, section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What this service mints (RFC 9068).
    OwnAccessToken,
    /// `client_assertion`, of the client itself or of an issuer that it is trusted by (RFC 7523, section 2.2).
    ClientAssertion,
    /// `subject_token` of a token exchange (RFC 8693).
    SubjectToken,
    /// Another issuer's access token, shown as a Bearer token.
    ForeignAccessToken,
    /// Any of these, for `wsts verify`, which lets nobody in.
    AnyJwt,
}

/// What the header of a kind may have. Whatever is not listed is refused: `crit` and the extensions that it names
/// (`b64`), `zip`, `enc`, `cty` of a token in a token, and keys or addresses of keys (`jwk`, `jku`, `x5u`).
struct Rules {
    members: &'static [&'static str],
    other_member: Malformed,
    types: &'static [&'static str],
    /// Media types know no case (RFC 7515, section 4.1.9); what this service writes itself has one form.
    any_case: bool,
    typ_required: bool,
    other_type: Malformed,
    kid_required: bool,
    /// `azure.identity.aio` pads all three parts, and signs the padded text.
    may_be_padded: bool,
}

impl Kind {
    const fn rules(self) -> Rules {
        let foreign = Rules {
            members: &["alg", "typ", "kid", "x5t", "x5t#S256"],
            other_member: Malformed("the header has other members than alg, typ, kid, x5t and x5t#S256"),
            types: &["JWT"],
            any_case: true,
            typ_required: false,
            other_type: Malformed("typ is not JWT"),
            kid_required: true,
            may_be_padded: false,
        };
        match self {
            Self::OwnAccessToken => Rules {
                members: &["alg", "typ", "kid"],
                other_member: Malformed("the header has other members than alg, typ and kid"),
                types: &[TOKEN_TYPE],
                any_case: false,
                typ_required: true,
                other_type: Malformed("typ is not at+jwt"),
                ..foreign
            },
            Self::ClientAssertion => Rules {
                // The chain in `x5c` comes from clients that renew certificates under one name; it is never used.
                members: &["alg", "typ", "kid", "x5t", "x5t#S256", "x5c"],
                other_member: Malformed(
                    "the header has other members than alg, typ, kid, x5t, x5t#S256 and x5c",
                ),
                types: &["JWT", "client-authentication+jwt"],
                other_type: Malformed("typ is neither JWT nor client-authentication+jwt"),
                kid_required: false,
                may_be_padded: true,
                ..foreign
            },
            Self::SubjectToken => foreign,
            Self::ForeignAccessToken => Rules {
                // RFC 9068, section 4; Entra says JWT, and puts `nonce` into tokens that are for Graph alone.
                types: &["JWT", TOKEN_TYPE, "application/at+jwt"],
                typ_required: true,
                other_type: Malformed("typ is neither JWT nor at+jwt"),
                ..foreign
            },
            Self::AnyJwt => Rules {
                types: &["JWT", TOKEN_TYPE, "application/at+jwt", "client-authentication+jwt"],
                other_type: Malformed("typ is none of JWT, at+jwt and client-authentication+jwt"),
                ..foreign
            },
        }
    }
}

/// What the header calls the key by; at least one is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyName {
    pub kid: Option<String>,
    /// SHA-1 thumbprint of the certificate.
    pub x5t: Option<Vec<u8>>,
    /// SHA-256 thumbprint of the certificate.
    pub x5t_s256: Option<Vec<u8>>,
}

/// A token that was read and not yet believed.
pub struct Compact<'a> {
    pub algorithm: VerificationAlgorithm,
    pub key: KeyName,
    /// No member comes twice, at any depth.
    pub payload: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    pub fn parse(kind: Kind, text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Malformed("longer than 16384 bytes"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed("not three parts with dots between them"));
        };
        let rules = kind.rules();
        let (algorithm, key) =
            rules.read_header(&rules.object(header, "the header is not one JSON object in base64url")?)?;
        let payload = rules.object(payload, "the payload is not one JSON object in base64url")?;
        let signed = text.get(..text.len() - signature.len() - 1).unwrap_or_default();
        let signature = rules.decode(signature, "the signature is not base64url")?;
        Ok(Self { algorithm, key, payload, signed, signature })
    }

    /// Whether this key made the signature, and may be used with the algorithm.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature)
    }
}

impl Rules {
    fn read_header(
        &self,
        header: &Map<String, Value>,
    ) -> Result<(VerificationAlgorithm, KeyName), Malformed> {
        if header.keys().any(|name| !self.members.contains(&name.as_str())) {
            return Err(self.other_member);
        }
        // A member of the wrong type is wrong, `null` too, and never as good as absent.
        let text = |name: &str, what: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Malformed(what)),
        };
        let algorithm = text("alg", "alg is no text")?.ok_or(Malformed("the header has no alg"))?;
        let algorithm = VerificationAlgorithm::parse(algorithm)
            .ok_or(Malformed("alg is none of RS256, PS256, ES256 and EdDSA"))?;
        match text("typ", "typ is no text")? {
            None if self.typ_required => return Err(self.other_type),
            Some(typ) if !self.is_lawful_type(typ) => return Err(self.other_type),
            _ => {}
        }
        if header.get("x5c").is_some_and(|chain| !is_list_of_texts(chain)) {
            return Err(Malformed("x5c is no list of texts"));
        }
        let thumbprint = |name| {
            let text = text(name, "a thumbprint is no text")?;
            text.map(|text| self.decode(text, "a thumbprint is not base64url")).transpose()
        };
        let kid = text("kid", "kid is no text")?.map(str::to_owned);
        let key = KeyName { kid, x5t: thumbprint("x5t")?, x5t_s256: thumbprint("x5t#S256")? };
        match key.kid {
            None if self.kid_required => Err(Malformed("the header names no key by kid")),
            None if key == KeyName::default() => {
                Err(Malformed("the header names no key by kid, x5t or x5t#S256"))
            }
            _ => Ok((algorithm, key)),
        }
    }

    fn is_lawful_type(&self, typ: &str) -> bool {
        self.types
            .iter()
            .any(|lawful| if self.any_case { lawful.eq_ignore_ascii_case(typ) } else { *lawful == typ })
    }

    fn object(&self, part: &str, what: &'static str) -> Result<Map<String, Value>, Malformed> {
        strict_json::object(&self.decode(part, what)?).ok_or(Malformed(what))
    }

    /// Base64url without padding, or where the kind allows it with all of its padding, and zero bits at the end
    /// (RFC 7515, section 2; RFC 4648, section 3.5).
    fn decode(&self, text: &str, what: &'static str) -> Result<Vec<u8>, Malformed> {
        let engine = if self.may_be_padded && text.ends_with('=') { URL_SAFE } else { URL_SAFE_NO_PAD };
        engine.decode(text).map_err(|_| Malformed(what))
    }
}

fn is_list_of_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}

/// A time of the claims, in seconds since 1970 (RFC 7519, section 2).
pub fn seconds(
    claims: &Map<String, Value>,
    name: &str,
    what: &'static str,
) -> Result<Option<f64>, Malformed> {
    match claims.get(name) {
        None => Ok(None),
        // Up to the year 5138; a larger number is milliseconds or nonsense.
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..1e11).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(Malformed(what)),
        },
    }
}
