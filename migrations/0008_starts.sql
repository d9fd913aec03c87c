-- Expands only: earlier control planes go on beside it.

-- An endpoint starts, and signs what it does with keys of that start alone. Rows stay: they
-- show whose keys a bundle names, and which start of an endpoint was copied.
CREATE TABLE endpoint_starts (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    -- H of the start.
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32),
    counter     bigint NOT NULL CHECK (counter > 0),
    -- As it was signed.
    start       bytea NOT NULL,
    -- Where it runs, as it says itself.
    host        text,
    process     bigint,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    -- The last link of its chain: number, H, and the link without its content.
    head_k      bigint NOT NULL DEFAULT 0,
    head_hash   bytea NOT NULL CHECK (octet_length(head_hash) = 32),
    head_link   bytea,
    -- What that link was answered with, given again when it comes again.
    head_answer jsonb,
    head_at     timestamptz,
    -- The one link that came after the end.
    late_hash   bytea CHECK (octet_length(late_hash) = 32),
    late_link   bytea,
    PRIMARY KEY (tenant_id, endpoint_id, hash),
    UNIQUE (tenant_id, endpoint_id, counter),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints
) WITH (fillfactor = 70);
-- At most one start of an endpoint lives.
CREATE UNIQUE INDEX endpoint_starts_living ON endpoint_starts (tenant_id, endpoint_id)
    WHERE ended_at IS NULL;

-- Keys of starts: those that the start names, and those of each renewal. Rows stay, as above.
CREATE TABLE endpoint_keys (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    start_hash  bytea NOT NULL,
    -- The renewal that made them current; for the first ones 0 and H of the start.
    since_k     bigint NOT NULL,
    since_hash  bytea NOT NULL CHECK (octet_length(since_hash) = 32),
    signing_key bytea NOT NULL CHECK (octet_length(signing_key) = 32),
    hpke_key    bytea NOT NULL CHECK (octet_length(hpke_key) = 32),
    -- The renewal, as it was signed.
    link        bytea,
    since       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, endpoint_id, start_hash, since_k),
    FOREIGN KEY (tenant_id, endpoint_id, start_hash) REFERENCES endpoint_starts
);

-- Which start follows its endpoint's events, and when that was last seen. One row for each
-- endpoint. Lost in a crash: then a second start waits for nobody.
CREATE UNLOGGED TABLE endpoint_streams (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    start_hash  bytea NOT NULL,
    touched_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, endpoint_id)
) WITH (fillfactor = 50);

-- What a living start was asked about another one, and its answer. One row for each endpoint,
-- until the other start is judged.
CREATE TABLE presence_questions (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    -- H of the start that wants its place.
    about       bytea NOT NULL CHECK (octet_length(about) = 32),
    asked_at    timestamptz NOT NULL DEFAULT now(),
    answer      bytea CHECK (octet_length(answer) = 64),
    answered_at timestamptz,
    PRIMARY KEY (tenant_id, endpoint_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints
);

-- Two starts of an endpoint that both live. One row for each endpoint, until people choose or
-- both end.
CREATE TABLE start_disputes (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    -- The start that was refused: H, the signed start, address, host and process.
    newer       bytea NOT NULL CHECK (octet_length(newer) = 32),
    start       bytea NOT NULL,
    address     text,
    host        text,
    process     bigint,
    since       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, endpoint_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints
);

-- Starts that may never be the endpoint: people chose another, or did not choose. Rows stay,
-- for such a start may come again at any time.
CREATE TABLE declined_starts (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32),
    declined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, endpoint_id, hash),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints
);

-- The number of an endpoint's latest draw of a pair's bundle. One row for each of an endpoint's
-- pairs; it stays, so that no number comes again.
CREATE TABLE pair_draws (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    pair_id     uuid NOT NULL,
    draws       bigint NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id, pair_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints,
    FOREIGN KEY (tenant_id, pair_id) REFERENCES pairs
);

-- How far the lanes of a retired bundle came, by the word of the side that retired it: what is
-- beyond was signed by somebody else. They stay as long as the bundle.
CREATE TABLE bundle_retirements (
    tenant_id uuid NOT NULL,
    bundle_id uuid NOT NULL,
    side      text NOT NULL CHECK (side IN ('consumer', 'producer')),
    lane      integer NOT NULL,
    n         bigint NOT NULL,
    hash      bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, bundle_id, side, lane),
    FOREIGN KEY (tenant_id, bundle_id) REFERENCES bundles
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['endpoint_starts', 'endpoint_keys', 'endpoint_streams',
        'presence_questions', 'start_disputes', 'declined_starts', 'pair_draws',
        'bundle_retirements']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = armour_tenant()) '
            'WITH CHECK (tenant_id = armour_tenant())', name);
    END LOOP;
END $$;

-- What a bundle is bound to besides, as its two ends sign it.
ALTER TABLE bundles
    ADD COLUMN draw bigint NOT NULL DEFAULT 0,
    ADD COLUMN policy jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN policy_hash bytea NOT NULL DEFAULT '',
    -- H of the context.
    ADD COLUMN context_hash bytea NOT NULL DEFAULT '',
    ADD COLUMN consumer_start bytea NOT NULL DEFAULT '',
    ADD COLUMN producer_start bytea NOT NULL DEFAULT '',
    ADD COLUMN consumer_key bytea NOT NULL DEFAULT '',
    ADD COLUMN producer_key bytea NOT NULL DEFAULT '',
    -- When the two ends installed it, and when they gave it up.
    ADD COLUMN consumer_acknowledged_at timestamptz,
    ADD COLUMN producer_acknowledged_at timestamptz,
    ADD COLUMN consumer_retired_at timestamptz,
    ADD COLUMN producer_retired_at timestamptz;

-- Bundles that an endpoint has yet to install.
CREATE INDEX bundles_for_consumer ON bundles (tenant_id, consumer_endpoint_id)
    WHERE state = 'active' AND consumer_acknowledged_at IS NULL;
CREATE INDEX bundles_for_producer ON bundles (tenant_id, producer_endpoint_id)
    WHERE state = 'active' AND producer_acknowledged_at IS NULL;

-- A bundle that an end gave up is retired.
ALTER TABLE bundles DROP CONSTRAINT bundles_state_check;
ALTER TABLE bundles ADD CONSTRAINT bundles_state_check
    CHECK (state IN ('active', 'superseded', 'retired', 'disconnected'));

-- Whose keys somebody else holds is collided. The party's certificate of the endpoint's keys.
ALTER TABLE endpoints DROP CONSTRAINT endpoints_state_check;
ALTER TABLE endpoints ADD CONSTRAINT endpoints_state_check
    CHECK (state IN ('active', 'revoked', 'collided'));
ALTER TABLE endpoints ADD COLUMN certificate bytea;
