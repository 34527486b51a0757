//! The floor: the least that any Rust service must pay for one signed token.
//!
//! Bare actix-web, a form, one HMAC to check the secret, two look-ups, one ES256 signature, a JSON answer of the
//! size of ours; and for a gateway's question one ES256 verification and an empty answer. No roles, no audit, no metrics, no limits. `scripts/bench` runs it beside `wsts` in the same
//! minute on the same machine, since only the ratio of the two says anything. Not a service: don't deploy it.
//!
//! With `--commits N` it serves nothing and measures the other thing that a recorded token can't do without: one row in
//! an SQLite database, committed and synced, N times over by one client.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Instant, SystemTime, SystemTimeError, UNIX_EPOCH};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, web};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SecureRandom as _;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use ring::{digest, hmac};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use uuid::Uuid;
use workspace_sts::domain::claims::{BACKDATE_SECONDS, Claims};
use workspace_sts::domain::ids::{ClientId, ObjectId, TenantId};

const USAGE: &str =
    "floor [--listen ADDR] [--workers N] [--secret TEXT] [--constant-bytes N] [--tls CERT.pem KEY.pem]
floor --commits N --database FILE";
const CLIENT_ID: &str = "11111111-1111-4111-8111-111111111111";
const OBJECT_ID: &str = "22222222-2222-4222-8222-222222222222";
const TENANT_ID: &str = "33333333-3333-4333-8333-333333333333";
const ISSUER: &str = "https://localhost:8443";
const RESOURCE: &str = "https://localhost:8443/subscriptions/44444444-4444-4444-8444-444444444444/resourceGroups/demo\
     /providers/Microsoft.MachineLearningServices/workspaces/demo/onlineEndpoints/model-00001";
const LIFE_SECONDS: i64 = 3600;

// The yardstick has neither `Clock` nor `Entropy`: it pays for nothing but the work itself.
#[allow(clippy::disallowed_types)]
type Random = ring::rand::SystemRandom;

// As above.
#[allow(clippy::disallowed_methods)]
fn unix_now() -> Result<i64, SystemTimeError> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed())
}

#[derive(serde::Serialize)]
struct Answer {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_in: i64,
    refresh_by: i64,
}

struct Floor {
    pepper: hmac::Key,
    object_id: ObjectId,
    client_id: ClientId,
    tenant_id: TenantId,
    /// Client id to the digest of its secret.
    clients: HashMap<&'static str, hmac::Tag>,
    /// Resource to the name of its webservice.
    resources: HashMap<&'static str, &'static str>,
    key: EcdsaKeyPair,
    /// Encoded JOSE header with its full stop.
    header: String,
    random: Random,
    constant: web::Bytes,
}

