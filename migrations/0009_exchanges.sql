-- Contracts: only versions that were never released read the tables that are dropped here.

-- The ledger of protocol 2: tickets and receipts are one chain. In it 2n is the place of ticket
-- n, 2n + 1 that of receipt n.
DROP TABLE ticket_runs;
DROP TABLE lanes;

-- How far each lane came. Rows end with their bundle.
CREATE TABLE lanes (
    tenant_id  uuid NOT NULL,
    bundle_id  uuid NOT NULL,
    lane       integer NOT NULL CHECK (lane BETWEEN 0 AND 65535),
    -- The last recorded place, and the number of its exchange.
    last_at    bigint NOT NULL,
    head_n     bigint NOT NULL,
    -- Body and proof of the last ticket, and of the last receipt.
    ticket     bytea NOT NULL,
    receipt    bytea,
    -- Up to which exchange each end has reported; -1: none.
    consumer_n bigint NOT NULL DEFAULT -1,
    producer_n bigint NOT NULL DEFAULT -1,
    -- Since when the producer is behind with its reports; people are told if it lasts.
    unseen_since timestamptz,
    -- An exchange of which another receipt is named than the recorded one, without the
    -- producer's word for it; what named it; and since when its consumer is asked to show it.
    disputed_n     bigint,
    disputed_run   bytea,
    disputed_by    uuid,
    disputed_since timestamptz,
    PRIMARY KEY (tenant_id, bundle_id, lane),
    FOREIGN KEY (tenant_id, bundle_id) REFERENCES bundles
) WITH (fillfactor = 70);
CREATE INDEX lanes_unseen ON lanes (tenant_id, unseen_since) WHERE unseen_since IS NOT NULL;
CREATE INDEX lanes_disputed ON lanes (tenant_id, disputed_since) WHERE disputed_since IS NOT NULL;

-- What each report added to a lane: 32 bytes for each ticket and receipt, and its two proofs.
-- A run is only ever written by the statement that advances its lane. Rows end with their bundle.
CREATE TABLE ticket_runs (
    tenant_id     uuid NOT NULL,
    bundle_id     uuid NOT NULL,
    lane          integer NOT NULL,
    first_at      bigint NOT NULL,
    last_at       bigint NOT NULL,
    -- What the first body names.
    previous      bytea NOT NULL,
    rests         bytea NOT NULL,
    -- Of the run's last ticket and receipt, where it has one.
    ticket_proof  bytea,
    receipt_proof bytea,
    reporter_id   uuid NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, bundle_id, lane, first_at)
) WITH (toast_tuple_target = 8160);
-- Hashes cannot be compressed, and runs of some dozen are better kept beside their numbers than
-- in a table of their own.
ALTER TABLE ticket_runs ALTER COLUMN rests SET STORAGE EXTERNAL;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['lanes', 'ticket_runs']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = armour_tenant()) '
            'WITH CHECK (tenant_id = armour_tenant())', name);
    END LOOP;
END $$;

-- What shows that an endpoint's state was copied. Rows stay: they are evidence.
DROP TABLE collisions;
CREATE TABLE collisions (
    tenant_id    uuid NOT NULL,
    collision_id uuid NOT NULL,
    endpoint_id  uuid NOT NULL,
    role         text NOT NULL CHECK (role IN ('consumer', 'producer')),
    -- H of the start that signed it.
    start_hash   bytea NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('fork', 'producer-clone', 'foreign-receipt',
                     'after-retirement', 'disowned', 'link', 'start')),
    pair_id      uuid,
    bundle_id    uuid,
    lane         integer,
    n            bigint NOT NULL,
    recorded     bytea,
    reported     bytea,
    reporter_id  uuid NOT NULL,
    detected_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, collision_id),
    -- An identity collides once: then it has ended.
    UNIQUE (tenant_id, endpoint_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints
);
ALTER TABLE collisions ENABLE ROW LEVEL SECURITY;
ALTER TABLE collisions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON collisions USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());
