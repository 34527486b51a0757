//! `wsts quickstart`: from nothing to a verified token over HTTPS.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use super::apply::{difference, private_file};
use super::fetch::{KeptToken, fetch_token};
use super::shell::{printable, quoted};
use super::{DEADLINE, Failure, Outcome, runtime, serve};
use crate::clock::Clock as _;
use crate::config::{Config, Log, LogFormat};
use crate::entropy::{self, SystemEntropy};
use crate::https_client;
use crate::services::Core;
use crate::services::registry_file::RegistryFile;
use crate::signing::verifier::{Expected, KeySet};
use crate::startup::{Parts, StartError, start};
use crate::telemetry;

#[derive(clap::Args)]
pub struct Args {
    /// Folder for everything that is made; run again, it is found again
    #[arg(long, default_value = "wsts-data")]
    data: PathBuf,
    /// HTTPS port on 127.0.0.1
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// Port of health and metrics on 127.0.0.1
    #[arg(long, default_value_t = 9464)]
    ops_port: u16,
    /// Stop after the check instead of serving
    #[arg(long)]
    once: bool,
}

/// The registry of the demo; the file in the repository is the example to copy from.
const REGISTRY: &str = include_str!("../../config/quickstart.toml");
/// Certificates of the demo live this long.
const CERTIFICATE_DAYS: i64 = 3650;

pub fn run(args: &Args) -> Outcome {
    telemetry::start(&Log {
        format: LogFormat::Auto,
        level: if args.once { "warn" } else { "info" }.to_owned(),
    })?;
    let config = prepare(args)?;
    let registry: RegistryFile = toml::from_str(REGISTRY)?;
    runtime()?.block_on(async {
        let running = start(&config, Parts::default()).await.map_err(|error| match error {
            StartError::Issuer { remembered, .. } => Failure(format!(
                "this demo was made as {remembered}: give that port with --port, or begin anew in another folder (--data)"
            )),
            other => other.into(),
        })?;
        register(&running.core, &registry, &args.data).await?;
        let stopper = running.stopper();
        let base = config.server.issuer.clone();
        let shown = Demo::of(&registry, &args.data, base)?;
        let core = std::sync::Arc::clone(&running.core);
        let once = args.once;
        let check = tokio::spawn(async move {
            // The client blocks, so it gets a thread of its own, like any other client.
            let checked = tokio::task::spawn_blocking({
                let shown = shown.clone();
                move || shown.fetch_and_verify()
            });
            let outcome = match checked.await {
                Ok(outcome) => outcome.map(|token| shown.print(&token, &core)),
                Err(error) => Err(Failure(error.to_string())),
            };
            if once || outcome.is_err() {
                stopper.stop(false).await;
            }
            outcome
        });
        serve::serve(running).await?;
        check.await??;
        Ok(ExitCode::SUCCESS)
    })
}

/// Makes what is missing in the data folder, and the configuration over it.
fn prepare(args: &Args) -> Result<Config, Failure> {
    let folder = &args.data;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let database = folder.join("wsts.db");
    for name in ["kek", "pepper"] {
        refuse_orphan(&database, &folder.join(name))?;
        make_once(&folder.join(name), || {
            Ok(URL_SAFE_NO_PAD.encode(entropy::bytes::<32>(&SystemEntropy::new())))
        })?;
    }
    if !folder.join("server.pem").exists() {
        make_certificates(folder)?;
    }
    let issuer = format!("https://localhost:{}", args.port);
    // Whole paths, so that the file can be named from anywhere.
    let folder = &folder.canonicalize()?;
    let text = format!(
        "[server]\nlisten = \"{}\"\nissuer = \"{issuer}\"\nunready_seconds = 0\n[server.tls]\ncertificate_file = {:?}\nkey_file = {:?}\n\
         [ops]\nlisten = \"{}\"\n[region]\nname = \"local\"\n[storage]\nsqlite_file = {:?}\n\
         [secrets]\nkek_file = {:?}\npepper_file = {:?}\n",
        SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)),
        folder.join("server.pem"),
        folder.join("server.key"),
        SocketAddr::from((Ipv4Addr::LOCALHOST, args.ops_port)),
        folder.join("wsts.db"),
        folder.join("kek"),
        folder.join("pepper"),
    );
    // Kept so that `wsts apply --config`, `wsts audit list --config` work on the same data.
    let file = folder.join("wsts.toml");
    std::fs::write(&file, text)?;
    Ok(Config::load(&file)?)
}

/// A database can't be read without the secrets that it was made under: new ones would only hide which are missing.
fn refuse_orphan(database: &Path, secret: &Path) -> Result<(), Failure> {
    if secret.exists() || !database.exists() {
        return Ok(());
    }
    let (secret, folder) = (secret.display(), database.parent().unwrap_or(database).display());
    let what = "is missing, and the database beside it can't be used without it";
    Err(Failure(format!("{secret} {what}: restore it, or remove the folder {folder} to begin anew")))
}

