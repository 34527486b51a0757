//! The deny-list of tokens: told by the change log, kept once, forgotten when they have expired.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use workspace_sts::domain::revocation::RevokedToken;
use workspace_sts::storage::{Change, Mutation, Store};

use crate::samples::*;

/// `exp` is a whole second.
fn whole(end: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(at(end).timestamp(), 0).unwrap()
}

fn revoked(id: &str, end: i64) -> RevokedToken {
    RevokedToken { token_id: id.to_owned(), expires_at: whole(end) }
}

async fn listed(store: &Arc<dyn Store>) -> Vec<RevokedToken> {
    let mut all = store.revoked_tokens().await.unwrap();
    all.sort_by(|one, other| one.token_id.cmp(&other.token_id));
    all
}

pub async fn a_revoked_token_is_listed_and_told_until_it_expires(store: Arc<dyn Store>) {
    let before = store.last_change().await.unwrap();
    let revoke = async |one: RevokedToken| store.commit(&[Mutation::RevokeToken(one)], &[]).await.unwrap();
    assert_eq!(revoke(revoked("a-Z_9", 10)).await, [Change::Token(revoked("a-Z_9", 10))]);
    revoke(revoked("b", 20)).await;
    // Once more: what is listed stays as it is.
    revoke(revoked("b", 30)).await;
    assert_eq!(listed(&store).await, [revoked("a-Z_9", 10), revoked("b", 20)]);
    let (_, changes) = store.changes_after(before).await.unwrap();
    assert_eq!(changes[..2], [Change::Token(revoked("a-Z_9", 10)), Change::Token(revoked("b", 20))]);
    store.remove_revoked_tokens(whole(9)).await.unwrap();
    assert_eq!(listed(&store).await.len(), 2);
    store.remove_revoked_tokens(whole(10)).await.unwrap();
    assert_eq!(listed(&store).await, [revoked("b", 20)]);
}
