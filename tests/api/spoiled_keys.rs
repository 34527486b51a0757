//! Rows of signing keys that can't be used: a start is refused, a running service is not ready and goes on with the keys
//! that it has. No key is made for that, and the JWKS is never empty.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use workspace_sts::domain::region::Region;
use workspace_sts::domain::signing_key::SigningAlgorithm;
use workspace_sts::entropy::SystemEntropy;
use workspace_sts::signing::jwks::PublicJwk;
use workspace_sts::signing::key_pair::KeyPair;
use workspace_sts::signing::sealing::{KekList, Place};
use workspace_sts::startup::{StartError, start};
use workspace_sts::storage::StoredSigningKey;

use crate::helpers::*;

const JWKS: &str = "/.well-known/jwks.json";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The rows as somebody sees and writes them who has the database and not the service.
struct Rows<'a>(&'a Deployment);

impl Rows<'_> {
    async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.0.path("wsts.db")).connect().await.unwrap()
    }

    fn all(&self) -> Vec<StoredSigningKey> {
        use workspace_sts::storage::{Store as _, sqlite::SqliteStore};
        block_on(async {
            let store = SqliteStore::open(&self.0.path("wsts.db")).await.unwrap();
            let rows = store.signing_keys().await.unwrap();
            store.close().await;
            rows
        })
    }

    /// Writes every column of a row that tells of the key.
    fn write(&self, kid: &str, row: &StoredSigningKey) {
        let sql = "UPDATE signing_keys SET kid = ?, region = ?, algorithm = ?, public_jwk = ?, sealed_private = ?, \
                   sealed_data_key = ?, kek_id = ? WHERE kid = ?";
        let sealed = row.private.as_ref().unwrap();
        block_on(async {
            let mut connection = self.connection().await;
            let written = sqlx::query(sql)
                .bind(&row.key.kid)
                .bind(row.key.region.as_str())
                .bind(row.key.algorithm.as_str())
                .bind(&row.public_jwk)
                .bind(sealed.private.as_slice())
                .bind(sealed.data_key.as_slice())
                .bind(row.kek_id.as_slice())
                .bind(kid)
                .execute(&mut connection)
                .await
                .unwrap();
            assert_eq!(written.rows_affected(), 1);
            connection.close().await.unwrap();
        });
    }
}

fn keks() -> KekList {
    // As `Deployment::write_secret` has it.
    KekList::new(&[1; 32], &[])
}

/// The row with another private key, sealed for a place as the service would.
fn resealed(row: &StoredSigningKey, place: &Place, der: &[u8]) -> StoredSigningKey {
    let private = Some(keks().seal(place, der, &SystemEntropy::new()).unwrap());
    StoredSigningKey { private, ..row.clone() }
}

fn private_of(row: &StoredSigningKey) -> Vec<u8> {
    let place = Place::signing_key(&row.key);
    keks().open(&place, row.kek_id, row.private.as_ref().unwrap()).unwrap().to_vec()
}

fn rsa_key(deployment: &Deployment, bits: u32) -> PrivatePkcs8KeyDer<'static> {
    let file = deployment.path("rsa.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}"), "-out"])
        .arg(&file)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success());
    PrivatePkcs8KeyDer::from_pem_file(file).unwrap()
}

/// Every way to spoil the first of two rows, and what is said of it.
fn spoiled(
    deployment: &Deployment,
    rows: &[StoredSigningKey],
) -> Vec<(&'static str, StoredSigningKey, String)> {
    let (row, other) = (&rows[0], &rows[1]);
    let kid = &row.key.kid;
    let mut elsewhere = row.key.clone();
    elsewhere.region = Region::parse("elsewhere").unwrap();
    let stranger = KeyPair::generate(SigningAlgorithm::Es256).unwrap();
    let stranger_jwk = PublicJwk {
        kid: kid.clone(),
        ..KeyPair::from_pkcs8(SigningAlgorithm::Es256, &stranger).unwrap().public_jwk()
    };
    let with_jwk =
        |jwk: &PublicJwk| StoredSigningKey { public_jwk: serde_json::to_string(jwk).unwrap(), ..row.clone() };
    let short = rsa_key(deployment, 1024);
    let mut torn = row.clone();
    torn.private.as_mut().unwrap().private.truncate(20);
    let mut short_row = resealed(
        &with_algorithm(row, SigningAlgorithm::Rs256),
        &place_as(row, SigningAlgorithm::Rs256),
        short.secret_pkcs8_der(),
    );
    short_row.public_jwk = row.public_jwk.clone();
    let opened = format!(
        "the signing key {kid} can't be opened: its row was altered, moved, or belongs to another region"
    );
    let swapped =
        format!("signing key {kid}: its public half in the database is not that of its private half");
    vec![
        (
            "sealed for another region",
            resealed(row, &Place::signing_key(&elsewhere), &private_of(row)),
            opened.clone(),
        ),
        ("sealed for another algorithm", with_algorithm(row, SigningAlgorithm::EdDsa), opened.clone()),
        (
            "another row's private half",
            StoredSigningKey { private: other.private.clone(), ..row.clone() },
            opened.clone(),
        ),
        ("cut off", torn, opened.clone()),
        (
            "another KEK's id",
            StoredSigningKey { kek_id: [7; 8], ..row.clone() },
            "is sealed under KEK 0707070707070707".to_owned(),
        ),
        ("a stranger's public half", with_jwk(&stranger_jwk), swapped.clone()),
        (
            "another row's public half",
            StoredSigningKey { public_jwk: other.public_jwk.clone(), ..row.clone() },
            swapped.clone(),
        ),
        ("a stranger's private half", resealed(row, &Place::signing_key(&row.key), &stranger), swapped),
        (
            "no JSON",
            StoredSigningKey { public_jwk: "{".to_owned(), ..row.clone() },
            "its stored public JWK can't be read".to_owned(),
        ),
        (
            "no key",
            resealed(row, &Place::signing_key(&row.key), b"no key"),
            "is not a PKCS#8 ES256 key".to_owned(),
        ),
        ("an RSA key of 1024 bits", short_row, "the RSA key is shorter than 2048 bits".to_owned()),
    ]
}

