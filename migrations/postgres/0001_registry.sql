-- The registry: who exists, what exists, who may do what.
-- Keys (`*_key`) are lower-case ARM ids: equal keys, same resource. Text that is compared or paged is COLLATE "C": its
-- order is that of its bytes whatever the locale of the database, as in SQLite.

CREATE TABLE tenants (
    id           uuid PRIMARY KEY,
    display_name text NOT NULL
);

CREATE TABLE subscriptions (
    subscription_key text COLLATE "C" PRIMARY KEY,
    id               text NOT NULL,
    tenant_id        uuid NOT NULL REFERENCES tenants (id),
    display_name     text NOT NULL
);

CREATE TABLE workspaces (
    workspace_key    text COLLATE "C" PRIMARY KEY,
    id               text NOT NULL,
    subscription_key text COLLATE "C" NOT NULL REFERENCES subscriptions (subscription_key),
    home_region      text NOT NULL,
    failover_regions text NOT NULL, -- JSON array, in order
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

CREATE INDEX workspaces_by_subscription ON workspaces (subscription_key);

CREATE TABLE webservices (
    webservice_key         text COLLATE "C" PRIMARY KEY,
    id                     text NOT NULL,
    workspace_key          text COLLATE "C" NOT NULL REFERENCES workspaces (workspace_key),
    compute_type           text NOT NULL CHECK (compute_type IN ('AKS', 'ACI', 'Kubernetes')),
    -- One column, so key and token can never be on together.
    auth_mode              text NOT NULL CHECK (auth_mode IN ('key', 'token', 'none')),
    compute_region         text NOT NULL,
    scoring_uri            text,
    token_lifetime_seconds bigint CHECK (token_lifetime_seconds BETWEEN 900 AND 43200),
    description            text,
    tags                   text NOT NULL, -- JSON object of strings
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    CHECK (NOT (compute_type = 'ACI' AND auth_mode = 'token'))
);

CREATE INDEX webservices_by_workspace ON webservices (workspace_key, webservice_key);

CREATE TABLE access_keys (
    webservice_key  text COLLATE "C" NOT NULL REFERENCES webservices (webservice_key) ON DELETE CASCADE,
    name            text COLLATE "C" NOT NULL CHECK (name IN ('Primary', 'Secondary')),
    generation      bigint NOT NULL,
    digest          bytea NOT NULL CHECK (octet_length(digest) = 32),
    sealed_value    bytea NOT NULL,
    sealed_data_key bytea NOT NULL,
    kek_id          bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (webservice_key, name),
    -- One value for both could not be taken out of service by regenerating one of them.
    UNIQUE (webservice_key, digest)
);

CREATE TABLE principals (
    object_id    uuid PRIMARY KEY,
    client_id    uuid NOT NULL UNIQUE,
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    display_name text NOT NULL,
    enabled      boolean NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE INDEX principals_by_tenant ON principals (tenant_id, object_id);

CREATE TABLE client_secrets (
    id           uuid PRIMARY KEY,
    object_id    uuid NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    -- Two places: the database itself refuses a third live secret.
    slot         bigint NOT NULL CHECK (slot IN (1, 2)),
    display_name text,
    digest       bytea NOT NULL CHECK (octet_length(digest) = 32),
    hint         text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    UNIQUE (object_id, slot)
);

-- Certificates: the public key and what assertions may call it.
CREATE TABLE key_credentials (
    id                uuid PRIMARY KEY,
    object_id         uuid NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    display_name      text,
    public_jwk        text NOT NULL,
    sha1_thumbprint   bytea NOT NULL CHECK (octet_length(sha1_thumbprint) = 20),
    sha256_thumbprint bytea NOT NULL CHECK (octet_length(sha256_thumbprint) = 32),
    starts_at         timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL,
    UNIQUE (object_id, sha256_thumbprint)
);

CREATE TABLE federated_credentials (
    id        uuid PRIMARY KEY,
    object_id uuid NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    name      text COLLATE "C" NOT NULL,
    issuer    text COLLATE "C" NOT NULL,
    subject   text COLLATE "C" NOT NULL,
    audience  text COLLATE "C" NOT NULL,
    claims    text NOT NULL, -- JSON object of further claims that must be equal
    UNIQUE (object_id, name),
    UNIQUE (object_id, issuer, subject, audience)
);

CREATE TABLE role_definitions (
    id          uuid PRIMARY KEY,
    name        text COLLATE "C" NOT NULL,
    description text NOT NULL,
    actions     text NOT NULL, -- JSON array of patterns
    not_actions text NOT NULL, -- JSON array of patterns
    built_in    boolean NOT NULL
);

-- Under "C", lower() knows the letters of ASCII only, as NOCASE does in SQLite.
CREATE UNIQUE INDEX role_definitions_by_name ON role_definitions (lower(name));

CREATE TABLE role_assignments (
    id        uuid PRIMARY KEY,
    object_id uuid NOT NULL REFERENCES principals (object_id) ON DELETE CASCADE,
    role_id   uuid NOT NULL REFERENCES role_definitions (id),
    scope     text NOT NULL,
    scope_key text COLLATE "C" NOT NULL,
    UNIQUE (object_id, role_id, scope_key)
);

CREATE INDEX role_assignments_by_scope ON role_assignments (scope_key);
CREATE INDEX role_assignments_by_role ON role_assignments (role_id);

-- What changed, in the transaction that changed it. Replicas follow it to forget what they hold in memory.
-- The number is the greatest one plus one, taken under the commit lock, and no sequence: a sequence gives numbers in
-- another order than that in which transactions commit, and a follower would pass over the late ones. Whoever prunes
-- this table must leave its newest row.
CREATE TABLE changes (
    sequence bigint PRIMARY KEY CHECK (sequence > 0),
    kind     text NOT NULL CHECK (kind IN ('principal', 'webservice', 'workspace', 'roles', 'hierarchy', 'signing_keys')),
    subject  text NOT NULL
);

-- Single facts about this database, such as which pepper its digests were made under.
CREATE TABLE instance_facts (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
