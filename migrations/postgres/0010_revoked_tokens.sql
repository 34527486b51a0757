-- Tokens that were called back (RFC 7009), until they expire.

CREATE TABLE revoked_tokens (
    token_id   text COLLATE "C" PRIMARY KEY, -- jti
    expires_at timestamptz NOT NULL
);

CREATE INDEX revoked_tokens_by_end ON revoked_tokens (expires_at);

-- The change log tells of them, too.
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check
    CHECK (kind IN ('principal', 'webservice', 'workspace', 'roles', 'hierarchy', 'signing_keys', 'token'));
