//! The configuration: file < `WSTS_SECTION__KEY` < flags. Unknown keys are errors, units stand in the names, secrets
//! come from a file or the environment and never show in `Debug`.

mod limits;
mod log;
mod oauth;
mod regions;
mod secrets;
mod storage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono::Duration;
use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use serde::Deserialize;

pub use self::limits::Limits;
pub use self::log::{Log, LogFormat};
pub use self::oauth::{AssertionUse, OAuth};
pub use self::regions::{ListedRegion, RegionSection, addresses};
pub use self::secrets::{Key, Secrets};
pub use self::storage::{Place, Storage};

use crate::domain::lifetime::TokenLifetime;
use crate::domain::signing_key::{KeyPolicy, SigningAlgorithm};
use crate::federation::TrustedIssuer;
use crate::http::proxies::Network;

/// Everything an operator decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    #[serde(default)]
    pub ops: Ops,
    pub region: RegionSection,
    /// Every region of the deployment, this one among them; empty when it is the only one.
    #[serde(default)]
    pub regions: Vec<ListedRegion>,
    pub storage: Storage,
    #[serde(default)]
    pub secrets: Secrets,
    #[serde(default)]
    pub tokens: Tokens,
    #[serde(default)]
    pub keys: Keys,
    #[serde(default)]
    pub oauth: OAuth,
    #[serde(default)]
    pub federation: FederationSection,
    #[serde(default)]
    pub directory: DirectorySection,
    #[serde(default)]
    pub audit: AuditSection,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    /// `iss`, and the base of every link: scheme and host, no trailing slash.
    pub issuer: String,
    /// Plain HTTP when absent, which only a loopback address may have.
    pub tls: Option<Tls>,
    /// Addresses and blocks whose `X-Forwarded-For` is believed.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// Plain HTTP on any address, for `trusted_proxies` alone: connections of others are cut.
    #[serde(default)]
    pub plain_http_behind_proxies: bool,
    /// Threads that answer requests; one for each core when absent.
    pub workers: Option<usize>,
    /// After SIGTERM: how long new requests are still taken while `/readyz` says no, so that whoever distributes them
    /// turns elsewhere first.
    #[serde(default = "default_unready")]
    pub unready_seconds: u64,
    /// How long running requests may then take to end.
    #[serde(default = "default_drain")]
    pub drain_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM, the server's certificate first.
    pub certificate_file: PathBuf,
    /// PEM, PKCS#8 or SEC1.
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ops {
    pub listen: SocketAddr,
    /// Nobody proves anything there, so an address that others reach is a decision.
    pub allow_remote: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    pub default_lifetime_seconds: TokenLifetime,
    /// Leeway that gateways grant after `exp`.
    pub gateway_leeway_seconds: u32,
    /// Further audiences for which a management token is given.
    pub management_audiences: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    pub algorithm: SigningAlgorithm,
    pub lead_seconds: u32,
    pub window_seconds: u32,
    pub jwks_max_age_seconds: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FederationSection {
    /// Issuers that a federated credential may name. No other one is ever asked for keys.
    pub issuers: Vec<TrustedIssuer>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectorySection {
    pub max_principals: u64,
    pub max_webservices: u64,
    pub max_verified_tokens: u64,
    /// How long facts in memory serve while the database can't be asked whether they still hold.
    pub grace_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSection {
    /// Takes the records while the database can't; beside the SQLite file when absent. Each process needs its own.
    pub spool_file: Option<PathBuf>,
    /// The spool grows no larger; once it is full, no token is issued.
    pub spool_max_bytes: u64,
}

const fn default_unready() -> u64 {
    5
}

const fn default_drain() -> u64 {
    30
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)), allow_remote: false }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        // What Azure's SDKs ask for when they are not told of another cloud.
        let audiences = ["https://management.azure.com", "https://management.core.windows.net"];
        Self {
            default_lifetime_seconds: TokenLifetime::DEFAULT,
            gateway_leeway_seconds: 60,
            management_audiences: audiences.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            algorithm: SigningAlgorithm::Es256,
            lead_seconds: 24 * 3600,
            window_seconds: 30 * 24 * 3600,
            jwks_max_age_seconds: 300,
        }
    }
}

