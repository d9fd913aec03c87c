-- Expands: earlier control planes go on beside it. What they record meanwhile is counted anew by
-- a job.

-- The audit log by who, what and whom: each partition was read from end to end.
CREATE INDEX audit_entries_actor ON audit_entries (tenant_id, actor, seq);
CREATE INDEX audit_entries_target ON audit_entries (tenant_id, target, seq);
CREATE INDEX audit_entries_action ON audit_entries (tenant_id, action COLLATE "C", seq);

-- How many exchanges a tenant's lanes have recorded, in parts so that transactions at the same time
-- need not wait for each other: their sum is the number. Part -1 is what was recorded before there
-- were parts, and by control planes that know of none: it is counted once, and again a day later, when
-- there are none of those. A tenant has few rows, which stay.
CREATE TABLE exchange_counts (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    part       smallint NOT NULL,
    exchanges  bigint NOT NULL,
    -- When it is counted again, if it is.
    again_at   timestamptz,
    PRIMARY KEY (tenant_id, part)
) WITH (fillfactor = 50);
ALTER TABLE exchange_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE exchange_counts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON exchange_counts USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());

-- The latest acknowledgements, for the overview.
CREATE INDEX obediences_latest ON obediences (tenant_id, obeyed_at);
-- Until when all disconnects of an endpoint's bundles are acknowledged: those before are not looked
-- at again.
ALTER TABLE endpoints ADD COLUMN obeyed_until timestamptz;
