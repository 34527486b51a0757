//! Region names: a closed set in practice, so they may be metric labels.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Name of a region: `[a-z0-9-]`, 1 to 32 characters, such as `westeurope`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Region(Arc<str>);

/// The text is outside the rule for region names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a region name: use 1 to 32 of a-z, 0-9 and -")]
pub struct NotARegion(pub String);

impl Region {
    /// Folds to lower case, as ARM does with locations.
    pub fn parse(text: &str) -> Result<Self, NotARegion> {
        let name = text.to_ascii_lowercase();
        let lawful = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if lawful { Ok(Self(name.into())) } else { Err(NotARegion(text.chars().take(64).collect())) }
    }

    /// The name, shared and not copied.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A region and where it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionAddress {
    pub name: Region,
    /// Public base address, scheme and host without a trailing slash; `None` where the configuration names none.
    pub url: Option<String>,
}

/// The regions of a deployment, as its configuration lists them. Empty when there is only one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Regions(Vec<RegionAddress>);

impl Regions {
    pub fn new(listed: Vec<RegionAddress>) -> Self {
        Self(listed)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &RegionAddress> {
        self.0.iter()
    }

    /// Where a region answers, if that is known.
    pub fn url_of(&self, region: &Region) -> Option<&str> {
        self.0.iter().find(|listed| listed.name == *region)?.url.as_deref()
    }

    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|listed| listed.url.as_deref())
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&<std::borrow::Cow<'de, str>>::deserialize(deserializer)?)
            .map_err(serde::de::Error::custom)
    }
}
