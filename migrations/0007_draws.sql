-- Expands only: earlier control planes go on beside it.

-- The number of the endpoint's latest draw. A draw that comes late, from a process that
-- is dead by now, must not supersede what the living one has drawn: the living one takes
-- a bundle that was superseded without it for a theft.
ALTER TABLE endpoints ADD COLUMN draws bigint NOT NULL DEFAULT 0;

ALTER TABLE collisions DROP CONSTRAINT collisions_kind_check;
ALTER TABLE collisions ADD CONSTRAINT collisions_kind_check
    CHECK (kind IN ('fork', 'superseded', 'disowned', 'usurped'));
