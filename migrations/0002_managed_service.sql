-- What a managed service needs: an audit log that is a Merkle tree, one place for
-- sealed secrets under rotating master keys, people, workloads, webhooks, limits.
--
-- Written before the first release: audit entries of earlier development versions
-- are in no tree, so a database that holds any is refused rather than altered.
DO $$
BEGIN
    PERFORM set_config('armour.platform', 'on', true);
    IF EXISTS (SELECT FROM tenants) THEN
        RAISE EXCEPTION 'this database is of a development version before the audit tree; start with an empty one';
    END IF;
END $$;

-- Tenants ---------------------------------------------------------------------

ALTER TABLE tenants DROP COLUMN event_seq, DROP COLUMN audit_seq;
ALTER TABLE tenants
    ADD COLUMN quotas jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN deleted_at timestamptz;

-- A tenant's last numbers and the right edge of its audit tree. The row's lock
-- makes the order of commits the order of both.
CREATE TABLE journals (
    tenant_id  uuid PRIMARY KEY REFERENCES tenants,
    event_seq  bigint NOT NULL DEFAULT 0,
    audit_size bigint NOT NULL DEFAULT 0,
    -- Hashes of the complete subtrees from the left, 32 bytes each.
    frontier   bytea NOT NULL DEFAULT '',
    -- Ed25519 public key that signs tree heads; its secret is in `secrets`.
    log_key    bytea NOT NULL CHECK (octet_length(log_key) = 32),
    -- The latest head's time and signature: they outlive its entry.
    head_at    timestamptz,
    head_signature bytea CHECK (octet_length(head_signature) = 64)
);

-- What the tenant's key is derived with. Without it nothing of the tenant's that
-- is sealed can ever be opened again (crypto-shredding).
CREATE TABLE tenant_keys (
    tenant_id   uuid PRIMARY KEY REFERENCES tenants,
    salt        bytea CHECK (octet_length(salt) = 32),
    shredded_at timestamptz,
    CHECK ((salt IS NULL) = (shredded_at IS NOT NULL))
);

-- Everything sealed at rest, whatever it belongs to; `name` is the row's identity
-- and the seal's associated data.
CREATE TABLE secrets (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    key_version integer NOT NULL,
    sealed      bytea NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
CREATE INDEX secrets_version ON secrets (tenant_id, key_version);

ALTER TABLE bundles DROP COLUMN key_version, DROP COLUMN sealed_consumer, DROP COLUMN sealed_producer;
ALTER TABLE idempotency_keys DROP COLUMN response;

-- Keys of the platform; no tenant's, and no secret in them ---------------------

CREATE TABLE key_versions (
    version     integer PRIMARY KEY CHECK (version > 0),
    -- Tells whether the key that is loaded for this version is the right one.
    check_value bytea NOT NULL,
    state       text NOT NULL CHECK (state IN ('standby', 'active', 'retired')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz
);
CREATE UNIQUE INDEX key_versions_active ON key_versions (state) WHERE state = 'active';

CREATE TABLE key_rotations (
    rotation_id uuid PRIMARY KEY,
    to_version  integer NOT NULL REFERENCES key_versions,
    total       bigint NOT NULL,
    done        bigint NOT NULL DEFAULT 0,
    -- The tenant that is being worked on: earlier ones are done.
    at_tenant   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE TABLE signing_keys (
    kid          text PRIMARY KEY,
    public_key   bytea NOT NULL CHECK (octet_length(public_key) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- Published from the start, used from here on: others may cache the key set.
    activates_at timestamptz NOT NULL,
    retires_at   timestamptz
);

-- Audit -----------------------------------------------------------------------

DROP TABLE audit;
CREATE TABLE audit_entries (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    seq        bigint NOT NULL,
    created_at timestamptz NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    detail     jsonb NOT NULL,
    -- Over the tree's head with this entry as its last.
    signature  bytea NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (tenant_id, seq, created_at)
) PARTITION BY RANGE (created_at);

-- Hashes of leaves (level 0) and complete subtrees; they outlive the entries.
CREATE TABLE audit_nodes (
    tenant_id uuid NOT NULL REFERENCES tenants,
    level     smallint NOT NULL,
    index     bigint NOT NULL,
    hash      bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, level, index)
);

-- Makes the partition of a month, if it is missing.
CREATE FUNCTION armour_audit_partition(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', day);
    name text := 'audit_entries_' || to_char(first, 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('armour_audit_partition'));
    IF to_regclass(name) IS NOT NULL THEN RETURN false; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_entries FOR VALUES FROM (%L) TO (%L)',
        name, first || ' 00:00+00', (first + interval '1 month')::date || ' 00:00+00');
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = armour_tenant()) '
        'WITH CHECK (tenant_id = armour_tenant())', name);
    RETURN true;
END $$;

-- Drops partitions that end before a day; returns how many.
CREATE FUNCTION armour_audit_retain(since date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    name text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('armour_audit_partition'));
    FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_entries'::regclass
          AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= since
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Who may act -----------------------------------------------------------------

ALTER TABLE api_tokens
    ADD COLUMN role text NOT NULL CHECK (role IN ('tenant-admin', 'operator', 'auditor')),
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_at timestamptz;

-- The audit entry that holds the endpoint's keys, and a copy of it that outlives the
-- log's retention: agents ask for its proof as long as the endpoint lives.
ALTER TABLE endpoints
    ADD COLUMN enrol_seq bigint NOT NULL,
    ADD COLUMN enrol_entry jsonb NOT NULL,
    ADD COLUMN lost_at timestamptz;

CREATE TABLE issuers (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    issuer_id    uuid NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('people', 'workload')),
    name         text NOT NULL,
    url          text NOT NULL,
    -- People: the client's id. Workload: the audience that tokens must name.
    audience     text NOT NULL,
    groups_claim text NOT NULL,
    -- People: role by group; the most powerful that applies is given.
    role_map     jsonb NOT NULL,
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, issuer_id),
    UNIQUE (tenant_id, kind, name)
);

