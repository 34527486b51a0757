-- The processes that serve now or did so lately: each writes its row at start and every few seconds, and takes it away
-- when it stops in good order.

CREATE TABLE replicas (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16), -- random, one a process
    region     TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- The ids of the KEKs that it can open rows with, 8 bytes each, the one that seals first.
    kek_ids    BLOB NOT NULL CHECK (length(kek_ids) % 8 = 0),
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
