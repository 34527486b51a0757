//! The service in real time with keys that live for seconds: two replicas of one region on one database. Tokens come from
//! the first, which also changes the keys; gateways have their keys from the second, which must learn of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration as Pause;

use chrono::Duration;
use workspace_sts::domain::signing_key::{KeyPolicy, KeyPolicyError, SigningKey};
use workspace_sts::services::Core;
use workspace_sts::services::intervene_in_signing_keys::InterventionError;

use crate::helpers::{Deployment, ISSUER, READER, Started, TestApp};

/// `max-age` of the JWKS, and how long Envoy keeps it.
pub const MAX_AGE_SECONDS: i64 = 2;
/// Each replica looks at the keys five times as often.
pub const PROPAGATION_SECONDS: i64 = 1;
const TEND_EVERY: Pause = Pause::from_millis(200);

/// The shortest lead and window that are lawful by the rules of every deployment; only the lengths that those rules
/// begin with are shorter than a configuration may say.
pub fn lawful() -> KeyPolicy {
    let configured = Deployment::new().config().key_policy();
    let mut policy = KeyPolicy {
        jwks_max_age: Duration::seconds(MAX_AGE_SECONDS),
        propagation: Duration::seconds(PROPAGATION_SECONDS),
        clock_error: Duration::seconds(1),
        ..configured
    };
    policy.lead = policy.least_lead();
    policy.window = policy.lead * 2;
    assert!(policy.lead >= policy.jwks_max_age + policy.propagation + policy.clock_error * 2);
    // No configuration may have these.
    assert_eq!(policy.check(), Err(KeyPolicyError::MaxAge(MAX_AGE_SECONDS)));
    policy
}

pub struct Service {
    pub app: TestApp,
    second: Option<Started>,
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(second) = self.second.take() {
            let stopper = second.stopper.clone();
            second.handle.spawn(async move { stopper.stop(false).await });
            second.thread.join().unwrap();
        }
    }
}

impl Service {
    pub fn start(policy: KeyPolicy) -> Self {
        let app = TestApp::with(|deployment| deployment.in_real_time = Some(policy));
        let mut config = app.deployment.config();
        config.audit.spool_file = Some(app.deployment.path("second.spool"));
        let second = Started::new(config, app.deployment.parts()).unwrap();
        drop(app.spawn(tend(Arc::clone(&app.core))));
        second.handle.spawn(tend(Arc::clone(&second.core)));
        Self { app, second: Some(second) }
    }

    /// Where gateways have their keys from.
    pub fn keys_from(&self) -> SocketAddr {
        self.second.as_ref().unwrap().public
    }

    /// A fresh token for the model.
    pub fn token(&self) -> String {
        self.app.token_as(&READER, "scorer").expect(200).token()
    }

    /// A fresh token of the same issuer for something else.
    pub fn management_token(&self) -> String {
        self.app.token_for(&READER, ISSUER, &[]).expect(200).token()
    }

    /// Lets the standby take over; whether that was lawful yet.
    pub fn rotate(&self) -> bool {
        let core = Arc::clone(&self.app.core);
        match self.app.block_on(async move { core.rotate_signing_key().await }) {
            Ok(_) => true,
            Err(InterventionError::Rotate(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Revokes a key.
    pub fn revoke(&self, kid: &str) {
        let (core, kid) = (Arc::clone(&self.app.core), kid.to_owned());
        self.app.block_on(async move { core.revoke_signing_key(&kid).await }).unwrap();
    }

    pub fn keys(&self) -> Vec<SigningKey> {
        let core = Arc::clone(&self.app.core);
        let rows = self.app.block_on(async move { core.store.signing_keys().await }).unwrap();
        rows.into_iter().map(|row| row.key).collect()
    }
}

/// What the worker does every five seconds. A failure would be seen by callers; the last one is that of the closed
/// database.
async fn tend(core: Arc<Core>) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        let _ = core.tend_signing_keys().await;
    }
}