async fn token(floor: web::Data<Floor>, body: web::Bytes) -> HttpResponse {
    let (mut grant, mut client, mut secret, mut resource) = Default::default();
    for (name, value) in form_urlencoded::parse(&body) {
        match &*name {
            "grant_type" => grant = value,
            "client_id" => client = value,
            "client_secret" => secret = value,
            "resource" => resource = value,
            _ => {}
        }
    }
    let (Some(digest), Some(webservice)) = (floor.clients.get(&*client), floor.resources.get(&*resource))
    else {
        return HttpResponse::BadRequest().finish();
    };
    let verified = hmac::verify(&floor.pepper, secret.as_bytes(), digest.as_ref());
    if verified.is_err() || grant != "client_credentials" {
        return HttpResponse::Unauthorized().finish();
    }
    match floor.issue(&resource, webservice) {
        Ok(answer) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(answer),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// One signature verified, whatever is signed.
async fn verified(floor: web::Data<Floor>, request: HttpRequest) -> HttpResponse {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = sent.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    if floor.signed(token) { HttpResponse::Ok().finish() } else { HttpResponse::Unauthorized().finish() }
}

async fn empty() -> HttpResponse {
    HttpResponse::Ok().finish()
}

async fn constant(floor: web::Data<Floor>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(floor.constant.clone())
}

impl Floor {
    fn new(secret: &str, constant_bytes: usize) -> Result<Self, ring::error::Unspecified> {
        let random = Random::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ES256, &random)?;
        let key = EcdsaKeyPair::from_pkcs8(&ES256, document.as_ref(), &random)?;
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, key.public_key().as_ref()));
        let header = format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"at+jwt"}}"#);
        let id = |text| Uuid::try_parse(text).unwrap_or_default();
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, b"the fixed key of the yardstick");
        Ok(Self {
            object_id: ObjectId::from_uuid(id(OBJECT_ID)),
            client_id: ClientId::from_uuid(id(CLIENT_ID)),
            tenant_id: TenantId::from_uuid(id(TENANT_ID)),
            clients: HashMap::from([(CLIENT_ID, hmac::sign(&pepper, secret.as_bytes()))]),
            resources: HashMap::from([(RESOURCE, "model-00001")]),
            pepper,
            key,
            header: URL_SAFE_NO_PAD.encode(header) + ".",
            random,
            constant: "x".repeat(constant_bytes).into(),
        })
    }

    fn signed(&self, token: &str) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key());
        key.verify(signed.as_bytes(), &signature).is_ok()
    }

    fn issue(&self, audience: &str, webservice: &str) -> Result<Answer, Box<dyn Error>> {
        let now = unix_now()?;
        let mut id = [0; 16];
        self.random.fill(&mut id).map_err(|_| "no randomness")?;
        let claims = Claims {
            iss: ISSUER,
            aud: audience.to_owned(),
            sub: self.object_id,
            oid: self.object_id,
            client_id: self.client_id,
            azp: self.client_id,
            tid: self.tenant_id,
            iat: now,
            nbf: now - BACKDATE_SECONDS,
            exp: now + LIFE_SECONDS,
            jti: URL_SAFE_NO_PAD.encode(id).into(),
            refresh_by: now + LIFE_SECONDS * 2 / 3,
            workspace: Some("demo"),
            webservice: Some(webservice),
            region: "local",
            scope: "score",
        };
        let mut token = self.header.clone();
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(&claims)?, &mut token);
        let signed = self.key.sign(&self.random, token.as_bytes());
        let signature = signed.map_err(|_| "not signed")?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Answer {
            access_token: token,
            token_type: "Bearer",
            expires_in: LIFE_SECONDS,
            refresh_in: LIFE_SECONDS * 2 / 3,
            refresh_by: claims.refresh_by,
        })
    }
}

fn tls(certificate: &str, key: &str) -> Result<rustls::ServerConfig, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?)
}

/// Median time of a commit in milliseconds. The row is about as long as an audit row of ours. The first quarter does not
/// count: the write-ahead log grows to its size in it.
async fn commit_p50(commits: usize, file: &str) -> Result<f64, Box<dyn Error>> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await?;
    sqlx::query("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)").execute(&mut connection).await?;
    let row = "x".repeat(500);
    let mut took = Vec::with_capacity(commits);
    for number in 0..commits {
        let started = Instant::now();
        sqlx::query("INSERT INTO rows (text) VALUES (?)").bind(&row).execute(&mut connection).await?;
        if number >= commits / 4 {
            took.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    took.sort_by(f64::total_cmp);
    Ok(took.get(took.len() / 2).copied().ok_or("no commits")?)
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let (mut listen, mut secret, mut constant_bytes) =
        ("127.0.0.1:8080".to_owned(), "secret".to_owned(), 900);
    let (mut workers, mut certificate) = (None, None);
    let (mut commits, mut database) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match name.as_str() {
            "--listen" => listen = value()?,
            "--secret" => secret = value()?,
            "--workers" => workers = Some(value()?.parse()?),
            "--constant-bytes" => constant_bytes = value()?.parse()?,
            "--commits" => commits = Some(value()?.parse()?),
            "--database" => database = Some(value()?),
            "--tls" => certificate = Some((value()?, value()?)),
            _ => return Err(USAGE.into()),
        }
    }
    if let Some(commits) = commits {
        println!("{:.3}", commit_p50(commits, &database.ok_or(USAGE)?).await?);
        return Ok(());
    }
    let floor = web::Data::new(Floor::new(&secret, constant_bytes).map_err(|_| "no signing key")?);
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(floor.clone())
            .route("/token", web::post().to(token))
            .route("/constant", web::get().to(constant))
            .route("/empty", web::get().to(empty))
            .route("/verified", web::get().to(verified))
    });
    if let Some(workers) = workers {
        server = server.workers(workers);
    }
    let server = match &certificate {
        Some((certificate, key)) => server.bind_rustls_0_23(&listen, tls(certificate, key)?)?,
        None => server.bind(&listen)?,
    };
    println!("listening on {}", server.addrs().first().ok_or("no address")?);
    Ok(server.run().await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    actix_web::rt::System::new().block_on(serve())
}
