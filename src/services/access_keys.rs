//! Access keys: made with the webservice, read, and regenerated one at a time while the other goes on serving.

use zeroize::Zeroizing;

use super::authenticate::Authenticated;
use super::issue_token::actor_of;
use super::{Core, Refusal, RequestContext};
use crate::domain::access_key::{self, AccessKey, KeyName};
use crate::domain::audit::{AuditRecord, Event, Outcome};
use crate::domain::client_secret::PlainSecret;
use crate::domain::denial::Denial;
use crate::domain::ids::AuditRecordId;
use crate::domain::resource::WebserviceId;
use crate::domain::webservice::AuthMode;
use crate::entropy;
use crate::signing::sealing::Place;
use crate::storage::{Mutation, StoredAccessKey};

/// Both keys in the clear: primary, secondary. Wiped when dropped.
pub type AccessKeyValues = [Zeroizing<String>; 2];

impl Core {
    /// Both keys of a webservice with auth mode `key`. That they were read is durable before this returns.
    pub async fn list_access_keys(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        context: &RequestContext,
    ) -> Result<AccessKeyValues, Refusal> {
        let stored = match self.access_keys_of(caller, id, context).await {
            Err(Refusal::Denied(denial)) => {
                self.record_reading(caller, id, Some(denial), context).await?;
                return Err(Refusal::Denied(denial));
            }
            other => other?,
        };
        let [primary, secondary] = KeyName::ALL.map(|name| self.open_access_key(id, &stored, name));
        let values = [primary?, secondary?];
        self.record_reading(caller, id, None, context).await?;
        Ok(values)
    }

    /// Gives one key a new value: the caller's own, or a made one when there is none or it is the present value. The
    /// other key goes on serving. Returns the id of the change's record.
    pub async fn regenerate_access_key(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        (name, value): (KeyName, Option<&str>),
        context: &RequestContext,
    ) -> Result<AuditRecordId, Refusal> {
        let stored = self.access_keys_of(caller, id, context).await?;
        let holder = value.and_then(|value| stored.iter().find(|stored| self.matches(stored, value)));
        let own = match (value, holder) {
            (Some(_), Some(holder)) if holder.key.name != name => {
                let other = holder.key.name.as_str().to_lowercase();
                return Err(Refusal::Invalid(format!("`keyValue`: that is the value of the {other} key")));
            }
            // The v2 SDK sends back the present value when it wants a new one.
            (None, _) | (Some(_), Some(_)) => None,
            (Some(value), None) => {
                access_key::check_own_value(value)
                    .map_err(|error| Refusal::Invalid(format!("`keyValue`: {error}")))?;
                Some(value)
            }
        };
        let generation =
            stored.iter().find(|stored| stored.key.name == name).map_or(0, |s| s.key.generation) + 1;
        let key = self.make_access_key(id, name, generation, own)?;
        self.change(caller, &[Mutation::PutAccessKey(id.clone(), Box::new(key))], context).await
    }

    /// The first keys of the webservices among these that have none yet.
    pub(super) async fn first_access_keys(&self, mutations: &[Mutation]) -> Result<Vec<Mutation>, Refusal> {
        let mut made = Vec::new();
        for mutation in mutations {
            let Mutation::PutWebservice(webservice) = mutation else { continue };
            let facts = self.directory.webservice(&webservice.id.key()).await?;
            for name in KeyName::ALL {
                if !facts.as_ref().is_some_and(|facts| facts.access_keys.iter().any(|key| key.name == name)) {
                    let key = self.make_access_key(&webservice.id, name, 1, None)?;
                    made.push(Mutation::PutAccessKey(webservice.id.clone(), Box::new(key)));
                }
            }
        }
        Ok(made)
    }

    /// The stored keys, if the webservice has auth mode `key`.
    async fn access_keys_of(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        context: &RequestContext,
    ) -> Result<Vec<StoredAccessKey>, Refusal> {
        let facts = self.directory.webservice(&id.key()).await?.ok_or(Refusal::NotFound)?;
        if facts.webservice.auth_mode != AuthMode::Key {
            return Err(Refusal::Denied(Denial::NotKeyAuth(facts.webservice.auth_mode)));
        }
        // A webservice that an older version registered gets its keys when they are first asked for.
        let missing = self.first_access_keys(&[Mutation::PutWebservice(facts.webservice.clone())]).await?;
        if !missing.is_empty() {
            self.change(caller, &missing, context).await?;
        }
        Ok(self.store.access_keys(&id.key()).await?)
    }

    fn make_access_key(
        &self,
        id: &WebserviceId,
        name: KeyName,
        generation: i64,
        own: Option<&str>,
    ) -> Result<StoredAccessKey, Refusal> {
        let made = PlainSecret::from_random(&entropy::bytes(self.entropy.as_ref()));
        let value = own.unwrap_or(made.expose());
        let digest = self.pepper.digest(value);
        let key = AccessKey { name, generation, digest, created_at: self.clock.now() };
        let place = Place::access_key(&id.key(), &key);
        let sealed = self
            .keks
            .seal(&place, value.as_bytes(), self.entropy.as_ref())
            .map_err(|error| Refusal::Unavailable(error.to_string()))?;
        Ok(StoredAccessKey { key, sealed, kek_id: self.keks.primary_id() })
    }

    fn open_access_key(
        &self,
        id: &WebserviceId,
        stored: &[StoredAccessKey],
        name: KeyName,
    ) -> Result<Zeroizing<String>, Refusal> {
        let unavailable = |what: String| Refusal::Unavailable(what);
        let row = stored
            .iter()
            .find(|stored| stored.key.name == name)
            .ok_or_else(|| unavailable(format!("the {} key is missing", name.as_str().to_lowercase())))?;
        let place = Place::access_key(&id.key(), &row.key);
        let opened = self
            .keks
            .open(&place, row.kek_id, &row.sealed)
            .map_err(|error| unavailable(error.to_string()))?;
        let text = std::str::from_utf8(&opened).map_err(|error| unavailable(error.to_string()))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn matches(&self, stored: &StoredAccessKey, value: &str) -> bool {
        value.len() <= access_key::MAX_CHARS && self.pepper.matches(value, &stored.key.digest)
    }

    async fn record_reading(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        refused: Option<Denial>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let record = AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event: Event::KeyReading,
            outcome: if refused.is_some() { Outcome::Refused } else { Outcome::Done },
            reason: refused.map(Denial::reason),
            actor: actor_of(caller),
            resource: Some(id.text().into()),
            token: None,
            detail: None,
            request: self.request_facts(context),
            latency_micros: i64::try_from(context.started.elapsed().as_micros()).unwrap_or(i64::MAX),
        };
        Ok(self.recorder.record(record).await?)
    }
}
