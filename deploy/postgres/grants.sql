-- What a running service may do: read and write the registry, the keys and the change log; add to the audit, and neither
-- alter nor remove what is in it. Run as the owner after each `wsts apply`, which may have made new tables.
BEGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO wsts_serve;
-- The audit with every partition it has by now: the line above has just opened them all.
SELECT format('REVOKE UPDATE, DELETE ON %s FROM wsts_serve', relid) FROM pg_partition_tree('audit_records') \gexec
COMMIT;
