//! A webservice and the rules of its auth mode, judged on the resulting state and never on one change of it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::lifetime::TokenLifetime;
use super::region::Region;
use super::resource::WebserviceId;
use super::text;

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComputeType {
    #[serde(rename = "AKS")]
    Aks,
    #[serde(rename = "ACI")]
    Aci,
    Kubernetes,
}

/// How callers of the webservice are checked. Key and token never together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    Key,
    Token,
    None,
}

/// The compute type does not offer this auth mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an {compute} webservice can't have auth mode `{mode}`: {compute} offers `key` and `none` only")]
pub struct AuthModeRefused {
    compute: ComputeType,
    mode: AuthMode,
}

impl ComputeType {
    pub const ALL: [Self; 3] = [Self::Aks, Self::Aci, Self::Kubernetes];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aks => "AKS",
            Self::Aci => "ACI",
            Self::Kubernetes => "Kubernetes",
        }
    }

    /// Matched without case, as the SDKs send it in several spellings.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compute| compute.as_str().eq_ignore_ascii_case(text))
    }

    /// What a webservice gets when its registration names no auth mode.
    pub const fn default_auth_mode(self) -> AuthMode {
        match self {
            Self::Aks | Self::Kubernetes => AuthMode::Key,
            Self::Aci => AuthMode::None,
        }
    }
}

impl AuthMode {
    pub const ALL: [Self; 3] = [Self::Key, Self::Token, Self::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::None => "none",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// The mode of a webservice whose compute type and (optional) wish are known.
    pub fn resolve(compute: ComputeType, wish: Option<Self>) -> Result<Self, AuthModeRefused> {
        match (compute, wish.unwrap_or(compute.default_auth_mode())) {
            // Azure never offered tokens on container instances, and its SDK refuses to ask for them.
            (ComputeType::Aci, mode @ Self::Token) => Err(AuthModeRefused { compute, mode }),
            (_, mode) => Ok(mode),
        }
    }
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One deployed model behind a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webservice {
    pub id: WebserviceId,
    pub compute_type: ComputeType,
    pub auth_mode: AuthMode,
    /// Where its cluster runs.
    pub compute_region: Region,
    /// Where callers send their data; shown to clients, never called by this service.
    pub scoring_uri: Option<String>,
    /// Life of its tokens; the deployment's default when absent.
    pub token_lifetime: Option<TokenLifetime>,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Where a webservice answers: an http or https address without spaces and control characters.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ScoringUri(String);

/// The text is no [`ScoringUri`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scoring URI begins with https:// or http:// and has at most 2048 printable ASCII characters")]
pub struct NotAScoringUri;

impl ScoringUri {
    pub fn into_text(self) -> String {
        self.0
    }
}

impl TryFrom<String> for ScoringUri {
    type Error = NotAScoringUri;

    fn try_from(text: String) -> Result<Self, NotAScoringUri> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let lawful =
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()));
        if lawful && text.len() <= 2048 { Ok(Self(text)) } else { Err(NotAScoringUri) }
    }
}

impl Webservice {
    /// Whether its description and tags are lawful texts; the error names the one that is not.
    pub fn check_texts(&self) -> Result<(), String> {
        let description = self.description.as_deref().map_or(Ok(()), text::check_description);
        description.map_err(|rule| format!("its description must have {rule}"))?;
        for (name, value) in &self.tags {
            text::check_name(name).map_err(|rule| format!("the name of a tag must have {rule}"))?;
            text::check_description(value)
                .map_err(|rule| format!("the value of its tag `{name}` must have {rule}"))?;
        }
        Ok(())
    }

    /// Whether the two differ in anything but their times.
    pub fn same_settings(&self, other: &Self) -> bool {
        Self { created_at: other.created_at, updated_at: other.updated_at, ..self.clone() } == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_refusals_of_each_compute_type() {
        use AuthMode as M;
        use ComputeType as C;
        let table = [
            (C::Aks, None, Some(M::Key)),
            (C::Aks, Some(M::Token), Some(M::Token)),
            (C::Kubernetes, None, Some(M::Key)),
            (C::Kubernetes, Some(M::Token), Some(M::Token)),
            (C::Aci, None, Some(M::None)),
            (C::Aci, Some(M::Key), Some(M::Key)),
            (C::Aci, Some(M::Token), None),
        ];
        for (compute, wish, expected) in table {
            assert_eq!(M::resolve(compute, wish).ok(), expected, "{compute} {wish:?}");
        }
    }
}
