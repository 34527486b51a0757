//! From a configuration to the use cases: the database, the secrets that belong to it, and what works on them.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::Duration;
use uuid::Uuid;

use super::{Parts, StartError};
use crate::audit::chain::{ChainKey, ChainMaker};
use crate::audit::spool::Spool;
use crate::audit::{Recorder, reading};
use crate::clock::WatchedClock;
use crate::config::{AssertionUse, Config, Place, addresses};
use crate::directory::verified::VerifiedTokens;
use crate::directory::{Capacity, Directory};
use crate::domain::audit::Actor;
use crate::domain::ids::ReplicaId;
use crate::domain::issuance::Policy;
use crate::domain::signing_key::KeyPolicy;
use crate::entropy;
use crate::federation::Federation;
use crate::metrics::Metrics;
use crate::services::admit::Admission;
use crate::services::check_access::CheckRecords;
use crate::services::guessing::Guessing;
use crate::services::keep_latencies::LatencyBook;
use crate::services::quota::Quotas;
use crate::services::report_regions::RegionsKept;
use crate::services::revoke_token::Feed;
use crate::services::rotate_signing_keys::RotationError;
use crate::services::use_assertion_once::UsedAssertions;
use crate::services::{Core, Settings};
use crate::signing::provider;
use crate::signing::sealing::{KekList, Pepper, hex};
use crate::signing::signer::KeyRing;
use crate::storage::postgres::PostgresStore;
use crate::storage::sqlite::SqliteStore;
use crate::storage::{Mutation, Store};

/// The use cases over the configured database, without any listener: for the command line. The spool belongs to the
/// process that serves, so a record that the database does not take is refused here.
pub async fn compose(config: &Config, parts: Parts) -> Result<Core, StartError> {
    compose_with(config, parts, false).await
}

/// The same with the spool, for the process that serves.
pub async fn serving(config: &Config, parts: Parts) -> Result<Core, StartError> {
    compose_with(config, parts, true).await
}

async fn compose_with(config: &Config, parts: Parts, spools: bool) -> Result<Core, StartError> {
    provider::install();
    // Before the database is touched: what can't be read there must not be made anew.
    let (primary, others) = config.secrets.keks()?;
    if spools {
        for what in config.secrets.exposed() {
            tracing::warn!("{what}");
        }
    }
    let keks = KekList::new(&primary, &others);
    let pepper_key = config.secrets.pepper()?;
    let pepper = Pepper::new(&pepper_key);
    let store: Arc<dyn Store> = match config.storage.place()? {
        Place::Sqlite(file) => Arc::new(SqliteStore::open(file).await?),
        Place::Postgres(settings) => Arc::new(PostgresStore::open(&settings).await?),
    };
    let spool = if spools { Some(open_spool(store.as_ref(), config, &parts).await?) } else { None };
    check_secrets(store.as_ref(), &pepper, &keks).await?;
    check_issuer(store.as_ref(), &config.server.issuer).await?;
    let region = config.region.name.clone();
    let metrics = Arc::new(Metrics::new(&region).map_err(|error| StartError::Other(error.to_string()))?);
    for (home, compute) in store.regions().await? {
        metrics.pair(home.as_str(), compute.as_str());
    }
    let clock = Arc::new(WatchedClock::new(parts.clock));
    let maker = ChainMaker {
        key: ChainKey::derive(pepper_key.as_slice()),
        region: region.clone(),
        clock: clock.clone(),
        entropy: Arc::clone(&parts.entropy),
    };
    let newest = reading::newest_link(store.as_ref()).await?;
    let recorder = Recorder::new(Arc::clone(&store), Arc::clone(&metrics), maker, newest, spool);
    let directory = Directory::open(Arc::clone(&store), capacity(config)).await?;
    let ring = KeyRing::load(&[], &region, &keks, clock.steady()).map_err(RotationError::from)?;
    let replica_id = ReplicaId::from_uuid(entropy::random_uuid(parts.entropy.as_ref()));
    let latencies = LatencyBook::new(replica_id.uuid());
    let limits = &config.limits;
    let core = Core {
        settings: settings(config, parts.key_policy),
        admission: Admission::new(limits.max_waiting_tokens, limits.max_refusals_per_second),
        check_records: CheckRecords::new(limits.max_recorded_checks_per_second),
        guessing: Guessing::new(limits.max_failures_per_minute, limits.max_failures_per_second_in_all),
        quotas: Quotas::new(limits.max_tokens_per_principal_per_minute, config.directory.max_principals),
        store,
        directory,
        verified: VerifiedTokens::new(config.directory.max_verified_tokens),
        verified_elsewhere: VerifiedTokens::new(config.directory.max_verified_tokens),
        used_assertions: UsedAssertions::default(),
        federation: Federation::new(&config.federation.issuers, clock.clone(), &metrics),
        recorder,
        metrics,
        clock,
        entropy: parts.entropy,
        pepper,
        keks,
        replica_id,
        key_ring: ArcSwap::from_pointee(ring),
        key_trouble: ArcSwapOption::empty(),
        published: ArcSwap::default(),
        latencies,
        regions: RegionsKept::default(),
        revocation_feed: Feed::default(),
    };
    ensure_built_in_roles(&core).await?;
    Ok(core)
}

