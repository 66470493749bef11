-- What a turn has done so far with tools, written while it runs: a turn that was cut short goes on from here when its client sends the
-- request again, and runs no call twice that has ended. `run_id` is the id of the turn that began it. All of it is dropped with the kept
-- answers of turns.

CREATE TABLE tool_runs (
    tenant_id        uuid NOT NULL,
    id               uuid NOT NULL,
    session_id       uuid NOT NULL,
    fingerprint      bytea NOT NULL,
    idempotency_key  text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT tool_run_session_exists FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX tool_runs_by_fingerprint ON tool_runs (tenant_id, fingerprint, created_at);
CREATE INDEX tool_runs_by_age ON tool_runs (created_at);
CREATE INDEX tool_runs_by_session ON tool_runs (tenant_id, session_id);

-- An answer of the model that asks for tools: `message` is what it said, with its calls and their cost.
CREATE TABLE tool_rounds (
    tenant_id   uuid NOT NULL,
    run_id      uuid NOT NULL,
    round       integer NOT NULL,
    message     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, run_id, round),
    CONSTRAINT tool_round_run_exists FOREIGN KEY (tenant_id, run_id) REFERENCES tool_runs (tenant_id, id) ON DELETE CASCADE
);

-- One call of a round: written before it is made, without a result, and again when it has ended.
CREATE TABLE tool_calls (
    tenant_id         uuid NOT NULL,
    run_id            uuid NOT NULL,
    round             integer NOT NULL,
    position          integer NOT NULL,
    call_id           text NOT NULL,
    tool              text NOT NULL,
    arguments_digest  bytea NOT NULL,
    state             text NOT NULL,
    result            bytea,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, run_id, round, position),
    CONSTRAINT tool_call_round_exists FOREIGN KEY (tenant_id, run_id, round) REFERENCES tool_rounds (tenant_id, run_id, round) ON DELETE CASCADE,
    CONSTRAINT tool_call_state_known CHECK (state IN ('running', 'done'))
);
