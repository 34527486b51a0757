-- The audit. One row for every token, refusal, key reading and change.
--
-- The record is one text (json, not jsonb, keeps it as it is), over which the code of its link was made; its members are
-- read where they are wanted: record ->> 'event'. The key begins with the time of the link, so rows are appended at the
-- right edge of the one index; a chain has no second record in a microsecond. The link is verified by reading all rows,
-- so it has no index.

CREATE TABLE audit_records (
    linked_at timestamptz NOT NULL,
    chain     uuid NOT NULL,
    link      bigint NOT NULL CHECK (link >= 0),
    id        uuid NOT NULL,
    code      bytea NOT NULL CHECK (length(code) = 32),
    record    json NOT NULL,
    PRIMARY KEY (linked_at, chain)
) PARTITION BY RANGE (linked_at);

-- Takes what no month does: an insert never fails for want of a partition.
CREATE TABLE audit_records_default PARTITION OF audit_records DEFAULT;

-- Makes partitions for this month (UTC) and the next two, so that old records can go by the month. With the rights of
-- the owner, so that a role which may only append can call it; what it makes is empty.
CREATE FUNCTION prepare_audit_records() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
DECLARE
    first timestamp;
    name  text;
BEGIN
    FOR ahead IN 0..2 LOOP
        first := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
        name := 'audit_records_' || to_char(first, 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        BEGIN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF audit_records FOR VALUES FROM (%L) TO (%L)',
                name, first AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC'
            );
        EXCEPTION
            -- Another replica was faster, or others hold the table: the next call is soon enough.
            WHEN duplicate_table OR lock_not_available THEN NULL;
            -- The default partition has rows of that month already, and keeps them.
            WHEN check_violation THEN NULL;
        END;
    END LOOP;
END
$$;