async fn open_spool(store: &dyn Store, config: &Config, parts: &Parts) -> Result<Spool, StartError> {
    let made = entropy::random_uuid(parts.entropy.as_ref());
    let database = store.remember("database_id", made.as_bytes()).await?;
    let database = Uuid::from_slice(&database).unwrap_or_default();
    Ok(Spool::open(&config.spool_file()?, database, config.audit.spool_max_bytes)?)
}

/// Refuses secrets under which what is in the database can't be checked or opened.
async fn check_secrets(store: &dyn Store, pepper: &Pepper, keks: &KekList) -> Result<(), StartError> {
    let remembered = store.remember("pepper_id", &pepper.id()).await?;
    if remembered != pepper.id() {
        let stored = <[u8; 8]>::try_from(remembered.as_slice()).unwrap_or_default();
        return Err(StartError::Pepper { stored: hex(&stored), configured: hex(&pepper.id()) });
    }
    for used in store.kek_uses().await? {
        // Signing keys of another region may lie under another KEK; those of this one are opened soon.
        if used.access_keys > 0 && !keks.has(used.kek_id) {
            return Err(StartError::Kek(hex(&used.kek_id)));
        }
    }
    Ok(())
}

/// Refuses to issue under another name than this database did before: gateways would trust some of the tokens only.
async fn check_issuer(store: &dyn Store, issuer: &str) -> Result<(), StartError> {
    let remembered = store.remember("issuer", issuer.as_bytes()).await?;
    if remembered != issuer.as_bytes() {
        let remembered = String::from_utf8_lossy(&remembered).into_owned();
        return Err(StartError::Issuer { remembered, configured: issuer.to_owned() });
    }
    Ok(())
}

fn capacity(config: &Config) -> Capacity {
    Capacity {
        principals: config.directory.max_principals,
        webservices: config.directory.max_webservices,
        grace: std::time::Duration::from_secs(config.directory.grace_seconds),
    }
}

/// Keys are read every five seconds, so a shorter grace would stop a service that lacks nothing.
const LEAST_KEYS_GRACE: std::time::Duration = std::time::Duration::from_secs(30);

fn settings(config: &Config, key_policy: Option<KeyPolicy>) -> Settings {
    let audiences = config.tokens.management_audiences.iter();
    let grace = std::time::Duration::from_secs(config.directory.grace_seconds);
    Settings {
        policy: Policy {
            issuer: config.server.issuer.clone(),
            region: config.region.name.clone(),
            regions: addresses(&config.regions),
            default_lifetime: config.tokens.default_lifetime_seconds,
            gateway_leeway: Duration::seconds(config.tokens.gateway_leeway_seconds.into()),
        },
        keys: key_policy.unwrap_or_else(|| config.key_policy()),
        keys_grace: grace.max(LEAST_KEYS_GRACE),
        algorithm: config.keys.algorithm,
        single_use_assertions: config.oauth.client_assertion_jti == AssertionUse::Once,
        max_revoked_tokens: config.limits.max_revoked_tokens,
        management_audiences: audiences.map(|audience| audience.trim_end_matches('/').to_owned()).collect(),
    }
}

/// Built-in roles are part of the program; a database that lacks one, or has an older text, gets it.
async fn ensure_built_in_roles(core: &Core) -> Result<(), StartError> {
    let stored = core.store.roles().await?;
    let missing: Vec<Mutation> = crate::domain::role::built_in_roles()
        .into_iter()
        .filter(|role| !stored.contains(role))
        .map(Mutation::PutRole)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let actor = Actor { method: Some("start".into()), ..Actor::default() };
    core.change_as(&actor, &missing, &core.local_context())
        .await
        .map(drop)
        .map_err(|error| StartError::Other(error.to_string()))
}
