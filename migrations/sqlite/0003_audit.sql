-- The audit. One row for every token, refusal, key reading and change.
--
-- The id is a UUID of version 7, so rows are appended at the right edge of one tree and a range of time is a range
-- of ids. There is no further index on purpose: one on the principal would touch a page for each row of a batch,
-- and so multiply what a commit writes.

CREATE TABLE audit_records (
    id             BLOB PRIMARY KEY CHECK (length(id) = 16),
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
    latency_micros INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
