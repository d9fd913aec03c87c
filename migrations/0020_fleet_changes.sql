-- Expands: earlier control planes go on beside it, and count changes where they did.

-- How often what assignments depend on has changed at a producer, and when it last did: its
-- consumers ask again then, and nobody else does. In journals' columns `assignments` and
-- `assignments_at` nothing is counted any more. A row for each producer; it stays as that does.
CREATE TABLE fleet_changes (
    tenant_id  uuid NOT NULL,
    party_id   uuid NOT NULL,
    number     bigint NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, party_id),
    FOREIGN KEY (tenant_id, party_id) REFERENCES parties
);
ALTER TABLE fleet_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE fleet_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON fleet_changes USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());

-- When an endpoint last began to serve again, or ceased to: one that goes to and fro is not
-- believed each time.
ALTER TABLE endpoints ADD COLUMN phase_at timestamptz;

-- When the service was there last before the break that ended most lately: what a database lacks
-- that took the place of another one is no more than what came after that.
ALTER TABLE unbroken_service ADD COLUMN before_at timestamptz;

-- Bundles that go on after a fence if both their ends say so: a row for each end that has not. An
-- end deletes its own; what is left after some minutes ends with its bundle, and is deleted.
CREATE TABLE suspect_bundles (
    tenant_id   uuid NOT NULL,
    bundle_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    fenced_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, bundle_id, endpoint_id)
);
CREATE INDEX suspect_bundles_due ON suspect_bundles (tenant_id, fenced_at);
ALTER TABLE suspect_bundles ENABLE ROW LEVEL SECURITY;
ALTER TABLE suspect_bundles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON suspect_bundles USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());
