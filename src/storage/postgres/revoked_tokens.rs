//! The deny-list of tokens.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgPool};

use super::codec::{instant, unavailable};
use super::mutations::{changed, run};
use crate::domain::revocation::RevokedToken;
use crate::storage::{Result, read};

pub async fn add(connection: &mut PgConnection, revoked: &RevokedToken) -> Result<()> {
    let sql = "INSERT INTO revoked_tokens (token_id, expires_at) VALUES ($1, $2) \
               ON CONFLICT (token_id) DO NOTHING";
    let query = sqlx::query(sql).bind(&revoked.token_id).bind(instant(revoked.expires_at));
    run(connection, query, &revoked.token_id).await?;
    changed(connection, "token", &read::token_subject(revoked)).await
}

pub async fn all(pool: &PgPool) -> Result<Vec<RevokedToken>> {
    let query = sqlx::query("SELECT token_id, expires_at FROM revoked_tokens");
    let rows = query.fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::revoked_token).collect()
}

pub async fn remove(pool: &PgPool, until: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("DELETE FROM revoked_tokens WHERE expires_at <= $1").bind(instant(until));
    query.execute(pool).await.map_err(unavailable).map(drop)
}
