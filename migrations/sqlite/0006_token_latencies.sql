-- How long issuing took, counted in buckets: a row for each process, span of time and pair of regions (GET /regions).

CREATE TABLE token_latencies (
    -- A minute (kept for an hour) or a quarter of an hour (kept for a day).
    span_seconds   INTEGER NOT NULL CHECK (span_seconds IN (60, 900)),
    starts_at      INTEGER NOT NULL,
    region         TEXT NOT NULL,
    compute_region TEXT NOT NULL,
    process        BLOB NOT NULL CHECK (length(process) = 16),
    -- JSON object from bucket to count, as domain/latency.rs has them.
    buckets        TEXT NOT NULL,
    PRIMARY KEY (span_seconds, starts_at, region, compute_region, process)
) WITHOUT ROWID, STRICT;
