-- Executions of tasks: one row each, their logs, the workers that run them, and the times at which some are started.
--
-- execution    a task that runs with an input; its row is also the work to be done, and the fence around it
-- transition   one line of an execution's log, which is all that is known of how far it is
-- worker       a process that runs executions; its lease is that of all it runs
-- schedule     when to start which task

-- Work: an execution without an owner that has a `ready_at` is to be run from then on; without either it waits for somebody's answer, or has
-- ended. Taking one sets `owner` and raises `epoch`. What is written to its log is written together with this row, and only where `owner`,
-- `epoch` and `seq` are still what the writer knows (`store/transitions.py`): two processes never write one log.
-- What it runs is the version of its task that it began with, which is never changed, and kept as long as something runs it. What was folded
-- from the first `snapshot_seq` lines of a long log is kept in `snapshot`. Its job has the same id, and its state is read from here.
CREATE TABLE executions (
    tenant_id          uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                 uuid NOT NULL,
    task_id            uuid NOT NULL,
    task_version       integer NOT NULL,
    agent_id           uuid NOT NULL,
    session_id         uuid,
    user_id            uuid,
    schedule_id        uuid,
    scheduled_at       timestamptz,
    status             text NOT NULL DEFAULT 'queued',
    interpreter        integer NOT NULL,
    depth              smallint NOT NULL DEFAULT 0,
    input              json NOT NULL,
    metadata           jsonb NOT NULL DEFAULT '{}',
    seq                integer NOT NULL DEFAULT 0,
    transition_count   integer NOT NULL DEFAULT 0,
    epoch              integer NOT NULL DEFAULT 0,
    owner              uuid,
    claimed_at         timestamptz,
    ready_at           timestamptz,
    error              text,
    prompt_tokens      bigint NOT NULL DEFAULT 0,
    completion_tokens  bigint NOT NULL DEFAULT 0,
    cost               double precision NOT NULL DEFAULT 0,
    snapshot           json,
    snapshot_seq       integer NOT NULL DEFAULT 0,
    idempotency_key    text,
    request_digest     bytea,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT execution_status_valid
        CHECK (status IN ('queued', 'starting', 'running', 'awaiting_input', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT execution_task_exists FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT execution_session_exists
        FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE SET NULL (session_id),
    CONSTRAINT execution_user_exists FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE SET NULL (user_id)
) WITH (fillfactor = 80);
CREATE INDEX executions_listed ON executions (tenant_id, task_id, created_at, id);
CREATE INDEX executions_by_metadata ON executions USING gin (metadata jsonb_path_ops);
CREATE INDEX executions_by_session ON executions (tenant_id, session_id) WHERE session_id IS NOT NULL;
CREATE INDEX executions_by_user ON executions (tenant_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX executions_ready ON executions (tenant_id, ready_at) WHERE owner IS NULL AND ready_at IS NOT NULL;
CREATE INDEX executions_owned ON executions (tenant_id, owner) WHERE owner IS NOT NULL;
CREATE INDEX executions_ended ON executions (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX execution_idempotency_key_taken ON executions (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Each time of a schedule once.
CREATE UNIQUE INDEX execution_scheduled_once ON executions (tenant_id, schedule_id, scheduled_at) WHERE schedule_id IS NOT NULL;

-- The log. A line's id is made from the execution's id and `seq`: it needs no index of its own. `next` is null where nothing follows.
CREATE TABLE transitions (
    tenant_id     uuid NOT NULL,
    execution_id  uuid NOT NULL,
    seq           integer NOT NULL,
    type          text NOT NULL,
    workflow      text NOT NULL,
    step          integer NOT NULL,
    scope_id      uuid NOT NULL,
    next          json,
    output        json,
    label         text,
    metadata      json,
    epoch         integer NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, execution_id, seq),
    CONSTRAINT transition_execution_exists
        FOREIGN KEY (tenant_id, execution_id) REFERENCES executions (tenant_id, id) ON DELETE CASCADE
);

-- A process whose lease is over is dead, whatever it says later: its runs go to others.
CREATE TABLE workers (
    id           uuid PRIMARY KEY,
    lease_until  timestamptz NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now()
);

-- `next_at` is null while it is paused, and where its times have come to an end.
CREATE TABLE schedules (
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id          uuid NOT NULL,
    task_id     uuid NOT NULL,
    name        text NOT NULL,
    cron        text NOT NULL,
    timezone    text NOT NULL,
    input       json NOT NULL,
    metadata    jsonb NOT NULL DEFAULT '{}',
    paused      boolean NOT NULL,
    next_at     timestamptz,
    last_at     timestamptz,
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT schedule_task_exists FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX schedules_listed ON schedules (tenant_id, task_id, created_at, id);
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

-- Gives a worker the tenant's runs that are ready, oldest first, at most `wanted` and as many as leave the tenant with `most` in all.
-- Claims for one tenant take turns: each statement of a function sees what was committed before it, so the second one counts what the claim
-- before this one took. One call from the client, so that a worker that freezes holds no lock.
-- `others` is how many of the tenant's runs workers had before; there is one row without a run where none was taken.
CREATE FUNCTION claim_executions(tenant uuid, worker uuid, wanted integer, most integer, known integer[])
    RETURNS TABLE (others bigint, execution_id uuid) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('executions ' || tenant::text, 0));
    RETURN QUERY
    WITH busy AS (
        SELECT count(*) AS busy FROM executions e JOIN workers w ON w.id = e.owner AND w.lease_until >= now()
        WHERE e.tenant_id = tenant AND e.owner IS NOT NULL
    ), due AS (
        SELECT e.id FROM executions e
        WHERE e.tenant_id = tenant AND e.owner IS NULL AND e.ready_at <= now() AND e.interpreter = ANY(known)
        ORDER BY e.ready_at LIMIT (SELECT GREATEST(LEAST(wanted, most - b.busy), 0) FROM busy b) FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE executions e SET owner = worker, claimed_at = now(), ready_at = NULL, epoch = e.epoch + 1 FROM due
        WHERE e.tenant_id = tenant AND e.id = due.id RETURNING e.id
    )
    SELECT b.busy, t.id FROM busy b LEFT JOIN taken t ON true;
END $$;