fn make_once(path: &Path, make: impl FnOnce() -> Result<String, Failure>) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let text = make()?;
    let mut file = private_file(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// An own CA and a server certificate for localhost, with the extensions that strict validators ask for.
fn make_certificates(folder: &Path) -> Result<(), Failure> {
    let now = time_of(crate::clock::SystemClock.now().timestamp());
    let (from, until) =
        (now - Duration::from_secs(86_400), now + Duration::from_secs(86_400 * CERTIFICATE_DAYS as u64));
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "wsts quickstart CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (ca.not_before, ca.not_after) = (from, until);
    let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    (server.not_before, server.not_after) = (from, until);
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    std::fs::write(folder.join("ca.pem"), issuer.pem())?;
    private_file(&folder.join("server.key"))?.write_all(key.serialize_pem().as_bytes())?;
    // Last: its presence says that the others are there. The CA's own key is not kept.
    std::fs::write(folder.join("server.pem"), certificate.pem())?;
    Ok(())
}

fn time_of(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// Applies the demo registry; new secrets go to private files named after their principal.
async fn register(core: &Core, registry: &RegistryFile, folder: &Path) -> Result<(), Failure> {
    let difference = difference(core, registry, false).await?;
    for line in &difference.lines {
        say!("{} {}", line.sign, printable(&line.text));
    }
    core.apply(difference, &core.local_context(), |written| {
        for secret in written.secrets {
            let mut file = private_file(&folder.join(format!("{}.secret", secret.client_id)))?;
            file.write_all(secret.plain.expose().as_bytes())?;
            file.sync_all()?;
        }
        Ok(())
    })
    .await
}

/// What the demo shows.
#[derive(Clone)]
struct Demo {
    base: String,
    client_id: String,
    secret_file: PathBuf,
    ca: PathBuf,
    webservice: String,
    folder: PathBuf,
}

/// A fetched token, verified, with the time that fetching took.
struct Verified {
    token: KeptToken,
    took: Duration,
}

impl Demo {
    /// The first principal with a role, and the first webservice with tokens.
    fn of(registry: &RegistryFile, folder: &Path, base: String) -> Result<Self, Failure> {
        let reader = registry
            .role_assignments
            .first()
            .ok_or_else(|| Failure("the demo registry has no reader".to_owned()))?;
        let token_auth = Some(crate::domain::webservice::AuthMode::Token);
        let webservice = registry.webservices.iter().find(|entry| entry.auth_mode == token_auth);
        let webservice =
            webservice.ok_or_else(|| Failure("the demo registry has no token-auth webservice".to_owned()))?;
        Ok(Self {
            base,
            client_id: reader.principal.to_string(),
            secret_file: folder.join(format!("{}.secret", reader.principal)),
            ca: folder.join("ca.pem"),
            webservice: format!("{}/onlineEndpoints/{}", webservice.workspace, webservice.name),
            folder: folder.to_owned(),
        })
    }

    /// Fetches over HTTPS, then verifies against the JWKS as a gateway would.
    fn fetch_and_verify(&self) -> Result<Verified, Failure> {
        let agent = https_client::agent(Some(&self.ca), DEADLINE)?;
        let secret = std::fs::read_to_string(&self.secret_file).map_err(|error| {
            format!("{}: {error} (remove the data folder to begin anew)", self.secret_file.display())
        })?;
        let audience = format!("{}{}", self.base, self.webservice);
        let now = crate::clock::SystemClock.now();
        // The first request also makes the connection; the second shows what a token costs.
        fetch_token(&agent, &self.base, &self.client_id, &secret, &audience, now.timestamp())?;
        let started = Instant::now();
        let token = fetch_token(&agent, &self.base, &self.client_id, &secret, &audience, now.timestamp())?;
        let took = started.elapsed();
        let url = format!("{}/.well-known/jwks.json", self.base);
        let (_, jwks) = https_client::text(agent.get(&url).call(), &url)?;
        let now = crate::clock::SystemClock.now();
        let expected =
            Expected { issuer: Some(&self.base), audience: Some(&audience), now, leeway_seconds: 0 };
        KeySet::parse(&jwks)?.verify(&token.access_token, &expected)?;
        Ok(Verified { token, took })
    }

    fn print(&self, verified: &Verified, core: &Core) {
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap_or_default().format("%F %T UTC");
        let path = |path: &Path| quoted(&path.display().to_string());
        let ca = path(&self.ca);
        let secret = quoted(&format!("client_secret@{}", self.secret_file.display()));
        let (base, client_id, webservice) = (&self.base, &self.client_id, &self.webservice);
        say!("\ntoken       {}", verified.token.access_token);
        say!("refresh_by  {} ({})", verified.token.refresh_by, at(verified.token.refresh_by));
        say!("expires     {} ({})", verified.token.expires_at, at(verified.token.expires_at));
        say!(
            "took        {:.2} ms over HTTPS, its audit record on disk",
            verified.took.as_secs_f64() * 1000.0
        );
        say!("verified    against {base}/.well-known/jwks.json, region {}", core.settings.policy.region);
        say!("\nTry it from another terminal:\n");
        say!(
            "curl --cacert {ca} {base}/oauth2/token -d grant_type=client_credentials -d client_id={client_id} \
             --data-urlencode {secret} -d resource={base}{webservice}"
        );
        say!("curl --cacert {ca} {base}/.well-known/jwks.json");
        say!("curl --cacert {ca} {base}/.well-known/openid-configuration");
        say!("\nWho got what: wsts audit list --config {}", path(&self.folder.join("wsts.toml")));
        if let Err(error) = std::io::stdout().flush() {
            tracing::warn!(error = %error, "standard output is gone");
        }
    }
}
