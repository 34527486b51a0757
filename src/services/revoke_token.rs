//! Calling a token back before its end (RFC 7009), and the list of those that were, for gateways.
//!
//! The list is bounded: when it is full a revocation is refused as our own trouble, since forgetting one would be to take
//! that token again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::authenticate::{Authenticated, Credentials};
use super::change_registry::Mutation;
use super::publish_keys::Document;
use super::{Core, Refusal, RequestContext};
use crate::directory::verified::VerifiedToken;
use crate::domain::audit::Actor;
use crate::domain::denial::Denial;
use crate::domain::lifetime::TokenLifetime;
use crate::domain::resource::{Scope, WebserviceId};
use crate::domain::revocation::{self, RevokedToken};
use crate::domain::role::action;
use crate::storage;

/// The feed is made anew no oftener: it can be long.
const FEED_LASTS: Duration = Duration::from_secs(1);

/// The document of gateways, and of which state of the list it is.
#[derive(Default)]
pub struct Feed(Mutex<Option<KeptFeed>>);

struct KeptFeed {
    version: u64,
    made_at: Duration,
    document: Arc<Document>,
}

#[derive(Serialize)]
struct FeedDocument<'a> {
    issuer: &'a str,
    revoked: Vec<FeedEntry>,
}

#[derive(Serialize)]
struct FeedEntry {
    jti: String,
    exp: i64,
}

impl Core {
    /// Calls a token back for a client that proves itself. One that is unknown, malformed, expired or revoked already needs
    /// nothing (RFC 7009, section 2.2). Durable, and known to this process, before this returns.
    ///
    /// # Errors
    /// [`Denial::NotYourToken`]: it is another principal's, and the caller may not change what it is for.
    pub async fn revoke_token(
        &self,
        credentials: &Credentials<'_>,
        token: &str,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let caller = self.prove(credentials, context).await?;
        let now = self.clock.confirmed()?;
        let Ok(token) = self.verified_token(now, token) else {
            return Ok(());
        };
        if !self.may_revoke(&caller, &token).await? {
            return Err(self.refuse_call(&caller, Denial::NotYourToken, &token.audience, context).await);
        }
        let revoked = RevokedToken { token_id: token.token_id.to_string(), expires_at: token.expires_at };
        self.make_room()?;
        self.change(&caller, &[Mutation::RevokeToken(revoked)], context).await.map(drop)
    }

    /// The same by the `jti` that the audit names, for whoever holds the command line. Until the longest life is over when
    /// no end is known.
    ///
    /// # Errors
    /// [`Refusal::Invalid`]: the text is no `jti` of this service.
    pub async fn revoke_token_id(
        &self,
        token_id: &str,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<DateTime<Utc>, Refusal> {
        if !revocation::is_token_id(token_id) {
            return Err(Refusal::Invalid(format!("`{}` is no jti of this service", token_id.escape_debug())));
        }
        let longest = self.clock.now() + chrono::Duration::seconds(TokenLifetime::MAX_SECONDS.into());
        let expires_at = expires_at.unwrap_or(longest).min(longest);
        // As `exp` is: a whole second, and not an earlier one.
        let expires_at = DateTime::from_timestamp(expires_at.timestamp() + 1, 0).unwrap_or(expires_at);
        self.make_room()?;
        let actor = Actor { method: Some("command_line".into()), ..Actor::default() };
        let revoked = RevokedToken { token_id: token_id.to_owned(), expires_at };
        self.change_as(&actor, &[Mutation::RevokeToken(revoked)], &self.local_context()).await?;
        Ok(expires_at)
    }

    /// One's own; and those for a webservice that one may change, or, of management tokens, those of principals whose
    /// credentials one may change.
    async fn may_revoke(&self, caller: &Authenticated, token: &VerifiedToken) -> Result<bool, Refusal> {
        if token.object_id == caller.facts.principal.object_id {
            return Ok(true);
        }
        if let Some(id) = self.webservice_of(token) {
            return Ok(Scope::parse(&id.text())
                .is_ok_and(|scope| self.allows(caller, action::WEBSERVICE_WRITE, &scope)));
        }
        let holder = self.directory.principal(token.client_id).await?;
        let tenant = caller.facts.principal.tenant_id;
        Ok(holder.is_some_and(|holder| holder.principal.tenant_id == tenant)
            && self.allows(caller, action::PRINCIPAL_CREDENTIALS, &Scope::root()))
    }

    /// What the token opens; `None` for a management token.
    pub(super) fn webservice_of(&self, token: &VerifiedToken) -> Option<WebserviceId> {
        WebserviceId::parse(self.settings.policy.behind_base(&token.audience)?).ok()
    }

    fn make_room(&self) -> Result<(), Refusal> {
        let revoked = &self.directory.revoked;
        if revoked.count() < self.settings.max_revoked_tokens {
            return Ok(());
        }
        revoked.forget_expired(self.clock.now());
        if revoked.count() < self.settings.max_revoked_tokens {
            return Ok(());
        }
        tracing::error!(limit = self.settings.max_revoked_tokens, "the list of revoked tokens is full");
        Err(Refusal::Unavailable("the list of revoked tokens is full".to_owned()))
    }

    /// Removes those that have expired, here and in the database.
    pub async fn forget_revoked_tokens(&self) -> storage::Result<()> {
        let now = self.clock.now();
        self.directory.revoked.forget_expired(now);
        self.show_revoked_tokens();
        self.store.remove_revoked_tokens(now).await
    }

    pub fn show_revoked_tokens(&self) {
        let count = self.directory.revoked.count();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.revoked_tokens.set(number(count));
        self.metrics.revoked_tokens_limit.set(number(self.settings.max_revoked_tokens));
    }

    /// What gateways that check offline may ask for: every revoked token that has not expired. A `jti` tells nobody
    /// anything, so it is for everybody, as the JWKS is.
    pub fn revocation_feed(&self) -> Arc<Document> {
        let (version, now) = (self.directory.revoked.version(), self.clock.steady());
        let mut kept = self.revocation_feed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref()
            && (kept.version == version || now.saturating_sub(kept.made_at) < FEED_LASTS)
        {
            return Arc::clone(&kept.document);
        }
        let all = self.directory.revoked.all().into_iter();
        let revoked =
            all.map(|one| FeedEntry { jti: one.token_id, exp: one.expires_at.timestamp() }).collect();
        let document = FeedDocument { issuer: &self.settings.policy.issuer, revoked };
        let document = Arc::new(Document::of(&document));
        *kept = Some(KeptFeed { version, made_at: now, document: Arc::clone(&document) });
        document
    }
}
