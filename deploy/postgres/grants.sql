-- What a running service may do: read and write the registry, the keys and the change log; add to the audit, and neither
-- alter nor remove what is in it. Run as the owner after each `wsts apply`, which may have made new tables. Table by
-- table: "all tables" would open the audit's partitions, which are tables as well.
BEGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, subscriptions, workspaces, webservices, access_keys, principals,
    client_secrets, key_credentials, federated_credentials, role_definitions, role_assignments, signing_keys, changes,
    instance_facts, replicas, token_latencies, used_assertions, revoked_tokens TO wsts_serve;
GRANT SELECT, INSERT ON audit_records TO wsts_serve;
GRANT SELECT ON _sqlx_migrations TO wsts_serve;
COMMIT;
