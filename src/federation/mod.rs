//! Other issuers whose tokens may prove a principal: which ones, and their public keys.
//!
//! Only issuers that the configuration names are ever asked, by their exact name, at addresses of their own. Keys are
//! fetched when they are first needed, by one request at a time for each issuer, and kept; an issuer that does not
//! answer slows its own callers only, and only now and then.

mod reach;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::IntCounterVec;
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};
use ureq::http::Uri;

use self::reach::Reach;

use crate::clock::Clock;
use crate::domain::ids::TenantId;
use crate::https_client;
use crate::metrics::Metrics;
use crate::signing::foreign_keys::{self, ForeignKeys};
use crate::signing::public_key::PublicKey;

/// For discovery and keys together.
const DEADLINE: Duration = Duration::from_secs(2);
/// Keys older than this are fetched again, so that one which the issuer took back does not live on here.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Keys that can't be fetched again are used for this long.
const OLDEST: Duration = Duration::from_secs(24 * 3600);
/// Between two attempts, whatever tokens come: unknown kids must not turn this service against an issuer.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// An issuer as the operator names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// `iss` of its tokens, to the letter; https.
    pub issuer: String,
    /// PEM of the CAs that its server's certificate must come from; the public ones when absent.
    pub ca_file: Option<PathBuf>,
    /// Where its keys are, when it has no discovery document or keeps them on another host.
    pub jwks_uri: Option<String>,
    /// `aud` of its access tokens that the API takes as they are, in place of a management token; none when absent.
    pub bearer_audience: Option<String>,
    /// The one tenant whose principals these tokens may be of: an issuer can write any `tid`.
    pub bearer_tenant: Option<TenantId>,
    /// Its host may have an address that is not public: private, link-local or loopback.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// It may be asked over plain HTTP, at loopback addresses only.
    #[serde(default)]
    pub allow_plain_http: bool,
}

impl TrustedIssuer {
    /// # Errors
    /// What is wrong with the entry.
    pub fn check(&self) -> Result<(), String> {
        for url in std::iter::once(&self.issuer).chain(&self.jwks_uri) {
            let Some(Origin { plain, host, .. }) = origin(url) else {
                return Err(format!("`{url}` must be an address that begins with https:// and a host"));
            };
            if plain && !(self.allow_plain_http && names_loopback(&host)) {
                return Err(format!(
                    "`{url}` must be an address that begins with https:// and a host; http:// needs allow_plain_http = true and a loopback address"
                ));
            }
        }
        if self.issuer.contains(['?', '#']) {
            // OpenID Connect Discovery, section 3.
            return Err(format!("`{}` must have neither query nor fragment", self.issuer));
        }
        if self.bearer_audience.as_deref() == Some("") {
            return Err("bearer_audience must not be empty: leave it out to take no access tokens".to_owned());
        }
        if self.bearer_audience.is_some() != self.bearer_tenant.is_some() {
            return Err("bearer_audience and bearer_tenant come together: name the tenant whose principals the tokens may be of".to_owned());
        }
        self.agent().map(drop)
    }

    fn agent(&self) -> Result<ureq::Agent, String> {
        let reach = Reach { private: self.allow_private_addresses };
        // A proxy's loopback addresses are not the ones of this machine.
        let may_proxy = !self.allow_plain_http;
        https_client::guarded_agent(self.ca_file.as_deref(), DEADLINE / 2, reach, may_proxy)
            .map_err(|error| error.to_string())
    }
}

/// The issuer's keys can't be had, now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of issuer {issuer} can't be fetched")]
pub struct IssuerUnavailable {
    pub issuer: String,
}

/// All trusted issuers.
pub struct Federation {
    issuers: HashMap<String, Arc<Issuer>>,
    clock: Arc<dyn Clock>,
}

struct Issuer {
    settings: TrustedIssuer,
    kept: ArcSwapOption<Kept>,
    /// Held while keys are asked for.
    last_attempt: Arc<Mutex<Option<Attempt>>>,
    fetches: IntCounterVec,
}

/// When by the steady clock: neither the cool-down nor the age of keys is a matter of the wall clock.
#[derive(Clone, Copy)]
struct Attempt {
    at: Duration,
    worked: bool,
}

struct Kept {
    keys: ForeignKeys,
    at: Duration,
}

