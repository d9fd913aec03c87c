-- Expands only: earlier control planes go on beside it.

-- Up to which ticket of a lane each end has reported; -1: none, or not since this
-- was kept. People see with it which tickets both ends vouch for.
ALTER TABLE lanes ADD COLUMN consumer_n bigint NOT NULL DEFAULT -1,
    ADD COLUMN producer_n bigint NOT NULL DEFAULT -1;
