-- Expands: whoever owns the tables calls these functions as before. The partitions that one of them
-- drops hold entries that are kept no longer.
--
-- The role that serves owns nothing. The audit log's partitions it has made and dropped by
-- functions of the owner's, which do no more than that, whatever their caller's search path.

-- A month near today's, so that nobody fills the catalogue with partitions.
CREATE OR REPLACE FUNCTION armour_audit_partition(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', day);
    name text := 'audit_entries_' || to_char(first, 'YYYY_MM');
BEGIN
    IF day NOT BETWEEN (current_date - interval '10 years')::date
                   AND (current_date + interval '1 year')::date THEN
        RAISE EXCEPTION 'no partition of the audit log for %: it is too far from today', day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('armour_audit_partition'));
    IF to_regclass(name) IS NOT NULL THEN RETURN false; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_entries FOR VALUES FROM (%L) TO (%L)',
        name, first || ' 00:00+00', (first + interval '1 month')::date || ' 00:00+00');
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = armour_tenant()) '
        'WITH CHECK (tenant_id = armour_tenant())', name);
    RETURN true;
END $$;

-- What ended before today, and never a month that is written to.
CREATE OR REPLACE FUNCTION armour_audit_retain(since date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    name text;
    dropped integer := 0;
BEGIN
    IF since > current_date THEN
        RAISE EXCEPTION 'the audit log is kept until today at least, and not only from %', since
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('armour_audit_partition'));
    FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_entries'::regclass
          AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= since
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- As their owner, with that owner's schema alone to be searched; temporary tables come last. The
-- migration grants them to the role that serves.
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['armour_audit_partition(date)', 'armour_audit_retain(date)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
            name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;