CREATE TABLE workload_rules (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    rule_id    uuid NOT NULL,
    issuer_id  uuid NOT NULL,
    -- `*` stands for any run of characters.
    subject    text NOT NULL,
    claims     jsonb NOT NULL,
    role       text NOT NULL CHECK (role IN ('consumer', 'producer')),
    party_id   uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, rule_id),
    FOREIGN KEY (tenant_id, issuer_id) REFERENCES issuers ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, party_id) REFERENCES parties
);
CREATE INDEX workload_rules_issuer ON workload_rules (tenant_id, issuer_id);

CREATE TABLE sessions (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    session_id   uuid NOT NULL,
    issuer_id    uuid NOT NULL,
    hash         bytea NOT NULL,
    subject      text NOT NULL,
    name         text NOT NULL,
    role         text NOT NULL CHECK (role IN ('tenant-admin', 'operator', 'auditor')),
    -- The provider's `sid`, by which it logs out.
    provider_sid text,
    user_agent   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, issuer_id) REFERENCES issuers ON DELETE CASCADE
);
CREATE INDEX sessions_person ON sessions (tenant_id, issuer_id, subject);

-- Proofs and logout tokens already seen, until they would be refused anyway.
-- Unlogged: after a crash of the database the short life of a proof protects.
CREATE UNLOGGED TABLE spent_proofs (
    tenant_id  uuid NOT NULL,
    hash       bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, hash)
);

-- Webhooks and limits ----------------------------------------------------------

CREATE TABLE webhooks (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    webhook_id uuid NOT NULL,
    url        text NOT NULL,
    kinds      text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, webhook_id)
);

CREATE TABLE webhook_deliveries (
    tenant_id       uuid NOT NULL REFERENCES tenants,
    delivery_id     uuid NOT NULL,
    webhook_id      uuid NOT NULL,
    event_seq       bigint NOT NULL,
    kind            text NOT NULL,
    state           text NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_status     integer,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    delivered_at    timestamptz,
    PRIMARY KEY (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, event_seq) REFERENCES events
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (tenant_id, next_attempt_at)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (tenant_id, webhook_id, delivery_id);

-- Tenants that have deliveries to make: how workers find them without reading
-- any tenant's rows.
CREATE TABLE work_hints (
    tenant_id uuid PRIMARY KEY REFERENCES tenants,
    due_at    timestamptz NOT NULL
);

-- What a tenant has used of its rate in the window.
CREATE UNLOGGED TABLE rate_windows (
    tenant_id  uuid NOT NULL,
    class      text NOT NULL,
    started_at timestamptz NOT NULL,
    used       bigint NOT NULL,
    PRIMARY KEY (tenant_id, class)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['journals', 'tenant_keys', 'secrets', 'audit_entries',
        'audit_nodes', 'issuers', 'workload_rules', 'sessions', 'spent_proofs', 'webhooks',
        'webhook_deliveries', 'work_hints', 'rate_windows']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_only ON %I USING (tenant_id = armour_tenant()) '
            'WITH CHECK (tenant_id = armour_tenant())', name);
    END LOOP;
END $$;
CREATE POLICY platform ON work_hints USING (armour_platform()) WITH CHECK (armour_platform());

SELECT armour_audit_partition((current_date + make_interval(months => month))::date)
FROM generate_series(0, 2) AS month;

-- The platform itself: acts that are no tenant's are in its audit log.
INSERT INTO tenants (tenant_id, name) VALUES ('00000000-0000-0000-0000-000000000000', 'platform');
