-- Every tenant-owned table leads its key with tenant_id (so that the schema can
-- be distributed by tenant) and forces row-level security, even on its owner.
-- `armour.tenant` is set for each transaction; unset, no row is visible.

CREATE FUNCTION armour_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('armour.tenant', true), '')::uuid $$;

CREATE FUNCTION armour_platform() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(current_setting('armour.platform', true), '') = 'on' $$;

CREATE TABLE tenants (
    tenant_id  uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Last numbers given; the row's lock makes commit order the order of both.
    event_seq  bigint NOT NULL DEFAULT 0,
    audit_seq  bigint NOT NULL DEFAULT 0
);

CREATE TABLE api_tokens (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    token_id   uuid NOT NULL,
    name       text NOT NULL,
    hash       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, token_id)
);

-- Producers and consumers: the same shape, told apart by role.
CREATE TABLE parties (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    party_id   uuid NOT NULL,
    role       text NOT NULL CHECK (role IN ('consumer', 'producer')),
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, party_id),
    UNIQUE (tenant_id, role, name)
);

CREATE TABLE pairs (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    pair_id     uuid NOT NULL,
    consumer_id uuid NOT NULL,
    producer_id uuid NOT NULL,
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disconnected')),
    policy      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, pair_id),
    UNIQUE (tenant_id, consumer_id, producer_id),
    FOREIGN KEY (tenant_id, consumer_id) REFERENCES parties,
    FOREIGN KEY (tenant_id, producer_id) REFERENCES parties
);

CREATE TABLE enrolment_tokens (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    token_id   uuid NOT NULL,
    role       text NOT NULL CHECK (role IN ('consumer', 'producer')),
    party_id   uuid NOT NULL,
    hash       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, token_id),
    FOREIGN KEY (tenant_id, party_id) REFERENCES parties
);

CREATE TABLE endpoints (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    endpoint_id  uuid NOT NULL,
    role         text NOT NULL CHECK (role IN ('consumer', 'producer')),
    party_id     uuid NOT NULL,
    name         text NOT NULL,
    signing_key  bytea NOT NULL CHECK (octet_length(signing_key) = 32),
    kem_key      bytea NOT NULL CHECK (octet_length(kem_key) = 32),
    address      text,
    version      text NOT NULL,
    state        text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz,
    PRIMARY KEY (tenant_id, endpoint_id),
    FOREIGN KEY (tenant_id, party_id) REFERENCES parties
);
CREATE INDEX endpoints_party ON endpoints (tenant_id, party_id);

CREATE TABLE bundles (
    tenant_id            uuid NOT NULL REFERENCES tenants,
    bundle_id            uuid NOT NULL,
    pair_id              uuid NOT NULL,
    consumer_endpoint_id uuid NOT NULL,
    producer_endpoint_id uuid NOT NULL,
    suite                smallint NOT NULL,
    state                text NOT NULL DEFAULT 'active'
                         CHECK (state IN ('active', 'superseded', 'disconnected')),
    created_at           timestamptz NOT NULL DEFAULT now(),
    superseded_at        timestamptz,
    disconnected_at      timestamptz,
    -- The HPKE-sealed secret under the tenant's key, until it is acknowledged.
    key_version          integer NOT NULL,
    sealed_consumer      bytea,
    sealed_producer      bytea,
    PRIMARY KEY (tenant_id, bundle_id),
    FOREIGN KEY (tenant_id, pair_id) REFERENCES pairs,
    FOREIGN KEY (tenant_id, consumer_endpoint_id) REFERENCES endpoints,
    FOREIGN KEY (tenant_id, producer_endpoint_id) REFERENCES endpoints
);
CREATE INDEX bundles_pair ON bundles (tenant_id, pair_id);
-- At most one active bundle for a consumer's endpoint in a pair.
CREATE UNIQUE INDEX bundles_active ON bundles (tenant_id, pair_id, consumer_endpoint_id)
    WHERE state = 'active';

-- The ledger: a lane's head, and every ticket behind it in runs.
CREATE TABLE lanes (
    tenant_id uuid NOT NULL,
    bundle_id uuid NOT NULL,
    lane      bigint NOT NULL,
    head_n    bigint NOT NULL,
    head      bytea NOT NULL,
    PRIMARY KEY (tenant_id, bundle_id, lane),
    FOREIGN KEY (tenant_id, bundle_id) REFERENCES bundles
) WITH (fillfactor = 70);

CREATE TABLE ticket_runs (
    tenant_id uuid NOT NULL,
    bundle_id uuid NOT NULL,
    lane      bigint NOT NULL,
    first_n   bigint NOT NULL,
    last_n    bigint NOT NULL,
    previous  bytea NOT NULL,
    entries   bytea NOT NULL,
    PRIMARY KEY (tenant_id, bundle_id, lane, first_n),
    FOREIGN KEY (tenant_id, bundle_id) REFERENCES bundles
);

CREATE TABLE collisions (
    tenant_id    uuid NOT NULL,
    collision_id uuid NOT NULL,
    pair_id      uuid NOT NULL,
    bundle_id    uuid NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('fork', 'superseded', 'disowned')),
    lane         bigint NOT NULL,
    n            bigint NOT NULL,
    recorded     bytea,
    reported     bytea,
    reporter_id  uuid NOT NULL,
    detected_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, collision_id),
    -- A bundle collides once: after that it is dead.
    UNIQUE (tenant_id, bundle_id),
    FOREIGN KEY (tenant_id, bundle_id) REFERENCES bundles
);

CREATE TABLE events (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    seq         bigint NOT NULL,
    kind        text NOT NULL,
    pair_id     uuid,
    bundle_id   uuid,
    endpoint_id uuid,
    detail      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, seq)
);

CREATE TABLE audit (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    seq        bigint NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    detail     jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, seq)
);

-- Answers to creating calls, sealed under the tenant's key; null while the
-- first call is under way.
CREATE TABLE idempotency_keys (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    status      integer,
    response    bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenants', 'api_tokens', 'parties', 'pairs', 'enrolment_tokens',
        'endpoints', 'bundles', 'lanes', 'ticket_runs', 'collisions', 'events', 'audit',
        'idempotency_keys']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = armour_tenant()) '
            'WITH CHECK (tenant_id = armour_tenant())', name);
    END LOOP;
END $$;

-- The platform's administrators see that tenants exist, and nothing of theirs.
CREATE POLICY platform ON tenants USING (armour_platform()) WITH CHECK (armour_platform());
