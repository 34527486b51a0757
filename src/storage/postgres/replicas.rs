//! The processes that serve, by the server's clock.

use sqlx::postgres::PgPool;

use super::codec::unavailable;
use crate::domain::ids::ReplicaId;
use crate::storage::{REPLICA_KEPT_FOR, REPLICA_LIVES_FOR, Replica, Result, read};

pub async fn announce(pool: &PgPool, replica: &Replica) -> Result<()> {
    let sql = "INSERT INTO replicas (id, region, version, kek_ids, started_at, seen_at) \
               VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp()) \
               ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
    let announced = sqlx::query(sql)
        .bind(replica.id.uuid())
        .bind(replica.region.as_str())
        .bind(&replica.version)
        .bind(replica.kek_ids.concat());
    announced.execute(pool).await.map_err(unavailable)?;
    let forgotten = sqlx::query("DELETE FROM replicas WHERE seen_at < clock_timestamp() - $1")
        .bind(REPLICA_KEPT_FOR)
        .execute(pool);
    forgotten.await.map_err(unavailable).map(drop)
}

pub async fn remove(pool: &PgPool, id: ReplicaId) -> Result<()> {
    let query = sqlx::query("DELETE FROM replicas WHERE id = $1").bind(id.uuid());
    query.execute(pool).await.map_err(unavailable).map(drop)
}

pub async fn live(pool: &PgPool) -> Result<Vec<Replica>> {
    let sql = "SELECT * FROM replicas WHERE seen_at > clock_timestamp() - $1 ORDER BY region, started_at, id";
    let rows = sqlx::query(sql).bind(REPLICA_LIVES_FOR).fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::replica).collect()
}
