//! `wsts bootstrap`: from an empty database to the first principal, which makes all the others.

use std::process::ExitCode;

use uuid::Uuid;

use super::{ConfigArg, Failure, Outcome, with_core};
use crate::config::Config;
use crate::domain::ids::TenantId;
use crate::domain::resource::parse_subscription;

/// Make the first principal of an empty deployment, Owner of everything, and print its secret once.
///
/// The secret is shown on standard output and kept nowhere: put it into your secret store. A deployment that has
/// principals refuses this; there, and when the secret is lost, `wsts apply` makes another Owner.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Tenant (UUID) to make; a random one when absent
    #[arg(long)]
    tenant: Option<String>,
    /// Subscription (UUID) to make in it; a random one when absent
    #[arg(long)]
    subscription: Option<String>,
}

pub fn run(args: &Args) -> Outcome {
    let config = Config::load(&args.config.config)?;
    let tenant = args.tenant.as_deref().map(TenantId::parse).transpose();
    let tenant = tenant.map_err(|error| Failure(format!("--tenant: {error}")))?;
    let subscription = args.subscription.as_deref().map(parse_subscription).transpose();
    let subscription = subscription.map_err(|error| Failure(format!("--subscription: {error}")))?;
    with_core(&config, async |core| {
        let id = |uuid: Uuid| uuid.hyphenated().to_string();
        let tenant = tenant.unwrap_or_else(|| TenantId::from_uuid(core.new_uuid()));
        let subscription = subscription.unwrap_or_else(|| id(core.new_uuid()));
        let made = core.bootstrap(tenant, subscription).await?;
        say!("tenant         {}", made.tenant_id);
        say!("subscription   {}", made.subscription);
        say!("object id      {}", made.principal.object_id);
        say!("client id      {}", made.principal.client_id);
        say!("client secret  {}", made.secret.plain.expose());
        complain!(
            "Keep the secret: it is shown this once, and ends on {}. It is Owner of everything: make principals with less for daily work.",
            made.secret.secret.expires_at.format("%Y-%m-%d")
        );
        Ok(ExitCode::SUCCESS)
    })
}
