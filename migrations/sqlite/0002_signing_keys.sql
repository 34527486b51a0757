-- Signing keys. Rows are immutable save for revocation and for the destruction of the private bytes.

CREATE TABLE signing_keys (
    kid             TEXT PRIMARY KEY,
    region          TEXT NOT NULL,
    generation      INTEGER NOT NULL CHECK (generation > 0),
    algorithm       TEXT NOT NULL CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
    public_jwk      TEXT NOT NULL,
    -- AES-256-GCM under a data key of this row's own; both null once the key is gone.
    sealed_private  BLOB,
    sealed_data_key BLOB,
    kek_id          BLOB NOT NULL CHECK (length(kek_id) = 8),
    published_at    INTEGER NOT NULL,
    sign_from       INTEGER NOT NULL,
    sign_until      INTEGER NOT NULL,
    remove_at       INTEGER NOT NULL,
    revoked_at      INTEGER,
    UNIQUE (region, generation),
    CHECK (published_at <= sign_from AND sign_from < sign_until AND sign_until < remove_at)
) WITHOUT ROWID, STRICT;
