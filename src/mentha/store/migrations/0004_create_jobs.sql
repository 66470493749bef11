-- Background work as its owner sees it; the truth behind GET /jobs/{id}.
CREATE TABLE jobs (
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id          uuid NOT NULL,
    kind        text NOT NULL,
    name        text NOT NULL DEFAULT '',
    state       text NOT NULL DEFAULT 'pending',
    reason      text NOT NULL DEFAULT '',
    progress    real,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT job_state_valid CHECK (state IN ('pending', 'in_progress', 'retrying', 'succeeded', 'aborted', 'failed', 'unknown')),
    CONSTRAINT job_progress_valid CHECK (progress BETWEEN 0 AND 100)
);
