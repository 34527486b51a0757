-- The audit. One row for every token, refusal, key reading and change.
--
-- The record is one text, over which the code of its link was made; SQLite reads its members where they are wanted:
-- record ->> '$.event'. The position is the time of the link in microseconds, then eleven bits of the chain. Rows are so
-- appended at the right edge of the one tree that SQLite appends to without rebalancing, and a range of time is a range
-- of positions. A unique index on the chain and the link, or on the id, would double the pages that a commit writes; a
-- further index on the principal would touch a page for each row of a batch.

CREATE TABLE audit_records (
    position  INTEGER PRIMARY KEY,
    id        BLOB NOT NULL CHECK (length(id) = 16),
    -- Where the row stands in its writer's chain; verified by reading all rows, so no index.
    chain     BLOB NOT NULL CHECK (length(chain) = 16),
    link      INTEGER NOT NULL CHECK (link >= 0),
    linked_at INTEGER NOT NULL,
    code      BLOB NOT NULL CHECK (length(code) = 32),
    record    TEXT NOT NULL
) STRICT;