impl Default for DirectorySection {
    fn default() -> Self {
        Self {
            max_principals: 100_000,
            max_webservices: 50_000,
            max_verified_tokens: 50_000,
            grace_seconds: 900,
        }
    }
}

impl Default for AuditSection {
    fn default() -> Self {
        // About a million and a half records.
        Self { spool_file: None, spool_max_bytes: 1 << 30 }
    }
}

/// The configuration can't be used; the text names the key and where it stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Longer than this nobody waits for a stop.
const MAX_DRAIN_SECONDS: u64 = 3600;
/// A clock that is off by more is broken.
const MAX_LEEWAY_SECONDS: u32 = 600;
/// One full batch of records fits.
const MIN_SPOOL_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads a file and the environment over it, and checks every section.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        if !file.is_file() {
            return Err(ConfigError(format!(
                "no configuration file at {}: name one with --config",
                file.display()
            )));
        }
        // Only names with a section are settings; WSTS_CONFIG and the like belong to the command line.
        let environment = Env::prefixed("WSTS_").filter(|name| name.as_str().contains("__")).split("__");
        let config: Self = Figment::new()
            .merge(Toml::file_exact(file))
            .merge(environment)
            .extract()
            // figment's profile is no part of a setting's name.
            .map_err(|error| ConfigError(error.to_string().replace("\"default.", "\"")))?;
        config.check()?;
        Ok(config)
    }

    /// Refuses settings that contradict one another.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |what: String| Err(ConfigError(what));
        let issuer = &self.server.issuer;
        let host =
            issuer.strip_prefix("https://").or_else(|| issuer.strip_prefix("http://")).unwrap_or_default();
        if host.is_empty() || host.contains(['/', '?', '#', ' ', '@']) {
            return fail(format!("server.issuer must be https://HOST or https://HOST:PORT, not `{issuer}`"));
        }
        self.server.check_plain_http()?;
        if issuer.starts_with("http://") && !self.server.listen.ip().is_loopback() {
            return fail(
                "server.issuer must begin with https:// unless server.listen is a loopback address"
                    .to_owned(),
            );
        }
        if collide(self.server.listen, self.ops.listen) {
            return fail(format!(
                "ops.listen and server.listen are the same address, {}: give each a port of its own",
                self.ops.listen
            ));
        }
        if !self.ops.listen.ip().is_loopback() && !self.ops.allow_remote {
            return fail(format!(
                "ops.listen {} is no loopback address, and whoever reaches it reads the metrics: set ops.allow_remote = true if only your Prometheus and health checks do",
                self.ops.listen
            ));
        }
        for (name, seconds) in
            [("unready", self.server.unready_seconds), ("drain", self.server.drain_seconds)]
        {
            if seconds > MAX_DRAIN_SECONDS {
                return fail(format!("server.{name}_seconds must be at most {MAX_DRAIN_SECONDS}"));
            }
        }
        if self.server.workers == Some(0) {
            return fail("server.workers must be at least 1".to_owned());
        }
        if self.tokens.gateway_leeway_seconds > MAX_LEEWAY_SECONDS {
            return fail(format!("tokens.gateway_leeway_seconds must be at most {MAX_LEEWAY_SECONDS}"));
        }
        for (name, entries) in [
            ("directory.max_principals", self.directory.max_principals),
            ("directory.max_webservices", self.directory.max_webservices),
            ("directory.max_verified_tokens", self.directory.max_verified_tokens),
        ] {
            if entries == 0 {
                return fail(format!("{name} must be at least 1"));
            }
        }
        self.limits.check()?;
        self.storage.check()?;
        regions::check(&self.region, &self.regions)?;
        self.spool_file()?;
        if self.audit.spool_max_bytes < MIN_SPOOL_BYTES {
            return fail(format!("audit.spool_max_bytes must be at least {MIN_SPOOL_BYTES}"));
        }
        for (place, issuer) in self.federation.issuers.iter().enumerate() {
            if let Err(error) = issuer.check() {
                return fail(format!("federation.issuers[{place}]: {error}"));
            }
            if self.federation.issuers.iter().skip(place + 1).any(|other| other.issuer == issuer.issuer) {
                return fail(format!("federation.issuers: `{}` is named twice", issuer.issuer));
            }
            if self.is_base(&issuer.issuer) {
                // A token that this service issued would prove a principal for ever anew.
                return fail(format!("federation.issuers: `{}` is this service itself", issuer.issuer));
            }
        }
        self.check_keys()
    }

    /// Whether it is the address of this service, or of one of its regions, however it is spelled.
    fn is_base(&self, url: &str) -> bool {
        let plain = |url: &str| {
            let url = url.to_ascii_lowercase();
            let url = url.trim_end_matches('/');
            url.strip_suffix(":443").unwrap_or(url).to_owned()
        };
        let mut bases =
            std::iter::once(&self.server.issuer).chain(self.regions.iter().map(|region| &region.url));
        bases.any(|base| plain(base) == plain(url))
    }

    /// The lengths of the keys' lives, among themselves and beside the grace.
    fn check_keys(&self) -> Result<(), ConfigError> {
        let policy = self.key_policy();
        // A key whose creation a failover lost must not be signed with by who had read it (invariant I12).
        let least = u64::try_from(policy.least_lead().num_seconds()).unwrap_or_default();
        let least = least.saturating_add(self.directory.grace_seconds);
        if u64::from(self.keys.lead_seconds) < least {
            return Err(ConfigError(format!(
                "keys.lead_seconds must be at least {least}, the shortest lead and directory.grace_seconds together, not {}",
                self.keys.lead_seconds
            )));
        }
        policy.check().map_err(|error| ConfigError(error.to_string()))
    }

    /// # Errors
    /// There is no SQLite file to have it beside, and none is named.
    pub fn spool_file(&self) -> Result<PathBuf, ConfigError> {
        let beside = self.storage.sqlite_file.as_ref().map(|file| file.with_extension("spool"));
        self.audit.spool_file.clone().or(beside).ok_or_else(|| {
            ConfigError(
                "audit.spool_file is missing: name a file on a local disk, one for each process".to_owned(),
            )
        })
    }

    pub fn key_policy(&self) -> KeyPolicy {
        let seconds = |count: u32| Duration::seconds(count.into());
        KeyPolicy::new(
            seconds(self.keys.lead_seconds),
            seconds(self.keys.window_seconds),
            seconds(self.keys.jwks_max_age_seconds),
            seconds(TokenLifetime::MAX_SECONDS) + seconds(self.tokens.gateway_leeway_seconds),
        )
    }
}

impl Server {
    /// Plain HTTP is for this machine, or for proxies that are named.
    fn check_plain_http(&self) -> Result<(), ConfigError> {
        let behind_proxies = self.plain_http_behind_proxies;
        if behind_proxies && (self.tls.is_some() || self.trusted_proxies.is_empty()) {
            return Err(ConfigError(
                "server.plain_http_behind_proxies needs server.trusted_proxies, and no server.tls".to_owned(),
            ));
        }
        if self.tls.is_none() && !behind_proxies && !self.listen.ip().is_loopback() {
            return Err(ConfigError(
                "server.tls is missing: plain HTTP is served on a loopback address only, or behind proxies (server.plain_http_behind_proxies)"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// Whether the second listener could not be had beside the first. Port 0 is another one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && overlap
}
