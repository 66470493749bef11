-- Responses of OpenAI's API over sessions; what every call of a provider cost; limits of keys.

-- A response is a turn of a session. `continues` is the response that it follows in the same session: only one may, so a second answer to
-- the same response gets a copy of the session. `last_seq` is the number of its last entry, NULL until it is stored.
CREATE TABLE responses (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    session_id    uuid NOT NULL,
    status        text NOT NULL DEFAULT 'in_progress',
    background    boolean NOT NULL,
    -- The session is the client's own, a conversation; otherwise it was made for responses and goes with the last of them.
    conversation  boolean NOT NULL,
    continues     uuid,
    last_seq      bigint,
    body          json NOT NULL,
    input         json NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT response_session_exists FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT response_status_valid CHECK (status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'))
);
CREATE UNIQUE INDEX response_continued_once ON responses (tenant_id, continues) WHERE continues IS NOT NULL;
CREATE INDEX responses_by_session ON responses (tenant_id, session_id);

-- One row for each call of a provider. It outlives what it names, so only the tenant is referred to.
CREATE TABLE usage (
    tenant_id          uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                 uuid NOT NULL,
    kind               text NOT NULL,
    ok                 boolean NOT NULL,
    provider           text NOT NULL,
    model              text NOT NULL,
    prompt_tokens      bigint NOT NULL,
    completion_tokens  bigint NOT NULL,
    -- The provider told no tokens: they were counted here.
    estimated          boolean NOT NULL,
    -- US dollars by the prices of that moment; NULL where the price is not known.
    cost               double precision,
    key_id             uuid,
    agent_id           uuid,
    session_id         uuid,
    execution_id       uuid,
    step               text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX usage_by_time ON usage (tenant_id, created_at);
CREATE INDEX usage_by_age ON usage USING brin (created_at);
CREATE INDEX usage_by_key ON usage (tenant_id, key_id, created_at) INCLUDE (prompt_tokens, completion_tokens) WHERE key_id IS NOT NULL;
CREATE INDEX usage_by_session ON usage (tenant_id, session_id, created_at) WHERE session_id IS NOT NULL;

-- Limits are off where they are NULL. `minute_requests` counts those of the minute that began at `minute_at`.
ALTER TABLE api_keys
    ADD COLUMN requests_per_minute_max  integer,
    ADD COLUMN tokens_per_day_max       bigint,
    ADD COLUMN minute_at                timestamptz,
    ADD COLUMN minute_requests          bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT api_key_limits_positive CHECK (requests_per_minute_max > 0 AND tokens_per_day_max > 0);
