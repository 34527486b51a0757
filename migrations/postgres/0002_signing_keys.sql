-- Signing keys. Rows are immutable save for revocation and for the destruction of the private bytes.

CREATE TABLE signing_keys (
    kid             text COLLATE "C" PRIMARY KEY,
    region          text COLLATE "C" NOT NULL,
    generation      bigint NOT NULL CHECK (generation > 0),
    algorithm       text NOT NULL CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
    public_jwk      text NOT NULL,
    -- AES-256-GCM under a data key of this row's own; both null once the key is gone.
    sealed_private  bytea,
    sealed_data_key bytea,
    kek_id          bytea NOT NULL CHECK (octet_length(kek_id) = 8),
    published_at    timestamptz NOT NULL,
    sign_from       timestamptz NOT NULL,
    sign_until      timestamptz NOT NULL,
    remove_at       timestamptz NOT NULL,
    revoked_at      timestamptz,
    UNIQUE (region, generation),
    CHECK (published_at <= sign_from AND sign_from < sign_until AND sign_until < remove_at)
);
