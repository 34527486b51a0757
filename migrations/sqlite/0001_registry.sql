-- The registry: who exists, what exists, who may do what.
-- Keys (`*_key`) are lower-case ARM ids: equal keys, same resource. Times are Unix microseconds, UUIDs 16 bytes.

CREATE TABLE tenants (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    display_name TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE subscriptions (
    subscription_key TEXT PRIMARY KEY,
    id               TEXT NOT NULL,
    tenant_id        BLOB NOT NULL REFERENCES tenants (id),
    display_name     TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE workspaces (
    workspace_key    TEXT PRIMARY KEY,
    id               TEXT NOT NULL,
    subscription_key TEXT NOT NULL REFERENCES subscriptions (subscription_key),
    home_region      TEXT NOT NULL,
    failover_regions TEXT NOT NULL, -- JSON array, in order
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE webservices (
    webservice_key         TEXT PRIMARY KEY,
    id                     TEXT NOT NULL,
    workspace_key          TEXT NOT NULL REFERENCES workspaces (workspace_key),
    compute_type           TEXT NOT NULL CHECK (compute_type IN ('AKS', 'ACI', 'Kubernetes')),
    -- One column, so key and token can never be on together.
    auth_mode              TEXT NOT NULL CHECK (auth_mode IN ('key', 'token', 'none')),
    compute_region         TEXT NOT NULL,
    scoring_uri            TEXT,
    token_lifetime_seconds INTEGER CHECK (token_lifetime_seconds BETWEEN 900 AND 43200),
    description            TEXT,
    tags                   TEXT NOT NULL, -- JSON object of strings
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL,
    CHECK (NOT (compute_type = 'ACI' AND auth_mode = 'token'))
) WITHOUT ROWID, STRICT;

CREATE INDEX webservices_by_workspace ON webservices (workspace_key, webservice_key);

CREATE TABLE access_keys (
    webservice_key TEXT NOT NULL REFERENCES webservices (webservice_key) ON DELETE CASCADE,
    name           TEXT NOT NULL CHECK (name IN ('Primary', 'Secondary')),
    generation     INTEGER NOT NULL,
    digest         BLOB NOT NULL CHECK (length(digest) = 32),
    sealed_value   BLOB NOT NULL,
    sealed_data_key BLOB NOT NULL,
    kek_id         BLOB NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (webservice_key, name),
    -- One value for both could not be taken out of service by regenerating one of them.
    UNIQUE (webservice_key, digest)
) WITHOUT ROWID, STRICT;

CREATE TABLE principals (
    object_id    BLOB PRIMARY KEY CHECK (length(object_id) = 16),
    client_id    BLOB NOT NULL UNIQUE CHECK (length(client_id) = 16),
    tenant_id    BLOB NOT NULL REFERENCES tenants (id),
    display_name TEXT NOT NULL,
    enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at   INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE client_secrets (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    object_id    BLOB NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    -- Two places: the database itself refuses a third live secret.
    slot         INTEGER NOT NULL CHECK (slot IN (1, 2)),
    display_name TEXT,
    digest       BLOB NOT NULL CHECK (length(digest) = 32),
    hint         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    UNIQUE (object_id, slot)
) WITHOUT ROWID, STRICT;

-- Certificates: the public key and what assertions may call it.
CREATE TABLE key_credentials (
    id                BLOB PRIMARY KEY CHECK (length(id) = 16),
    object_id         BLOB NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    display_name      TEXT,
    public_jwk        TEXT NOT NULL,
    sha1_thumbprint   BLOB NOT NULL CHECK (length(sha1_thumbprint) = 20),
    sha256_thumbprint BLOB NOT NULL CHECK (length(sha256_thumbprint) = 32),
    starts_at         INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    UNIQUE (object_id, sha256_thumbprint)
) WITHOUT ROWID, STRICT;

CREATE TABLE federated_credentials (
    id        BLOB PRIMARY KEY CHECK (length(id) = 16),
    object_id BLOB NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    audience  TEXT NOT NULL,
    claims    TEXT NOT NULL, -- JSON object of further claims that must be equal
    UNIQUE (object_id, name),
    UNIQUE (object_id, issuer, subject, audience)
) WITHOUT ROWID, STRICT;

CREATE TABLE role_definitions (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    name        TEXT NOT NULL COLLATE NOCASE UNIQUE,
    description TEXT NOT NULL,
    actions     TEXT NOT NULL, -- JSON array of patterns
    not_actions TEXT NOT NULL, -- JSON array of patterns
    built_in    INTEGER NOT NULL CHECK (built_in IN (0, 1))
) WITHOUT ROWID, STRICT;

CREATE TABLE role_assignments (
    id        BLOB PRIMARY KEY CHECK (length(id) = 16),
    object_id BLOB NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    role_id   BLOB NOT NULL REFERENCES role_definitions (id),
    scope     TEXT NOT NULL,
    scope_key TEXT NOT NULL,
    UNIQUE (object_id, role_id, scope_key)
) WITHOUT ROWID, STRICT;

CREATE INDEX role_assignments_by_scope ON role_assignments (scope_key);

-- What changed, in the transaction that changed it. Replicas follow it to forget what they hold in memory.
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL CHECK (kind IN ('principal', 'webservice', 'workspace', 'roles', 'hierarchy', 'signing_keys')),
    subject  TEXT NOT NULL
) STRICT;

-- Single facts about this database, such as which pepper its digests were made under.
CREATE TABLE instance_facts (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID, STRICT;