impl Federation {
    pub fn new(issuers: &[TrustedIssuer], clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let fetches = &metrics.issuer_key_fetches;
        for issuer in issuers {
            for result in ["ok", "failed"] {
                fetches.with_label_values(&[&issuer.issuer, result]);
            }
        }
        let issuer = |settings: &TrustedIssuer| Issuer {
            settings: settings.clone(),
            kept: ArcSwapOption::empty(),
            last_attempt: Arc::default(),
            fetches: fetches.clone(),
        };
        let issuers = issuers.iter().map(|one| (one.issuer.clone(), Arc::new(issuer(one)))).collect();
        Self { issuers, clock }
    }

    pub fn trusts(&self, issuer: &str) -> bool {
        self.issuers.contains_key(issuer)
    }

    /// Whether any issuer's access tokens are taken as they are.
    pub fn takes_bearers(&self) -> bool {
        self.issuers.values().any(|issuer| issuer.settings.bearer_audience.is_some())
    }

    /// `aud` of this issuer's access tokens that are taken as they are, and whose they may be.
    pub fn bearers_of(&self, issuer: &str) -> Option<(&str, TenantId)> {
        let settings = &self.issuers.get(issuer)?.settings;
        Some((settings.bearer_audience.as_deref()?, settings.bearer_tenant?))
    }

    /// The issuer's key of this name; `None` when the issuer has no such key, or is not one that is trusted.
    pub async fn key(&self, issuer: &str, kid: &str) -> Result<Option<Arc<PublicKey>>, IssuerUnavailable> {
        let Some(issuer) = self.issuers.get(issuer) else { return Ok(None) };
        let now = self.clock.steady();
        if let Some(key) = issuer.kept_key(kid, now, FRESH) {
            return Ok(Some(key));
        }
        let mut last_attempt = match Arc::clone(&issuer.last_attempt).try_lock_owned() {
            Ok(free) => free,
            Err(_) => match issuer.kept_key(kid, now, OLDEST) {
                // Someone is asking already; an older key does meanwhile.
                Some(key) => return Ok(Some(key)),
                None => Arc::clone(&issuer.last_attempt).lock_owned().await,
            },
        };
        // Whoever waited, or lost a race to the lock, may hold a time from before that attempt.
        let now = self.clock.steady();
        let recent = last_attempt.filter(|last| now.saturating_sub(last.at) < COOL_DOWN);
        let worked = match recent {
            Some(last) => last.worked,
            None => {
                // Stands for an attempt that ends by a panic.
                *last_attempt = Some(Attempt { at: now, worked: false });
                issuer.refresh(last_attempt, now).await
            }
        };
        match issuer.kept_key(kid, now, OLDEST) {
            Some(key) => Ok(Some(key)),
            None if worked => Ok(None),
            // It may be a new key of the issuer's, which can't be asked.
            None => Err(IssuerUnavailable { issuer: issuer.settings.issuer.clone() }),
        }
    }
}

impl Issuer {
    fn kept_key(&self, kid: &str, now: Duration, oldest: Duration) -> Option<Arc<PublicKey>> {
        let kept = self.kept.load();
        kept.as_ref().filter(|kept| now.saturating_sub(kept.at) < oldest)?.keys.get(kid).cloned()
    }

    /// Fetches the keys; when that fails the kept ones stay. Goes on to its end without its caller, who may go away, and
    /// until then nobody else attempts it.
    async fn refresh(self: &Arc<Self>, mut attempt: OwnedMutexGuard<Option<Attempt>>, now: Duration) -> bool {
        let issuer = Arc::clone(self);
        let fetching = tokio::task::spawn_blocking(move || {
            let fetched = fetch(&issuer.settings);
            let worked = fetched.is_ok();
            let result = if worked { "ok" } else { "failed" };
            issuer.fetches.with_label_values(&[&issuer.settings.issuer, result]).inc();
            match fetched {
                Ok(keys) => issuer.kept.store(Some(Arc::new(Kept { keys, at: now }))),
                Err(error) => issuer.warn(&error),
            }
            *attempt = Some(Attempt { at: now, worked });
            worked
        });
        fetching.await.unwrap_or_else(|error| {
            self.warn(&error.to_string());
            false
        })
    }

    fn warn(&self, error: &str) {
        tracing::warn!(issuer = self.settings.issuer, error, "the keys of an issuer can't be fetched");
    }
}

fn fetch(settings: &TrustedIssuer) -> Result<ForeignKeys, String> {
    let agent = settings.agent()?;
    let get = |url: &str| {
        let (status, text) =
            https_client::text(agent.get(url).call(), url).map_err(|error| error.to_string())?;
        match status {
            200 => Ok(text),
            _ => Err(format!("{url} answered {status}")),
        }
    };
    let jwks_uri = match &settings.jwks_uri {
        Some(uri) => uri.clone(),
        None => {
            let url = format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
            discovered(settings, &get(&url)?)?
        }
    };
    foreign_keys::parse(&get(&jwks_uri)?).map_err(|error| error.to_string())
}

