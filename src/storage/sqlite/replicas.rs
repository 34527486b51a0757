//! The processes that serve. A file has no clock, so times are those of the processes, all of one machine.

use chrono::{DateTime, Utc};
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::codec::{micros, unavailable};
use crate::domain::ids::ReplicaId;
use crate::storage::{REPLICA_KEPT_FOR, REPLICA_LIVES_FOR, Replica, Result, read};

pub async fn announce(connection: &mut SqliteConnection, replica: &Replica) -> Result<()> {
    let sql = "INSERT INTO replicas (id, region, version, kek_ids, started_at, seen_at) VALUES (?, ?, ?, ?, ?, ?) \
               ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
    let announced = sqlx::query(sql)
        .bind(replica.id.uuid())
        .bind(replica.region.as_str())
        .bind(&replica.version)
        .bind(replica.kek_ids.concat())
        .bind(micros(replica.started_at))
        .bind(micros(replica.seen_at));
    announced.execute(&mut *connection).await.map_err(unavailable)?;
    let forgotten = sqlx::query("DELETE FROM replicas WHERE seen_at < ?")
        .bind(micros(replica.seen_at - REPLICA_KEPT_FOR))
        .execute(connection);
    forgotten.await.map_err(unavailable).map(drop)
}

pub async fn remove(connection: &mut SqliteConnection, id: ReplicaId) -> Result<()> {
    let query = sqlx::query("DELETE FROM replicas WHERE id = ?").bind(id.uuid());
    query.execute(connection).await.map_err(unavailable).map(drop)
}

pub async fn live(pool: &SqlitePool, now: DateTime<Utc>) -> Result<Vec<Replica>> {
    let rows = sqlx::query("SELECT * FROM replicas WHERE seen_at > ? ORDER BY region, started_at, id")
        .bind(micros(now - REPLICA_LIVES_FOR))
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read::replica).collect()
}
