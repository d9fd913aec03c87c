-- Expands only: earlier control planes go on beside it.

-- The map of endpoints' states, a sparse Merkle tree (docs/audit.md): its nodes as they are
-- now. At most some 2.5 rows for each endpoint, as long as that stays.
CREATE TABLE map_nodes (
    tenant_id uuid NOT NULL REFERENCES tenants,
    -- Steps below the root, and the turns that lead there: a bit each, in whole bytes.
    depth     smallint NOT NULL CHECK (depth BETWEEN 0 AND 256),
    path      bytea NOT NULL CHECK (octet_length(path) = (depth + 7) / 8),
    hash      bytea NOT NULL CHECK (octet_length(hash) = 32),
    -- What the map says of an endpoint, if that alone is below this node.
    leaf      bytea,
    PRIMARY KEY (tenant_id, depth, path)
) WITH (fillfactor = 70);
ALTER TABLE map_nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE map_nodes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON map_nodes USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());

-- The map's root, which the log's heads hold; null until a log of before has a map.
ALTER TABLE journals ADD COLUMN map_root bytea CHECK (octet_length(map_root) = 32);
-- The same after each entry; null in those from before there was a map.
ALTER TABLE audit_entries ADD COLUMN map_root bytea;
