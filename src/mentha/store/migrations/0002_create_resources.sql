-- Projects, agents, users, tools.

CREATE TABLE projects (
    tenant_id       uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id              uuid NOT NULL,
    canonical_name  text NOT NULL,
    name            text NOT NULL,
    metadata        jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX project_canonical_name_taken ON projects (tenant_id, lower(canonical_name));
CREATE INDEX projects_listed ON projects (tenant_id, created_at, id);

-- Every tenant has a project `default`: made with the tenant, so that no request has to.
CREATE FUNCTION make_default_project() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO projects (tenant_id, id, canonical_name, name) VALUES (NEW.id, NEW.id, 'default', 'Default');
    RETURN NULL;
END $$;
CREATE TRIGGER tenant_has_default_project AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION make_default_project();
INSERT INTO projects (tenant_id, id, canonical_name, name) SELECT id, id, 'default', 'Default' FROM tenants;

CREATE TABLE agents (
    tenant_id                uuid NOT NULL,
    id                       uuid NOT NULL,
    project_id               uuid NOT NULL,
    canonical_name           text NOT NULL,
    name                     text NOT NULL,
    about                    text NOT NULL,
    model                    text NOT NULL,
    instructions             text[] NOT NULL,
    default_settings         jsonb,
    -- NULL is the platform's default template: it is one text in the code, not a copy in each row.
    default_system_template  text,
    metadata                 jsonb NOT NULL DEFAULT '{}',
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT agent_project_exists FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    CONSTRAINT agent_about_length CHECK (char_length(about) <= 16000),
    CONSTRAINT agent_template_not_blank CHECK (default_system_template ~ '\S')
);
CREATE UNIQUE INDEX agent_canonical_name_taken ON agents (tenant_id, lower(canonical_name));
CREATE INDEX agents_listed ON agents (tenant_id, created_at, id);
CREATE INDEX agents_by_project ON agents (tenant_id, project_id);
CREATE INDEX agents_by_metadata ON agents USING gin (metadata jsonb_path_ops);

CREATE TABLE users (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    project_id  uuid NOT NULL,
    name        text NOT NULL,
    about       text NOT NULL,
    metadata    jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT user_project_exists FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id)
);
CREATE INDEX users_listed ON users (tenant_id, created_at, id);
CREATE INDEX users_by_project ON users (tenant_id, project_id);
CREATE INDEX users_by_metadata ON users USING gin (metadata jsonb_path_ops);

-- `spec` is the member that is named like the type, as the client sent it.
CREATE TABLE tools (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    agent_id     uuid NOT NULL,
    name         text NOT NULL,
    type         text NOT NULL,
    description  text,
    spec         jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT tool_agent_exists FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT tool_name_taken UNIQUE (tenant_id, agent_id, name)
);
