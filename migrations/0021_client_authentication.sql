-- Expands: earlier control planes go on beside it.

-- How the client shows its secret at an issuer's token endpoint: as the issuer says of itself, or
-- as somebody has found that it takes it. Tenants have few issuers: all are checked at once.
ALTER TABLE issuers ADD COLUMN client_authentication text NOT NULL DEFAULT 'auto'
    CHECK (client_authentication IN ('auto', 'basic', 'basic-raw', 'post'));
