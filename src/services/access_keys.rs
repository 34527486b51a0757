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
use crate::domain::webservice::{AuthMode, Webservice};
use crate::entropy;
use crate::signing::sealing::Place;
use crate::storage::{Mutation, StoredAccessKey};

/// Both keys in the clear: primary, secondary. Wiped when dropped.
pub type AccessKeyValues = [Zeroizing<String>; 2];

impl Core {
    /// Both keys of a webservice with auth mode `key`. That they were read, or refused, is durable before this returns.
    pub async fn list_access_keys(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        context: &RequestContext,
    ) -> Result<AccessKeyValues, Refusal> {
        let values = self.open_access_keys(caller, id, context).await;
        self.record_use(Event::KeyReading, caller, id, values.as_ref().err(), context).await?;
        values
    }

    /// Gives one key a new value: the caller's own, or a made one when there is none or it is the present value. The
    /// other key goes on serving. Returns the id of the change's record.
    pub async fn regenerate_access_key(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        wanted: (KeyName, Option<&str>),
        context: &RequestContext,
    ) -> Result<AuditRecordId, Refusal> {
        let regenerated = self.regenerate(caller, id, wanted, context).await;
        if let Err(refusal) = &regenerated {
            // What was done has the change's own record.
            self.record_use(Event::KeyRegeneration, caller, id, Some(refusal), context).await?;
        }
        regenerated
    }

    async fn open_access_keys(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        context: &RequestContext,
    ) -> Result<AccessKeyValues, Refusal> {
        let (_, stored) = self.access_keys_of(caller, id, context).await?;
        let [primary, secondary] = KeyName::ALL.map(|name| self.open_access_key(id, &stored, name));
        Ok([primary?, secondary?])
    }

    async fn regenerate(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        (name, value): (KeyName, Option<&str>),
        context: &RequestContext,
    ) -> Result<AuditRecordId, Refusal> {
        let (webservice, stored) = self.access_keys_of(caller, id, context).await?;
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
        let put = Mutation::PutAccessKey(id.clone(), Box::new(key));
        // Neither deleted meanwhile nor switched to another auth mode.
        let expected = Mutation::ExpectWebservice(id.clone(), Some(webservice.updated_at));
        self.change(caller, &[expected, put], context).await
    }

    /// The first keys of the webservices among these that have none yet.
    pub(super) async fn first_access_keys(&self, mutations: &[Mutation]) -> Result<Vec<Mutation>, Refusal> {
        let mut made = Vec::new();
        for mutation in mutations {
            let Mutation::PutWebservice(webservice) = mutation else { continue };
            let facts = self.directory.webservice(&webservice.id.key()).await?;
            let held = facts.as_ref().map(|facts| facts.access_keys.as_slice()).unwrap_or_default();
            made.extend(self.missing_access_keys(&webservice.id, held)?);
        }
        Ok(made)
    }

    fn missing_access_keys(&self, id: &WebserviceId, held: &[AccessKey]) -> Result<Vec<Mutation>, Refusal> {
        let missing = KeyName::ALL.into_iter().filter(|name| held.iter().all(|key| key.name != *name));
        missing
            .map(|name| {
                let key = self.make_access_key(id, name, 1, None)?;
                Ok(Mutation::PutAccessKey(id.clone(), Box::new(key)))
            })
            .collect()
    }

    /// The webservice with its stored keys, if it has auth mode `key`; from the database, whatever this process has in
    /// memory.
    async fn access_keys_of(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        context: &RequestContext,
    ) -> Result<(Webservice, Vec<StoredAccessKey>), Refusal> {
        let facts = self.store.webservice_facts(&id.key()).await?.ok_or(Refusal::NotFound)?;
        if facts.webservice.auth_mode != AuthMode::Key {
            return Err(Refusal::Denied(Denial::NotKeyAuth(facts.webservice.auth_mode)));
        }
        // One that an older version registered gets its keys when they are first asked for.
        let missing = self.missing_access_keys(id, &facts.access_keys)?;
        if !missing.is_empty() {
            let expected = Mutation::ExpectWebservice(id.clone(), Some(facts.webservice.updated_at));
            self.change(caller, &[&[expected], missing.as_slice()].concat(), context).await?;
        }
        let stored = self.store.access_keys(&id.key()).await?;
        if stored.is_empty() {
            // Deleted between the two reads.
            return Err(Refusal::NotFound);
        }
        Ok((facts.webservice, stored))
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

    async fn record_use(
        &self,
        event: Event,
        caller: &Authenticated,
        id: &WebserviceId,
        refused: Option<&Refusal>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let (outcome, reason) = match refused {
            None => (Outcome::Done, None),
            Some(Refusal::Denied(denial)) => (Outcome::Refused, Some(denial.reason())),
            Some(Refusal::NotFound) => (Outcome::Refused, Some("no_such_webservice")),
            Some(Refusal::Stale(_) | Refusal::Conflict(_)) => (Outcome::Refused, Some("conflict")),
            Some(Refusal::Invalid(_)) => (Outcome::Refused, Some("unlawful_key_value")),
            Some(_) => (Outcome::Failed, Some("unavailable")),
        };
        let record = AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event,
            outcome,
            reason: reason.map(Into::into),
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
