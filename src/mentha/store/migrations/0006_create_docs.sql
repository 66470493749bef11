-- Documents of agents and users, their chunks, the words and the vectors of these, and who made the vectors.
--
-- doc          what a client stored; belongs to one agent or one user, its owner
-- chunk        a piece of a doc that search finds; its words are searched as soon as the doc is stored
-- vector       what an embedder made of a chunk, some time later
-- vocabulary   words that a tenant's documents have, for those that a query misspells

-- One row for each embedder that has ever been used. Searches use the active one; `building` is the one that `mentha reindex` moves to.
-- Vectors of different embedders are never compared. `related_at` and `unrelated_at` turn a cosine into a confidence.
CREATE TABLE embedders (
    id            smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    dimensions    integer NOT NULL,
    related_at    real NOT NULL,
    unrelated_at  real NOT NULL,
    state         text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT embedder_state_valid CHECK (state IN ('active', 'building', 'retired')),
    CONSTRAINT embedder_dimensions_valid CHECK (dimensions BETWEEN 1 AND 4000)
);
CREATE UNIQUE INDEX embedder_active_once ON embedders (state) WHERE state IN ('active', 'building');

-- `owner` is `a` or `u` and the id of the agent or user in hexadecimal: one value to filter by, also among the words of a chunk.
-- Work for the embedder: a doc without `embedded_at` is due from `due_at` on. Whoever takes it moves `due_at` to the end of its lease and
-- leaves its mark in `claim`; a change of the doc clears the mark, so that what was made from the old text is not stored.
CREATE TABLE docs (
    tenant_id          uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                 uuid NOT NULL,
    agent_id           uuid,
    user_id            uuid,
    owner              text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
        CASE WHEN agent_id IS NULL THEN 'u' || replace(user_id::text, '-', '') ELSE 'a' || replace(agent_id::text, '-', '') END) STORED,
    title              text NOT NULL,
    content            text[] NOT NULL,
    metadata           jsonb NOT NULL DEFAULT '{}',
    language           text NOT NULL,
    embed_instruction  text,
    digest             bytea NOT NULL,
    job_id             uuid NOT NULL,
    claim              uuid,
    due_at             timestamptz DEFAULT now(),
    attempts           integer NOT NULL DEFAULT 0,
    failure            text,
    embedded_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT doc_agent_exists FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT doc_user_exists FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT doc_owner_single CHECK (num_nonnulls(agent_id, user_id) = 1),
    CONSTRAINT doc_title_length CHECK (char_length(title) <= 800),
    CONSTRAINT doc_digest_valid CHECK (octet_length(digest) = 32)
);
-- The same title and content once for each owner.
CREATE UNIQUE INDEX doc_content_taken ON docs (tenant_id, owner, digest);
CREATE INDEX docs_listed ON docs (tenant_id, owner, created_at, id);
CREATE INDEX docs_by_agent ON docs (tenant_id, agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX docs_by_user ON docs (tenant_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX docs_by_metadata ON docs USING gin (metadata jsonb_path_ops);
CREATE INDEX docs_to_embed ON docs (due_at) WHERE embedded_at IS NULL;

-- A doc that goes, alone or with its owner, takes its job along: nobody will do it any more.
CREATE FUNCTION end_job_of_doc() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs SET state = 'aborted', reason = 'the document was deleted', updated_at = now() WHERE tenant_id = OLD.tenant_id AND id = OLD.job_id;
    RETURN NULL;
END $$;
CREATE TRIGGER doc_ends_its_job AFTER DELETE ON docs FOR EACH ROW WHEN (OLD.embedded_at IS NULL) EXECUTE FUNCTION end_job_of_doc();

-- `words` are the lexemes of title (weight A) and text (weight B) by the text search configuration `configuration`, and the owner as one
-- more lexeme that no text can have (`#` and the owner), so that the index finds the words of one owner without reading anybody else's.
CREATE TABLE chunks (
    tenant_id      uuid NOT NULL,
    doc_id         uuid NOT NULL,
    index          integer NOT NULL,
    owner          text COLLATE "C" NOT NULL,
    configuration  text COLLATE "C" NOT NULL,
    text           text NOT NULL,
    -- The nearest heading above it, where it does not begin with one.
    heading        text NOT NULL,
    words          tsvector NOT NULL,
    PRIMARY KEY (tenant_id, doc_id, index),
    CONSTRAINT chunk_doc_exists FOREIGN KEY (tenant_id, doc_id) REFERENCES docs (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX chunks_by_owner ON chunks (tenant_id, owner, configuration);
-- A short list of what is not sorted in yet: each search reads it from end to end.
CREATE INDEX chunks_by_words ON chunks USING gin (words) WITH (gin_pending_list_limit = 256);

-- Kept apart from the chunks, so that an exact search reads nothing but vectors; inline, so that it reads them from one place.
CREATE TABLE vectors (
    tenant_id    uuid NOT NULL,
    doc_id       uuid NOT NULL,
    index        integer NOT NULL,
    embedder_id  smallint NOT NULL REFERENCES embedders (id),
    owner        text COLLATE "C" NOT NULL,
    vector       halfvec NOT NULL,
    PRIMARY KEY (tenant_id, doc_id, index, embedder_id),
    CONSTRAINT vector_chunk_exists FOREIGN KEY (tenant_id, doc_id, index) REFERENCES chunks (tenant_id, doc_id, index) ON DELETE CASCADE
);
ALTER TABLE vectors ALTER COLUMN vector SET STORAGE MAIN;
CREATE INDEX vectors_by_owner ON vectors (tenant_id, owner, embedder_id);

CREATE TABLE vocabulary (
    tenant_id  uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    word       text NOT NULL,
    PRIMARY KEY (tenant_id, word)
);
CREATE INDEX vocabulary_by_trigram ON vocabulary USING gin (word gin_trgm_ops);
