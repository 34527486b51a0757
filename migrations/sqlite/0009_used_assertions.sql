-- Client assertions that were shown, where each may be shown once (oauth.client_assertion_jti), until they expire.

CREATE TABLE used_assertions (
    digest     BLOB PRIMARY KEY CHECK (length(digest) = 32), -- SHA-256 over issuer and jti
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX used_assertions_by_end ON used_assertions (expires_at);