/// Where the keys are, by the issuer's discovery document (OpenID Connect Discovery, section 4.3).
fn discovered(settings: &TrustedIssuer, document: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: String,
    }
    let found: Document = serde_json::from_str(document).map_err(|error| error.to_string())?;
    if found.issuer != settings.issuer {
        return Err(format!("its discovery document is of another issuer, {:?}", found.issuer));
    }
    if origin(&found.jwks_uri) != origin(&settings.issuer) {
        return Err(format!(
            "its keys are on another host, at {:?}: name that address as jwks_uri if it is right",
            found.jwks_uri
        ));
    }
    Ok(found.jwks_uri)
}

#[derive(Debug, PartialEq, Eq)]
struct Origin {
    /// http, not https.
    plain: bool,
    host: String,
    port: u16,
}

/// Of an http or https URL; not of one with a name before the host, which would hide which host it is.
fn origin(url: &str) -> Option<Origin> {
    let url: Uri = url.parse().ok()?;
    let (plain, usual) = match url.scheme_str()? {
        "https" => (false, 443),
        "http" => (true, 80),
        _ => return None,
    };
    let authority = url.authority()?;
    let host = authority.host();
    let port = match authority.as_str().strip_prefix(host)? {
        "" => usual,
        _ => authority.port_u16()?,
    };
    (!host.is_empty()).then(|| Origin { plain, host: host.to_ascii_lowercase(), port })
}

/// Whether this is an address of plain HTTP that an entry may permit.
pub fn is_plain_loopback(url: &str) -> bool {
    origin(url).is_some_and(|Origin { plain, host, .. }| plain && names_loopback(&host))
}

/// Whether the host is this machine by its name alone. Its addresses are looked at once more when it is connected to.
fn names_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://issuer.example/tenant";

    fn settings() -> TrustedIssuer {
        TrustedIssuer {
            issuer: ISSUER.to_owned(),
            ca_file: None,
            jwks_uri: None,
            bearer_audience: None,
            bearer_tenant: None,
            allow_private_addresses: false,
            allow_plain_http: false,
        }
    }

    #[test]
    fn keys_come_from_the_issuers_own_origin() {
        let document = |issuer: &str, uri: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#);
        let found = |issuer: &str, uri: &str| discovered(&settings(), &document(issuer, uri));
        assert_eq!(
            found(ISSUER, "https://issuer.example/keys"),
            Ok("https://issuer.example/keys".to_owned())
        );
        for uri in [
            "http://issuer.example/keys",
            "https://issuer.example:8443/keys",
            "https://issuer.example.evil/keys",
            "https://issuer.example@evil/keys",
            "https://evil?https://issuer.example/",
            "/keys",
        ] {
            assert!(found(ISSUER, uri).is_err(), "{uri}");
        }
        assert!(found("https://issuer.example/tenant/", "https://issuer.example/keys").is_err());
    }

    #[test]
    fn only_https_is_asked() {
        let check = |issuer: &str| TrustedIssuer { issuer: issuer.to_owned(), ..settings() }.check();
        assert_eq!(check(ISSUER), Ok(()));
        for issuer in [
            "http://issuer.example",
            "https://",
            "https:///keys",
            "https://issuer.example:99999",
            "https://issuer.example\\@evil",
            "https://user@issuer.example",
            "https://issuer.example?tenant",
            "https://issuer.example#tenant",
            "https://issuer example",
            "issuer.example",
            "",
        ] {
            assert!(check(issuer).is_err(), "{issuer}");
        }
        let plain = |issuer: &str| {
            TrustedIssuer { issuer: issuer.to_owned(), allow_plain_http: true, ..settings() }.check()
        };
        for issuer in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:80/tenant"] {
            assert!(check(issuer).is_err(), "{issuer}");
            assert_eq!(plain(issuer), Ok(()));
            assert!(is_plain_loopback(issuer));
        }
        for issuer in ["http://issuer.example", "http://10.0.0.1", "http://localhost.evil", "ftp://localhost"]
        {
            assert!(plain(issuer).is_err(), "{issuer}");
            assert!(!is_plain_loopback(issuer));
        }
        let no_ca = TrustedIssuer { ca_file: Some("/nowhere/ca.pem".into()), ..settings() };
        assert!(no_ca.check().is_err_and(|error| error.starts_with("/nowhere/ca.pem: ")));
    }
}
