//! SQLite for the suite: a file in a directory of its own.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use workspace_sts::storage::sqlite::SqliteStore;
use workspace_sts::storage::{Result, Store};

use crate::database::Database;

pub struct SqliteFile(tempfile::TempDir);

pub async fn fresh() -> SqliteFile {
    SqliteFile(tempfile::tempdir().expect("a temporary directory"))
}

impl SqliteFile {
    pub fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new().filename(self.path())
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.0.path().join("wsts.db")
    }

    async fn execute(&self, sql: &str) {
        let mut connection = SqliteConnection::connect_with(&self.options()).await.expect("the file opens");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("lawful SQL");
        connection.close().await.expect("the file closes");
    }
}

#[async_trait]
impl Database for SqliteFile {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(SqliteStore::open(&self.path()).await?))
    }

    fn configured(&self) -> String {
        format!("sqlite_file = {:?}", self.path())
    }

    async fn run(&self, sql: &str) {
        self.execute(sql).await;
    }

    async fn pretend_newer_migration(&self) {
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                   VALUES (9999, 'from the future', 1, x'00', 0)";
        self.execute(sql).await;
    }

    async fn pretend_altered_migration(&self) {
        self.execute("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await;
    }
}
