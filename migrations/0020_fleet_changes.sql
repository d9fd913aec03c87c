-- Expands: earlier control planes go on beside it.

-- How often what assignments depend on has changed at a producer, and when it last did: its
-- consumers ask again then, and nobody else does. A row for each producer; it stays as that does.
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

-- Deleted tenants whose names are still known: few, among all that ever were.
CREATE INDEX tenants_to_forget ON tenants (tenant_id)
    WHERE deleted_at IS NOT NULL AND name <> 'deleted ' || tenant_id::text;
