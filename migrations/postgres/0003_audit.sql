-- The audit. One row for every token, refusal, key reading and change.
--
-- Partitioned by time, so that old records can go by the month. The default partition takes what no other one does: an
-- insert never fails for want of a partition. The key begins with the time, which ids of version 7 follow, so rows are
-- appended at the right edge of the one index.

CREATE TABLE audit_records (
    id             uuid NOT NULL,
    occurred_at    timestamptz NOT NULL,
    event          text NOT NULL,
    outcome        text NOT NULL,
    reason         text,
    object_id      uuid,
    client_id      uuid,
    tenant_id      uuid,
    credential_id  uuid,
    method         text,
    resource       text COLLATE "C",
    token_id       text,
    kid            text,
    expires_at     timestamptz,
    detail         text,
    endpoint       text NOT NULL,
    region         text NOT NULL,
    address        text,
    request_id     text NOT NULL,
    trace_id       text,
    latency_micros bigint NOT NULL,
    -- Where the row stands in its writer's chain; verified by reading all rows, so no index.
    chain          uuid NOT NULL,
    link           bigint NOT NULL CHECK (link >= 0),
    code           bytea NOT NULL CHECK (length(code) = 32),
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);

CREATE TABLE audit_records_default PARTITION OF audit_records DEFAULT;