fn with_algorithm(row: &StoredSigningKey, algorithm: SigningAlgorithm) -> StoredSigningKey {
    let mut row = row.clone();
    row.key.algorithm = algorithm;
    row
}

fn place_as(row: &StoredSigningKey, algorithm: SigningAlgorithm) -> Place {
    Place::signing_key(&with_algorithm(row, algorithm).key)
}

#[test]
fn a_start_over_a_spoiled_row_is_refused_and_makes_no_key() {
    let app = TestApp::start();
    let jwks = app.get(JWKS).expect(200).body;
    let deployment = app.into_deployment();
    let before = Rows(&deployment).all();
    assert_eq!(before.len(), 2);
    for (what, row, words) in spoiled(&deployment, &before) {
        Rows(&deployment).write(&before[0].key.kid, &row);
        let spoiled = Rows(&deployment).all();
        let why = deployment.try_start().err().unwrap_or_else(|| panic!("{what} starts")).to_string();
        assert!(why.starts_with("signing keys: ") && why.contains(&words), "{what}: {why}");
        assert_eq!(Rows(&deployment).all(), spoiled, "{what}: a row was written");
        Rows(&deployment).write(&row.key.kid, &before[0]);
    }
    let app = deployment.run();
    assert_eq!(app.get(JWKS).expect(200).body, jwks);
}

#[test]
fn a_running_service_over_a_spoiled_row_is_not_ready_and_goes_on_with_its_keys() {
    let app = TestApp::start();
    let jwks = app.get(JWKS).expect(200).body;
    let before = Rows(&app.deployment).all();
    let tend = || {
        let core = Arc::clone(&app.core);
        app.block_on(async move { core.watch_signing_keys().await.map_err(|error| error.to_string()) })
    };
    let unusable =
        || app.get_ops("/metrics").text().contains("sts_signing_keys_unusable{region=\"local\"} 1");
    for (what, row, words) in spoiled(&app.deployment, &before) {
        Rows(&app.deployment).write(&before[0].key.kid, &row);
        let why = tend().expect_err(what);
        assert!(why.contains(&words), "{what}: {why}");
        let answer = app.get_ops("/readyz").expect(503).text();
        assert_eq!(answer, format!("not ready: the signing keys in the database can't be used: {why}\n"));
        assert!(unusable(), "{what}");
        // Whoever asks all the same is answered by the keys from before.
        assert_eq!(app.get(JWKS).expect(200).body, jwks, "{what}");
        let token = app.token_as(&READER, "scorer").expect(200).token();
        assert_eq!(decoded(&token).0["kid"].as_str(), Some(before[0].key.kid.as_str()), "{what}");
        Rows(&app.deployment).write(&row.key.kid, &before[0]);
        tend().unwrap();
        app.get_ops("/readyz").expect(200);
        assert!(!unusable(), "{what}");
    }
    assert_eq!(Rows(&app.deployment).all(), before, "no key was made");
}

