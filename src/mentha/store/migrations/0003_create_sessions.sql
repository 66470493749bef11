-- Sessions, who takes part in them, what was said, and the turns that said it.

CREATE TABLE sessions (
    tenant_id           uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                  uuid NOT NULL,
    situation           text,
    system_template     text,
    summary             text,
    render_templates    boolean NOT NULL,
    token_budget        bigint,
    context_overflow    text,
    auto_run_tools      boolean NOT NULL,
    forward_tool_calls  boolean NOT NULL,
    recall_options      jsonb,
    metadata            jsonb NOT NULL DEFAULT '{}',
    -- The number of the last entry. Taking the next ones locks the row, which puts concurrent turns in an order.
    last_seq            bigint NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT session_situation_not_blank CHECK (situation ~ '\S'),
    CONSTRAINT session_template_not_blank CHECK (system_template ~ '\S'),
    CONSTRAINT session_token_budget_positive CHECK (token_budget > 0)
);
CREATE INDEX sessions_listed ON sessions (tenant_id, created_at, id);
CREATE INDEX sessions_by_metadata ON sessions USING gin (metadata jsonb_path_ops);

-- Participants in the order given. They go with their agent or user; the session stays.
CREATE TABLE session_agents (
    tenant_id   uuid NOT NULL,
    session_id  uuid NOT NULL,
    agent_id    uuid NOT NULL,
    position    integer NOT NULL,
    PRIMARY KEY (tenant_id, session_id, agent_id),
    CONSTRAINT session_agent_session_exists FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT session_agent_exists FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX session_agents_by_agent ON session_agents (tenant_id, agent_id);

CREATE TABLE session_users (
    tenant_id   uuid NOT NULL,
    session_id  uuid NOT NULL,
    user_id     uuid NOT NULL,
    position    integer NOT NULL,
    PRIMARY KEY (tenant_id, session_id, user_id),
    CONSTRAINT session_user_session_exists FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT session_user_exists FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX session_users_by_user ON session_users (tenant_id, user_id);

-- One stored message. `message` is its JSON as a model's provider takes it, ready to be put into the next request without being parsed;
-- `content` is there only where the client's own form (parts that providers do not know) can't be told from it.
CREATE TABLE entries (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    session_id   uuid NOT NULL,
    seq          bigint NOT NULL,
    turn_id      uuid NOT NULL,
    source       text NOT NULL,
    role         text NOT NULL,
    name         text,
    message      json NOT NULL,
    content      json,
    has_calls    boolean NOT NULL,
    model        text NOT NULL,
    tokenizer    text NOT NULL,
    token_count  integer NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT entry_session_exists FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT entry_seq_taken UNIQUE (tenant_id, session_id, seq)
);

-- `head` is represented by `tail` (a summary) or made from it; a head is left out of what a model sees.
CREATE TABLE entry_relations (
    tenant_id   uuid NOT NULL,
    session_id  uuid NOT NULL,
    head        uuid NOT NULL,
    relation    text NOT NULL,
    tail        uuid NOT NULL,
    PRIMARY KEY (tenant_id, head, relation, tail),
    CONSTRAINT relation_session_exists FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT relation_head_exists FOREIGN KEY (tenant_id, head) REFERENCES entries (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT relation_tail_exists FOREIGN KEY (tenant_id, tail) REFERENCES entries (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX entry_relations_by_session ON entry_relations (tenant_id, session_id);

-- A finished turn: the fingerprint of its request and its answer, kept for some minutes for a client that sends the request again.
CREATE TABLE turns (
    tenant_id        uuid NOT NULL,
    id               uuid NOT NULL,
    session_id       uuid NOT NULL,
    fingerprint      bytea NOT NULL,
    idempotency_key  text,
    retried          boolean NOT NULL,
    answer           bytea NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT turn_session_exists FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX turns_by_fingerprint ON turns (tenant_id, fingerprint, created_at);
CREATE INDEX turns_by_idempotency_key ON turns (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX turns_by_age ON turns (created_at);
CREATE INDEX turns_by_session ON turns (tenant_id, session_id);
