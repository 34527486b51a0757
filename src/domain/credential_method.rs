//! The ways in which a principal proves itself, and which of them it is held to.

use serde::{Deserialize, Serialize};

/// One way, by the word that the audit has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialMethod {
    ClientSecret,
    /// A certificate or a public key (RFC 7523).
    PrivateKeyJwt,
    /// A token of another issuer, however it is sent.
    FederatedCredential,
}

impl CredentialMethod {
    pub const ALL: [Self; 3] = [Self::ClientSecret, Self::PrivateKeyJwt, Self::FederatedCredential];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecret => "client_secret",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::FederatedCredential => "federated_credential",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::ClientSecret => 1,
            Self::PrivateKeyJwt => 2,
            Self::FederatedCredential => 4,
        }
    }
}

/// The ways by which one principal may come in: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<CredentialMethod>", into = "Vec<CredentialMethod>")]
pub struct AllowedMethods(u8);

/// No way at all is said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names no method: name at least one, or disable the principal")]
pub struct NoMethod;

impl AllowedMethods {
    pub const ALL: Self = Self(7);

    pub const fn has(self, method: CredentialMethod) -> bool {
        self.0 & method.bit() != 0
    }

    /// As `Display` writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let methods: Option<Vec<_>> = text.split(',').map(CredentialMethod::parse).collect();
        Self::try_from(methods?).ok()
    }

    fn iter(self) -> impl Iterator<Item = CredentialMethod> {
        CredentialMethod::ALL.into_iter().filter(move |method| self.has(*method))
    }
}

impl Default for AllowedMethods {
    fn default() -> Self {
        Self::ALL
    }
}

impl TryFrom<Vec<CredentialMethod>> for AllowedMethods {
    type Error = NoMethod;

    fn try_from(methods: Vec<CredentialMethod>) -> Result<Self, NoMethod> {
        match methods.into_iter().fold(0, |bits, method| bits | method.bit()) {
            0 => Err(NoMethod),
            bits => Ok(Self(bits)),
        }
    }
}

impl From<AllowedMethods> for Vec<CredentialMethod> {
    fn from(methods: AllowedMethods) -> Self {
        methods.iter().collect()
    }
}

/// As a line of text, with commas.
impl std::fmt::Display for AllowedMethods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.iter().map(CredentialMethod::as_str).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_a_set_and_written_in_one_order() {
        let read = |text: &str| serde_json::from_str::<AllowedMethods>(text).ok();
        let two = read(r#"["federated_credential","private_key_jwt","federated_credential"]"#);
        let written = two.and_then(|methods| serde_json::to_string(&methods).ok());
        assert_eq!(written.as_deref(), Some(r#"["private_key_jwt","federated_credential"]"#));
        assert_eq!(
            two.map(|methods| CredentialMethod::ALL.map(|one| methods.has(one))),
            Some([false, true, true])
        );
        assert_eq!(
            read(r#"["client_secret","private_key_jwt","federated_credential"]"#),
            Some(AllowedMethods::ALL)
        );
        for methods in [two, Some(AllowedMethods::ALL)] {
            assert_eq!(methods.and_then(|some| AllowedMethods::parse(&some.to_string())), methods);
        }
        for wrong in ["", "client_secret,", "client_secret, private_key_jwt", "none"] {
            assert_eq!(AllowedMethods::parse(wrong), None, "{wrong}");
        }
        for wrong in ["[]", "null", r#""client_secret""#, r#"["none"]"#, r#"["Client_Secret"]"#, "{}", "[1]"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
