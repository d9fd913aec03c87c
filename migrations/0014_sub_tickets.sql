-- Expands only: earlier control planes go on beside it.

-- Sub-tickets and sub-receipts, by which the streams of an exchange re-key. In such a line 2k is
-- the place of sub-ticket k, 2k + 1 that of its sub-receipt. What each report added to a line: 32
-- bytes for each, and its two proofs. A run is only ever written by the statement that advances
-- its line. Rows end with their bundle.
CREATE TABLE sub_ticket_runs (
    tenant_id     uuid NOT NULL,
    bundle_id     uuid NOT NULL,
    lane          integer NOT NULL,
    -- The exchange.
    n             bigint NOT NULL,
    first_at      bigint NOT NULL,
    last_at       bigint NOT NULL,
    -- What the first body names.
    previous      bytea NOT NULL,
    rests         bytea NOT NULL,
    -- Of the run's last sub-ticket and sub-receipt, where it has one.
    ticket_proof  bytea,
    receipt_proof bytea,
    reporter_id   uuid NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, bundle_id, lane, n, first_at)
) WITH (toast_tuple_target = 8160);
-- As those of ticket_runs.
ALTER TABLE sub_ticket_runs ALTER COLUMN rests SET STORAGE EXTERNAL;
ALTER TABLE sub_ticket_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE sub_ticket_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON sub_ticket_runs USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());

-- The lane's last line: its exchange, and body and proof of its last sub-ticket and sub-receipt.
ALTER TABLE lanes
    ADD COLUMN sub_n bigint,
    ADD COLUMN sub_ticket bytea,
    ADD COLUMN sub_receipt bytea,
    -- The sub-receipt that is disputed; 0 if it is a receipt.
    ADD COLUMN disputed_k bigint NOT NULL DEFAULT 0;

-- The lane's last sub-ticket or sub-receipt, where its side's list names one.
ALTER TABLE bundle_retirements
    ADD COLUMN sub_n bigint,
    ADD COLUMN sub_k bigint,
    ADD COLUMN sub_hash bytea;

-- The sub-ticket of the exchange, for those of a line.
ALTER TABLE collisions ADD COLUMN k bigint;
