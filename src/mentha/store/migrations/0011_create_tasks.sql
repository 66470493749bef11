-- Tasks of agents, and every definition that each has had.
--
-- task          what has an id and a name; `version` is its definition now
-- task_version  a definition, checked, with the plan that is run; never changed, but for the key that secrets in its tools are sealed with

CREATE TABLE tasks (
    tenant_id       uuid NOT NULL,
    id              uuid NOT NULL,
    agent_id        uuid NOT NULL,
    canonical_name  text NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT task_agent_exists FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX task_canonical_name_taken ON tasks (tenant_id, lower(canonical_name));
CREATE INDEX tasks_listed ON tasks (tenant_id, agent_id, created_at, id);

-- `json`, not `jsonb`: authors get their keys back in the order in which they wrote them. Neither `definition` nor `plan` has tools in it:
-- those of the task and those inside of prompts stand in `tools`, each with an id, so that there is one place with sealed secrets.
CREATE TABLE task_versions (
    tenant_id   uuid NOT NULL,
    task_id     uuid NOT NULL,
    version     integer NOT NULL,
    definition  json NOT NULL,
    tools       json NOT NULL,
    plan        json NOT NULL,
    warnings    json NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, task_id, version),
    CONSTRAINT task_version_task_exists FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
