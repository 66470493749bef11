-- Tenants' secrets, encrypted by the server, and which keys they are encrypted with.

-- Fingerprints of keys, never keys. Values are encrypted with the `current` one; the `previous` one is there while secrets move from it.
CREATE TABLE encryption_keys (
    id          text PRIMARY KEY,
    state       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT encryption_key_state_valid CHECK (state IN ('current', 'previous'))
);
CREATE UNIQUE INDEX encryption_key_current_once ON encryption_keys (state) WHERE state = 'current';

-- `value` is bound to tenant_id and id: copied into another row it can't be decrypted.
CREATE TABLE secrets (
    tenant_id    uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id           uuid NOT NULL,
    name         text NOT NULL,
    value        bytea NOT NULL,
    key_id       text NOT NULL,
    description  text,
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT secret_key_known FOREIGN KEY (key_id) REFERENCES encryption_keys (id),
    CONSTRAINT secret_name_taken UNIQUE (tenant_id, name),
    CONSTRAINT secret_name_valid CHECK (name ~ '^[a-zA-Z][a-zA-Z0-9_]{0,254}$')
);
CREATE INDEX secrets_listed ON secrets (tenant_id, created_at, id);
