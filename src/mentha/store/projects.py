"""Projects in PostgreSQL. A tenant's project `default` is made with the tenant and can't be deleted or renamed away."""

from datetime import datetime
from uuid import UUID

from mentha.core.errors import Conflict, NotFound
from mentha.core.ids import new_id
from mentha.core.names import readable_name
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire.common import Page
from mentha.wire.projects import CreateProjectRequest, PatchProjectRequest, Project, UpdateProjectRequest

COLUMNS = "x.id, x.canonical_name, x.name, x.metadata, x.created_at, x.updated_at"
DEFAULT = "default"

INSERT = f"""
INSERT INTO projects AS x (tenant_id, id, canonical_name, name, metadata) VALUES ($1, $2, $3, $4, $5)
RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, project: CreateProjectRequest) -> Project:
    """Store a new project.

    Raises:
        Conflict: the canonical name is taken.
    """
    name = project.canonical_name or readable_name()
    row = await tx.fetchrow(INSERT, tenant, new_id(), name, project.name, project.metadata)
    return Project.model_validate(dict(row))


GET = f"SELECT {COLUMNS} FROM projects x WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, project_id: UUID) -> Project:
    """One project.

    Raises:
        NotFound: the tenant has none with this id.
    """
    row = await tx.fetchrow(GET, tenant, project_id)
    if row is None:
        raise NotFound("Project not found during get")
    return Project.model_validate(dict(row))


LIST = ordered(f"SELECT {COLUMNS} FROM projects x WHERE x.tenant_id = $1 AND ($4::jsonpath IS NULL OR x.metadata @@ $4::jsonpath)")


async def list_(tx: Tx, tenant: UUID, page: Page) -> list[Project]:
    """One page of projects."""
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, page.metadata_filter)
    return [Project.model_validate(dict(row)) for row in rows]


UPDATE = f"""
UPDATE projects x
SET name = COALESCE($3, x.name), canonical_name = COALESCE($4, x.canonical_name),
    metadata = CASE WHEN $6 THEN $5::jsonb ELSE x.metadata || COALESCE($5::jsonb, '{{}}') END, updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2 AND (x.canonical_name <> 'default' OR COALESCE(lower($4), 'default') = 'default')
RETURNING {COLUMNS}
"""


async def update(tx: Tx, tenant: UUID, project_id: UUID, project: UpdateProjectRequest) -> Project:
    """Replace a project; without a canonical name it keeps its own.

    Raises:
        NotFound: the tenant has none with this id.
        Conflict: the canonical name is taken, or belongs to `default`.
    """
    row = await tx.fetchrow(UPDATE, tenant, project_id, project.name, project.canonical_name, project.metadata, True)
    return Project.model_validate(dict(row)) if row else await _why_not(tx, tenant, project_id, "update")


async def patch(tx: Tx, tenant: UUID, project_id: UUID, project: PatchProjectRequest) -> Project:
    """Change the given fields; metadata is merged.

    Raises:
        NotFound, Conflict: as `update`.
    """
    row = await tx.fetchrow(UPDATE, tenant, project_id, project.name, project.canonical_name, project.metadata, False)
    return Project.model_validate(dict(row)) if row else await _why_not(tx, tenant, project_id, "patch")


UPSERT = f"""
INSERT INTO projects AS x (tenant_id, id, canonical_name, name, metadata) VALUES ($1, $2, COALESCE($3, $6), $4, $5)
ON CONFLICT (tenant_id, id) DO UPDATE
SET canonical_name = COALESCE($3, x.canonical_name), name = $4, metadata = $5, updated_at = now()
WHERE x.canonical_name <> 'default' OR COALESCE(lower($3), 'default') = 'default'
RETURNING {COLUMNS}
"""


async def upsert(tx: Tx, tenant: UUID, project_id: UUID, project: CreateProjectRequest) -> Project:
    """Create the project with this id, or replace it.

    Raises:
        Conflict: the canonical name is taken, or belongs to `default`.
    """
    row = await tx.fetchrow(UPSERT, tenant, project_id, project.canonical_name, project.name, project.metadata, readable_name())
    return Project.model_validate(dict(row)) if row else await _why_not(tx, tenant, project_id, "update")


DELETE = """
WITH home AS (SELECT id FROM projects WHERE tenant_id = $1 AND canonical_name = 'default'),
     moved_agents AS (UPDATE agents SET project_id = home.id FROM home WHERE tenant_id = $1 AND project_id = $2 AND home.id <> $2),
     moved_users AS (UPDATE users SET project_id = home.id FROM home WHERE tenant_id = $1 AND project_id = $2 AND home.id <> $2),
     moved_files AS (UPDATE files SET project_id = home.id FROM home WHERE tenant_id = $1 AND project_id = $2 AND home.id <> $2)
SELECT id FROM home
"""
DELETE_EMPTY = "DELETE FROM projects WHERE tenant_id = $1 AND id = $2 AND canonical_name <> 'default' RETURNING now()"


async def delete(tx: Tx, tenant: UUID, project_id: UUID) -> datetime:
    """Delete a project; what it held moves to `default`.

    Returns:
        When it was deleted.

    Raises:
        NotFound: the tenant has none with this id.
        Conflict: it is `default`.
    """
    await tx.execute(DELETE, tenant, project_id)
    deleted_at = await tx.fetchval(DELETE_EMPTY, tenant, project_id)
    if deleted_at is None:
        await get(tx, tenant, project_id)
        raise Conflict("the project 'default' can't be deleted")
    return deleted_at


async def _why_not(tx: Tx, tenant: UUID, project_id: UUID, operation: str) -> Project:
    if await tx.fetchrow(GET, tenant, project_id) is None:
        raise NotFound(f"Project not found during {operation}")
    raise Conflict("the project 'default' keeps its canonical_name")


RESOLVE = "SELECT id FROM projects WHERE tenant_id = $1 AND lower(canonical_name) = lower($2)"


async def resolve(tx: Tx, tenant: UUID, canonical_name: str | None) -> UUID | None:
    """The id of the project with this name; None for no name.

    Raises:
        NotFound: there is no such project.
    """
    if canonical_name is None:
        return None
    found = await tx.fetchval(RESOLVE, tenant, canonical_name)
    if found is None:
        raise NotFound(f"Project '{canonical_name}' not found", fix="create it first, or leave `project` out")
    return found
