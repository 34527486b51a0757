//! The secrets of the configuration: the KEKs and the pepper, each from the environment or from a file. Never in `Debug`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::ConfigError;
use crate::signing::sealing::{self, KEY_BYTES};

/// 32 bytes that wipe themselves.
pub type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Each either in the environment or in a file. A KEK may be a list: the first seals, all open.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    pub kek: Option<String>,
    pub kek_file: Option<PathBuf>,
    pub pepper: Option<String>,
    pub pepper_file: Option<PathBuf>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Option<String>| value.as_ref().map(|_| "redacted");
        f.debug_struct("Secrets")
            .field("kek", &shown(&self.kek))
            .field("kek_file", &self.kek_file)
            .field("pepper", &shown(&self.pepper))
            .field("pepper_file", &self.pepper_file)
            .finish()
    }
}

impl Secrets {
    /// The KEKs, the primary first. A file holds one a line.
    pub fn keks(&self) -> Result<(Key, Vec<Key>), ConfigError> {
        let text = secret("kek", self.kek.as_deref(), self.kek_file.as_deref())?;
        let mut keys = text.split([',', '\n', ' ']).map(str::trim).filter(|part| !part.is_empty());
        let parse = |part: &str| {
            sealing::parse_key("secrets.kek", part).map_err(|error| ConfigError(error.to_string()))
        };
        let primary = parse(keys.next().unwrap_or_default())?;
        Ok((primary, keys.map(parse).collect::<Result<_, _>>()?))
    }

    pub fn pepper(&self) -> Result<Key, ConfigError> {
        let text = secret("pepper", self.pepper.as_deref(), self.pepper_file.as_deref())?;
        sealing::parse_key("secrets.pepper", &text).map_err(|error| ConfigError(error.to_string()))
    }

    /// Files of secrets that every user of the machine may read, for people. A container's secrets are often mounted so,
    /// in a place that nobody else enters; hence it is said and not refused.
    pub fn exposed(&self) -> Vec<String> {
        let files = [("kek_file", &self.kek_file), ("pepper_file", &self.pepper_file)];
        let files = files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)));
        files
            .filter(|(_, file)| is_for_others(file))
            .map(|(name, file)| {
                format!(
                    "secrets.{name}: {} may be read by every user of this machine: `chmod 0400` it, unless its folder keeps them out",
                    file.display()
                )
            })
            .collect()
    }
}

fn is_for_others(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
}

fn secret(name: &str, value: Option<&str>, file: Option<&Path>) -> Result<Zeroizing<String>, ConfigError> {
    match (value, file) {
        (Some(value), None) => Ok(Zeroizing::new(value.to_owned())),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map(Zeroizing::new)
            .map_err(|error| ConfigError(format!("secrets.{name}_file: {}: {error}", file.display()))),
        (Some(_), Some(_)) => {
            Err(ConfigError(format!("secrets.{name} and secrets.{name}_file: give one of them")))
        }
        (None, None) => {
            let variable = name.to_ascii_uppercase();
            Err(ConfigError(format!(
                "secrets.{name}_file is missing: name a file, or set WSTS_SECRETS__{variable} or WSTS_SECRETS__{variable}_FILE"
            )))
        }
    }
}

// A test has no caller to hand an error to.
#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";

    fn of(kek: &str) -> Secrets {
        Secrets { kek: Some(kek.to_owned()), pepper: Some(ONE.to_owned()), ..Secrets::default() }
    }

    #[test]
    fn the_first_of_a_list_is_the_primary() {
        for separator in [",", "\n", "\r\n", ", ", "\n\n"] {
            let (primary, others) = of(&format!("{ONE}{separator}{TWO}\n")).keks().unwrap();
            assert_eq!((*primary, others.len(), *others[0]), ([1; 32], 1, [2; 32]), "{separator:?}");
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_secret() {
        assert!(!format!("{:?}", of(ONE)).contains(ONE));
        for wrong in
            [format!("{ONE}A"), format!("{TWO},{}", &ONE[1..]), "correct horse battery staple".to_owned()]
        {
            let error = of(&wrong).keks().unwrap_err();
            for part in [&ONE[1..], TWO, "horse"] {
                assert!(!error.to_string().contains(part) && !format!("{error:?}").contains(part), "{error}");
            }
        }
    }
}
