-- Expands only: earlier control planes go on beside it.

-- Which call has claimed a key, and when its change was committed: in the change's own
-- transaction, so that nothing runs again whose outcome is known, though its answer was lost.
ALTER TABLE idempotency_keys ADD COLUMN claim_id uuid, ADD COLUMN committed_at timestamptz;

-- Since when a receiver is told nothing: it answered that it is gone.
ALTER TABLE webhooks ADD COLUMN disabled_at timestamptz;
-- What a receiver was not told yet, which ends with its being disabled.
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (tenant_id, webhook_id)
    WHERE state = 'pending';
