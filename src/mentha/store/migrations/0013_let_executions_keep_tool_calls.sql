-- Prompts of executions run tools too: what they have done is kept under an id that the execution and the step make, and is dropped by its age.

ALTER TABLE tool_runs ALTER COLUMN session_id DROP NOT NULL;
ALTER TABLE tool_runs ADD COLUMN execution_id uuid;
ALTER TABLE tool_runs ADD CONSTRAINT tool_run_has_one_owner CHECK (num_nonnulls(session_id, execution_id) = 1);
-- Two ages: a turn is sent again within minutes, an execution goes on when there is a worker again.
DROP INDEX tool_runs_by_age;
CREATE INDEX tool_runs_of_sessions_by_age ON tool_runs (created_at) WHERE session_id IS NOT NULL;
CREATE INDEX tool_runs_of_executions_by_age ON tool_runs (created_at) WHERE execution_id IS NOT NULL;
