-- Expands only: earlier control planes go on beside it.

-- An endpoint's bundles that are in use: its end disconnects them, and a later start supersedes
-- them. Those of a pair have an index already.
CREATE INDEX bundles_active_consumer ON bundles (tenant_id, consumer_endpoint_id)
    WHERE state = 'active';
CREATE INDEX bundles_active_producer ON bundles (tenant_id, producer_endpoint_id)
    WHERE state = 'active';
-- What was superseded so lately that it may still be used. There is no end to what ever was.
CREATE INDEX bundles_superseded ON bundles (tenant_id, superseded_at)
    WHERE state = 'superseded';
