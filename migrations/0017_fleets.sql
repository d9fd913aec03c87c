-- Expands: earlier control planes go on beside it. They draw one bundle for each consumer's endpoint
-- and pair, which the index below allows as the one that it takes the place of did.

-- What an endpoint is for callers, as it told last since it started; serving, if it did not say. And
-- the zone that it runs in.
ALTER TABLE endpoints ADD COLUMN phase text
    CHECK (phase IN ('serving', 'not-serving', 'draining'));
ALTER TABLE endpoints ADD COLUMN zone text CHECK (char_length(zone) <= 63);
-- Since when no start of it lives, if none has followed the one that ended. What ever was is not
-- looked at for who serves; of the endpoints from before this column a job says so.
ALTER TABLE endpoints ADD COLUMN left_at timestamptz;
-- Since when it claims its address: of several endpoints there the last one is believed. And since
-- when none of them is, because one that came before is still heard of.
ALTER TABLE endpoints ADD COLUMN address_claimed_at timestamptz;
ALTER TABLE endpoints ADD COLUMN address_refused_at timestamptz;

-- The endpoints that somebody may be assigned to, or that count.
CREATE INDEX endpoints_there ON endpoints (tenant_id, party_id)
    WHERE state = 'active' AND lost_at IS NULL AND left_at IS NULL;
-- Who claims an address.
CREATE INDEX endpoints_address ON endpoints (tenant_id, address)
    WHERE state = 'active' AND lost_at IS NULL AND left_at IS NULL AND address IS NOT NULL;

-- When the pair was last let go on: what was cut before that does not cut it again.
ALTER TABLE pairs ADD COLUMN re_armed_at timestamptz;

-- A consumer's endpoint holds several bundles of a pair, each with another endpoint of the producer.
DROP INDEX bundles_active;
CREATE UNIQUE INDEX bundles_active ON bundles
    (tenant_id, pair_id, consumer_endpoint_id, producer_endpoint_id) WHERE state = 'active';
-- How many bundles of a pair each of its producer's endpoints has.
CREATE INDEX bundles_active_with ON bundles (tenant_id, pair_id, producer_endpoint_id)
    WHERE state = 'active';

-- Since when so many endpoints are silent at once that none is taken for lost.
ALTER TABLE journals ADD COLUMN silence_at timestamptz;

-- Since when the service has been there without a break: nobody is silent who could not be heard.
-- One row, the platform's.
CREATE TABLE unbroken_service (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    since   timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);
