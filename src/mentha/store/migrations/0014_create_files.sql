-- Files: what stands in their rows is here, their bytes are in the blob store under a key of their own, which is never written twice.
--
-- file           what a client stored; may belong to an agent or a user, with whom it goes
-- blob_pending   a key of the blob store that no row holds: an upload under way, or one that nobody needs any more
-- file_text      what was read out of a file whose bytes are no text

-- An upload notes its key here, then writes the bytes, then makes the row and takes the note back: a crash at any point leaves a note, never a
-- row without bytes. A note that is due becomes `doomed`, in a transaction of its own, and only then are its bytes deleted: no row can take a
-- doomed key any more. It has no reference to the tenant, whose blobs must go after it.
CREATE TABLE blobs_pending (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    due_at     timestamptz NOT NULL,
    doomed     boolean NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX blobs_due ON blobs_pending (due_at);

CREATE TABLE files (
    tenant_id    uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id           uuid NOT NULL,
    project_id   uuid NOT NULL,
    agent_id     uuid,
    user_id      uuid,
    name         text NOT NULL,
    description  text NOT NULL,
    mime_type    text,
    metadata     jsonb NOT NULL DEFAULT '{}',
    size         bigint NOT NULL,
    hash         bytea NOT NULL,
    blob_id      uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT file_project_exists FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    CONSTRAINT file_agent_exists FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT file_user_exists FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT file_owner_single CHECK (num_nonnulls(agent_id, user_id) <= 1),
    CONSTRAINT file_description_length CHECK (char_length(description) <= 16000),
    CONSTRAINT file_not_empty CHECK (size > 0),
    CONSTRAINT file_hash_valid CHECK (octet_length(hash) = 32)
);
CREATE INDEX files_listed ON files (tenant_id, created_at, id);
CREATE INDEX files_by_project ON files (tenant_id, project_id);
CREATE INDEX files_by_agent ON files (tenant_id, agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX files_by_user ON files (tenant_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX files_by_metadata ON files USING gin (metadata jsonb_path_ops);

-- However a file goes, with its owner or its tenant too, and whenever its bytes are replaced: the old ones are to be deleted. After a minute,
-- so that whoever has just read the row can still read them.
CREATE FUNCTION doom_blob_of_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO blobs_pending (tenant_id, id, due_at, doomed) VALUES (OLD.tenant_id, OLD.blob_id, now() + interval '1 minute', true);
    RETURN NULL;
END $$;
CREATE TRIGGER file_dooms_its_blob AFTER DELETE ON files FOR EACH ROW EXECUTE FUNCTION doom_blob_of_file();
CREATE TRIGGER file_dooms_its_old_blob AFTER UPDATE OF blob_id ON files FOR EACH ROW
    WHEN (OLD.blob_id <> NEW.blob_id) EXECUTE FUNCTION doom_blob_of_file();

-- `blob_id` tells which bytes were read: a text of other bytes counts for nothing.
CREATE TABLE file_texts (
    tenant_id  uuid NOT NULL,
    file_id    uuid NOT NULL,
    blob_id    uuid NOT NULL,
    text       text NOT NULL,
    PRIMARY KEY (tenant_id, file_id),
    CONSTRAINT file_text_file_exists FOREIGN KEY (tenant_id, file_id) REFERENCES files (tenant_id, id) ON DELETE CASCADE
);
