-- Expands only: earlier control planes go on beside it.

-- When people were told that a bundle's producer does not report what its consumer does; until
-- it does again.
ALTER TABLE bundles ADD COLUMN unwitnessed_at timestamptz;
CREATE INDEX bundles_unwitnessed ON bundles (tenant_id, bundle_id)
    WHERE unwitnessed_at IS NOT NULL;
