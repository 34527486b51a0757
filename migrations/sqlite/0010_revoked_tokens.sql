-- Tokens that were called back (RFC 7009), until they expire.

CREATE TABLE revoked_tokens (
    token_id   TEXT PRIMARY KEY, -- jti
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX revoked_tokens_by_end ON revoked_tokens (expires_at);

-- The change log tells of them, too. SQLite alters no check, so the table is made anew with the numbers going on.
CREATE TABLE changes_anew (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL CHECK (kind IN ('principal', 'webservice', 'workspace', 'roles', 'hierarchy', 'signing_keys', 'token')),
    subject  TEXT NOT NULL
) STRICT;
INSERT INTO changes_anew (sequence, kind, subject) SELECT sequence, kind, subject FROM changes ORDER BY sequence;
DROP TABLE changes;
ALTER TABLE changes_anew RENAME TO changes;
