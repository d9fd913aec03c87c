-- What the console shows besides: who changed a pair since it was read, who reported
-- which tickets and when, when endpoints obeyed a disconnect, which replicas there are.
-- Expand only: the version before serves on with all of it.

ALTER TABLE pairs ADD COLUMN revision integer NOT NULL DEFAULT 1;
CREATE INDEX pairs_producer ON pairs (tenant_id, producer_id);

-- Unknown for runs that were recorded before.
ALTER TABLE ticket_runs ADD COLUMN reporter_id uuid, ADD COLUMN recorded_at timestamptz;
ALTER TABLE ticket_runs ALTER COLUMN recorded_at SET DEFAULT now();

-- What went wrong last at an endpoint, as it says itself.
ALTER TABLE endpoints ADD COLUMN last_error text, ADD COLUMN last_error_at timestamptz;

-- An endpoint's first sign of life after a disconnect that no longer names the bundle.
CREATE TABLE obediences (
    tenant_id   uuid NOT NULL,
    bundle_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    obeyed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, bundle_id, endpoint_id),
    FOREIGN KEY (tenant_id, bundle_id) REFERENCES bundles,
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints
);
ALTER TABLE obediences ENABLE ROW LEVEL SECURITY;
ALTER TABLE obediences FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON obediences USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());

-- Of an endpoint's bundles those that are disconnected and not yet obeyed.
CREATE INDEX bundles_consumer ON bundles (tenant_id, consumer_endpoint_id, disconnected_at);
CREATE INDEX bundles_producer ON bundles (tenant_id, producer_endpoint_id, disconnected_at);

-- The platform's own.
CREATE TABLE replicas (
    replica_id uuid PRIMARY KEY,
    version    text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
);