#[test]
fn the_service_notices_a_spoiled_row_by_itself() {
    let app = TestApp::start();
    let before = Rows(&app.deployment).all();
    Rows(&app.deployment)
        .write(&before[0].key.kid, &StoredSigningKey { kek_id: [7; 8], ..before[0].clone() });
    let until = |status| {
        let started = Instant::now();
        while app.get_ops("/readyz").status != status {
            assert!(started.elapsed() < Duration::from_secs(20), "/readyz was never {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until(503);
    Rows(&app.deployment).write(&before[0].key.kid, &before[0]);
    until(200);
}

#[test]
fn a_published_key_of_another_region_must_have_its_own_name() {
    let app = TestApp::start();
    let deployment = app.into_deployment();
    let before = Rows(&deployment).all();
    let mut foreign = before[1].clone();
    foreign.key.region = Region::parse("elsewhere").unwrap();
    Rows(&deployment).write(&before[1].key.kid, &foreign);
    let app = deployment.run();
    assert!(app.get(JWKS).expect(200).text().contains("elsewhere"));
    let deployment = app.into_deployment();
    let stranger = KeyPair::generate(SigningAlgorithm::Es256).unwrap();
    let stranger = KeyPair::from_pkcs8(SigningAlgorithm::Es256, &stranger).unwrap().public_jwk();
    let jwk = PublicJwk { kid: foreign.key.kid.clone(), ..stranger };
    foreign.public_jwk = serde_json::to_string(&jwk).unwrap();
    Rows(&deployment).write(&foreign.key.kid, &foreign);
    let why = deployment.try_start().err().expect("a stranger's key under a known name").to_string();
    assert!(why.contains("its public half"), "{why}");
}

#[test]
fn a_short_rsa_key_is_not_imported() {
    let app = TestApp::start();
    let before = Rows(&app.deployment).all();
    let der = rsa_key(&app.deployment, 1024);
    let core = Arc::clone(&app.core);
    let imported = app.block_on(async move {
        let imported = core.import_signing_key(SigningAlgorithm::Rs256, der.secret_pkcs8_der()).await;
        imported.map(drop).map_err(|error| error.to_string())
    });
    assert_eq!(imported, Err("the RSA key is shorter than 2048 bits".to_owned()));
    assert_eq!(Rows(&app.deployment).all(), before);
}

#[test]
fn a_second_issuer_over_one_database_is_refused() {
    let app = TestApp::start();
    let jwks = app.get(JWKS).expect(200).body;
    let rows = app.audit().len();
    let mut config = app.deployment.config();
    // Beside the first, so with a spool of its own.
    config.audit.spool_file = Some(app.deployment.path("other.spool"));
    config.server.issuer = "https://other.example".to_owned();
    let why = block_on(start(&config, app.deployment.parts())).err().expect("another issuer");
    assert!(matches!(why, StartError::Issuer { .. }), "{why}");
    let why = why.to_string();
    assert!(why.contains(ISSUER) && why.contains("https://other.example"), "{why}");
    assert_eq!((app.get(JWKS).expect(200).body, app.audit().len()), (jwks, rows));
    let app = app.restart();
    app.get_ops("/readyz").expect(200);
}

#[test]
fn a_replica_is_on_record_while_it_serves() {
    use workspace_sts::storage::{Store as _, sqlite::SqliteStore};
    let app = TestApp::start();
    let core = Arc::clone(&app.core);
    let live = app.block_on(async move { core.store.live_replicas(core.clock.now()).await.unwrap() });
    assert_eq!(live.len(), 1);
    let kek = keks().primary_id();
    assert_eq!(
        (live[0].id, live[0].region.as_str(), &live[0].kek_ids),
        (app.core.replica_id, "local", &vec![kek])
    );
    let now = app.core.clock.now();
    let deployment = app.into_deployment();
    let left = block_on(async {
        let store = SqliteStore::open(&deployment.path("wsts.db")).await.unwrap();
        store.live_replicas(now).await.unwrap()
    });
    assert_eq!(left, [], "it took its leave");
    // Nor is one that was refused.
    deployment.write_secret("kek", 7);
    deployment.try_start().err().expect("a wrong KEK");
    let left = block_on(async {
        let store = SqliteStore::open(&deployment.path("wsts.db")).await.unwrap();
        store.live_replicas(now).await.unwrap()
    });
    assert_eq!(left, []);
}

/// What somebody spoils must not protect a key that is revoked.
#[test]
fn a_spoiled_row_keeps_no_revoked_key_in_use() {
    let app = TestApp::start();
    app.advance(3600);
    let rows = Rows(&app.deployment);
    let all = rows.all();
    let (active, standby) = (all[0].key.kid.clone(), &all[1]);
    let mut spoiled = standby.clone();
    spoiled.private.as_mut().unwrap().private[20] ^= 1;
    rows.write(&standby.key.kid, &spoiled);
    let core = Arc::clone(&app.core);
    let kid = active.clone();
    let done = app.block_on(async move { core.revoke_signing_key(&kid).await.unwrap() });
    assert_eq!(done.steps.len(), 3, "revoked, taken over, destroyed; and no key is made: {:?}", done.steps);
    let core = Arc::clone(&app.core);
    let why = app.block_on(async move { core.watch_signing_keys().await.unwrap_err().to_string() });
    assert!(why.contains("can't be opened"), "{why}");
    let published = app.get(JWKS).expect(200).text();
    assert!(!published.contains(&active) && published.contains(&standby.key.kid), "{published}");
    app.get_ops("/readyz").expect(503);
    // What it had loaded signs on, for as long as revocations are read.
    for _ in 0..3 {
        app.advance(600);
        let token = app.token_as(&READER, "scorer").expect(200).token();
        assert_eq!(decoded(&token).0["kid"], standby.key.kid.as_str());
    }
    // And a copy of the JWKS is kept no longer than if nothing had been read.
    app.advance_unattended(3600);
    assert_eq!(app.get(JWKS).expect(200).header("cache-control"), Some("no-cache"));
}
