-- How long issuing took, counted in buckets: a row for each process, span of time and pair of regions (GET /regions).

CREATE TABLE token_latencies (
    -- A minute (kept for an hour) or a quarter of an hour (kept for a day).
    span_seconds   bigint NOT NULL CHECK (span_seconds IN (60, 900)),
    starts_at      timestamptz NOT NULL,
    region         text COLLATE "C" NOT NULL,
    compute_region text COLLATE "C" NOT NULL,
    process        uuid NOT NULL,
    -- JSON object from bucket to count, as domain/latency.rs has them.
    buckets        text NOT NULL,
    PRIMARY KEY (span_seconds, starts_at, region, compute_region, process)
);
