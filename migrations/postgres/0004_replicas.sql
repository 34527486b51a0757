-- The processes that serve now or did so lately: each writes its row at start and every few seconds, and takes it away
-- when it stops in good order. Both times are the server's.

CREATE TABLE replicas (
    id         uuid PRIMARY KEY, -- random, one a process
    region     text COLLATE "C" NOT NULL,
    version    text NOT NULL,
    -- The ids of the KEKs that it can open rows with, 8 bytes each, the one that seals first.
    kek_ids    bytea NOT NULL CHECK (octet_length(kek_ids) % 8 = 0),
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);
