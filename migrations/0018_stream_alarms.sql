-- Expands only: earlier control planes go on beside it.

-- The last sub-ticket of a lane's last line that was answered; how far the lane's producer has reported
-- such lines, the exchange and the sub-ticket; and since when it is behind with the last one. One that
-- is not answered shows nothing: whoever hangs up leaves one now and then.
ALTER TABLE lanes
    ADD COLUMN sub_k bigint,
    ADD COLUMN producer_sub_n bigint NOT NULL DEFAULT -1,
    ADD COLUMN producer_sub_k bigint NOT NULL DEFAULT 0,
    ADD COLUMN sub_unseen_since timestamptz;
-- Of the few lanes that are behind.
CREATE INDEX lanes_sub_unseen ON lanes (tenant_id, sub_unseen_since)
    WHERE sub_unseen_since IS NOT NULL;

-- When either side told first of a checkpoint that an end's key signed and not that end: people
-- are told once of each side's word.
ALTER TABLE bundles
    ADD COLUMN consumer_alarm_at timestamptz,
    ADD COLUMN producer_alarm_at timestamptz;
