-- Expands: how a tenant's log key was followed by another.
--
-- A row is a rotation, signed by both of its keys; there is no secret in it. The key that
-- signs now is in `journals`, its secret in `secrets`, where the next one takes its place.
-- Rows stay: whoever knows an early key of the log follows it by them to the present one.
CREATE TABLE log_keys (
    tenant_id     uuid NOT NULL REFERENCES tenants,
    -- 1 for the log's first rotation, and without a hole from there.
    number        bigint NOT NULL CHECK (number > 0),
    -- How many entries the log had; heads of a larger size are the new key's.
    size          bigint NOT NULL CHECK (size >= 0),
    rotated_at    timestamptz NOT NULL,
    -- Ed25519 public keys.
    old_key       bytea NOT NULL CHECK (octet_length(old_key) = 32),
    new_key       bytea NOT NULL CHECK (octet_length(new_key) = 32),
    old_signature bytea NOT NULL CHECK (octet_length(old_signature) = 64),
    new_signature bytea NOT NULL CHECK (octet_length(new_signature) = 64),
    PRIMARY KEY (tenant_id, number)
);
-- Answers hold the rotations since a size. No key is followed by two.
CREATE INDEX log_keys_size ON log_keys (tenant_id, size);
CREATE UNIQUE INDEX log_keys_old ON log_keys (tenant_id, old_key);

-- Seen and written within the tenant alone, by the table's owner too.
ALTER TABLE log_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE log_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON log_keys USING (tenant_id = armour_tenant())
    WITH CHECK (tenant_id = armour_tenant());
