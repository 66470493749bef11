-- A context that fits: how far a session's history is folded into a summary, the work of folding it, and how models count tokens.

-- Entries with a number from 1 to `folded_seq` are folded: each is the head of a relation whose tail is a summary, and so was every summary but
-- the last. A summary has the number -folded_seq of its time, so the newest one stands before every message that remains, and the order of
-- all others stays what it was. `folded_count` is how many messages it stands for.
-- Work: a session with a `fold_job_id` waits to be folded, from `fold_due_at` on. Whoever takes it moves `fold_due_at` to the end of its lease
-- and leaves its mark in `fold_claim`; a history that is deleted takes the mark away, so that what was made from it is not stored. The newest
-- `fold_keep_tokens` stay; a summary is made from at most `fold_step_tokens` at a time, by `fold_model`.
ALTER TABLE sessions
    ADD COLUMN folded_seq        bigint NOT NULL DEFAULT 0,
    ADD COLUMN folded_count      bigint NOT NULL DEFAULT 0,
    ADD COLUMN fold_job_id       uuid,
    ADD COLUMN fold_due_at       timestamptz,
    ADD COLUMN fold_claim        uuid,
    ADD COLUMN fold_attempts     integer NOT NULL DEFAULT 0,
    ADD COLUMN fold_keep_tokens  bigint,
    ADD COLUMN fold_step_tokens  bigint,
    ADD COLUMN fold_model        text;
CREATE INDEX sessions_to_fold ON sessions (fold_due_at) WHERE fold_due_at IS NOT NULL;

-- A session that goes takes its job along.
CREATE FUNCTION end_job_of_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs SET state = 'aborted', reason = 'the session was deleted', updated_at = now()
    WHERE tenant_id = OLD.tenant_id AND id = OLD.fold_job_id AND state NOT IN ('succeeded', 'aborted', 'failed');
    RETURN NULL;
END $$;
CREATE TRIGGER session_ends_its_job AFTER DELETE ON sessions FOR EACH ROW WHEN (OLD.fold_job_id IS NOT NULL) EXECUTE FUNCTION end_job_of_session();

-- How many tokens a model's provider reports for one that Mentha counts. It rises at once and falls slowly.
CREATE TABLE token_ratios (
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    model       text NOT NULL,
    ratio       double precision NOT NULL,
    samples     bigint NOT NULL DEFAULT 1,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, model),
    CONSTRAINT token_ratio_valid CHECK (ratio > 0)
);
