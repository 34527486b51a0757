-- The audit. One row for every token, refusal, key reading and change.
--
-- The position is 63 bits of the id: its time to a quarter of a microsecond, then some of its randomness. Rows are so
-- appended at the right edge of the one tree that SQLite appends to without rebalancing, and a range of time is a range
-- of positions. A unique index on the id, or the id as the key of a table without rowid, would double the pages that a
-- commit writes; a further index on the principal would touch a page for each row of a batch.

CREATE TABLE audit_records (
    position       INTEGER PRIMARY KEY,
    id             BLOB NOT NULL CHECK (length(id) = 16),
    occurred_at    INTEGER NOT NULL,
    event          TEXT NOT NULL,
    outcome        TEXT NOT NULL,
    reason         TEXT,
    object_id      BLOB,
    client_id      BLOB,
    tenant_id      BLOB,
    credential_id  BLOB,
    method         TEXT,
    resource       TEXT,
    token_id       TEXT,
    kid            TEXT,
    expires_at     INTEGER,
    detail         TEXT,
    endpoint       TEXT NOT NULL,
    region         TEXT NOT NULL,
    address        TEXT,
    request_id     TEXT NOT NULL,
    trace_id       TEXT,
    latency_micros INTEGER NOT NULL,
    -- Where the row stands in its writer's chain; verified by reading all rows, so no index.
    chain          BLOB NOT NULL CHECK (length(chain) = 16),
    link           INTEGER NOT NULL CHECK (link >= 0),
    code           BLOB NOT NULL CHECK (length(code) = 32)
) STRICT;
