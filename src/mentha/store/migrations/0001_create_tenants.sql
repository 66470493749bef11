-- Tenants and their keys. Everything else belongs to a tenant: its tables begin with tenant_id, and so does every foreign key, so that
-- the database itself refuses a reference from one tenant to another.

CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE tenants (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_name_taken UNIQUE (name),
    CONSTRAINT tenant_name_valid CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);

-- A key is stored only as its SHA-256; `hint` is its first characters, so that a person can tell keys apart.
CREATE TABLE api_keys (
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id          uuid NOT NULL,
    name        text NOT NULL,
    digest      bytea NOT NULL,
    hint        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT api_key_digest_taken UNIQUE (digest),
    CONSTRAINT api_key_digest_valid CHECK (octet_length(digest) = 32)
);

-- The single-tenant server of the original used the nil id; so does the tenant that exists from the start.
INSERT INTO tenants (id, name) VALUES ('00000000-0000-0000-0000-000000000000', 'default');
