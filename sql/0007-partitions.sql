-- Messages in a partition for each month in which they were written down, so that old ones go with their partition.
-- `seen` says which partition a message is in: `seen_at` is the `created_at` of its row, and whoever makes a row makes
-- the mark first. Everything that is there is carried over, under the indexes that there are.
CREATE TEMPORARY TABLE message_indexes ON COMMIT DROP AS
SELECT indexdef FROM pg_indexes
WHERE schemaname = current_schema() AND tablename = 'messages' AND indexname <> 'messages_pkey';

ALTER TABLE messages RENAME TO messages_whole;
ALTER TABLE messages_whole DROP CONSTRAINT messages_pkey;
CREATE TABLE messages (
    LIKE messages_whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (tenant_id, message_id, created_at)
) PARTITION BY RANGE (created_at);
-- For a month whose partition nobody has made in time.
CREATE TABLE messages_default PARTITION OF messages DEFAULT WITH (fillfactor = 80);

-- Makes the partition of a month, which begins in UTC. False when there is one, or when rows of that month have gone to
-- the default partition and stay there.
CREATE FUNCTION make_messages_partition(month date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    partition_name text := 'messages_' || to_char(month, 'YYYY_MM');
    begins timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    ends timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(partition_name) IS NOT NULL
       OR EXISTS (SELECT FROM messages_default WHERE created_at >= begins AND created_at < ends) THEN
        RETURN false;
    END IF;
    -- Attached, and not created in place: that would shut everybody out of all of `messages`.
    EXECUTE format('CREATE TABLE %I (LIKE messages INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 80)',
                   partition_name);
    EXECUTE format('ALTER TABLE messages ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   partition_name, begins, ends);
    RETURN true;
END $$;

SELECT make_messages_partition(month) FROM (
    SELECT DISTINCT date_trunc('month', created_at AT TIME ZONE 'UTC')::date AS month FROM messages_whole
    UNION
    SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead))::date
    FROM generate_series(0, 1) AS ahead
) months;

INSERT INTO messages SELECT * FROM messages_whole;
INSERT INTO seen (tenant_id, key_hash, seen_at) SELECT tenant_id, message_id, created_at FROM messages_whole
ON CONFLICT (tenant_id, key_hash) DO UPDATE SET seen_at = excluded.seen_at;
DROP TABLE messages_whole;

DO $$
DECLARE
    definition text;
BEGIN
    FOR definition IN SELECT indexdef FROM message_indexes LOOP
        EXECUTE definition;
    END LOOP;
END $$;
