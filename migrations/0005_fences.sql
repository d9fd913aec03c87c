-- Expands only.

-- Where a tenant's ledger and log went on after the database had been restored to an
-- earlier state: after the log's entry `seq - 1` others were written before, and lost.
CREATE TABLE fences (
    tenant_id uuid NOT NULL REFERENCES tenants,
    seq       bigint NOT NULL,
    fenced_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
ALTER TABLE fences ENABLE ROW LEVEL SECURITY;
ALTER TABLE fences FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON fences USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());

-- Whose turn it is to walk all tenants; the others leave it to that replica.
CREATE TABLE turns (
    name  text PRIMARY KEY,
    until timestamptz NOT NULL
);
