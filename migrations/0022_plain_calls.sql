-- Expands: earlier control planes go on beside it.

-- How many calls a permissive agent has passed on without protection since it started; null of one
-- that is not permissive.
ALTER TABLE endpoints ADD COLUMN plain_calls bigint;
