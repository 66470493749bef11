"""Users in PostgreSQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.store import projects
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire.common import Page
from mentha.wire.users import CreateUserRequest, PatchUserRequest, UpdateUserRequest, User

# The project's name is looked up by key for each row that is answered; there are never more than a page of them.
COLUMNS = """x.id, x.name, x.about, x.metadata, x.created_at, x.updated_at,
    (SELECT p.canonical_name FROM projects p WHERE p.tenant_id = x.tenant_id AND p.id = x.project_id) AS project"""
PROJECT_OR_DEFAULT = "COALESCE($3, (SELECT p.id FROM projects p WHERE p.tenant_id = $1 AND p.canonical_name = 'default'))"

INSERT = f"""
INSERT INTO users AS x (tenant_id, id, project_id, name, about, metadata)
VALUES ($1, $2, {PROJECT_OR_DEFAULT}, $4, $5, $6)
RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, user: CreateUserRequest) -> User:
    """Store a new user, in `default` where no project is named.

    Raises:
        NotFound: no such project.
    """
    project_id = await projects.resolve(tx, tenant, user.project)
    row = await tx.fetchrow(INSERT, tenant, new_id(), project_id, user.name, user.about, user.metadata)
    return User.model_validate(dict(row))


GET = f"SELECT {COLUMNS} FROM users x WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, user_id: UUID) -> User:
    """One user.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return _one(await tx.fetchrow(GET, tenant, user_id), "get")


LIST = ordered(f"""
SELECT {COLUMNS} FROM users x
WHERE x.tenant_id = $1 AND ($4::jsonpath IS NULL OR x.metadata @@ $4::jsonpath) AND ($5::uuid IS NULL OR x.project_id = $5)
""")


async def list_(tx: Tx, tenant: UUID, page: Page) -> list[User]:
    """One page of users, of one project where the page names it.

    Raises:
        NotFound: no such project.
    """
    project_id = await projects.resolve(tx, tenant, page.project)
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, page.metadata_filter, project_id)
    return [User.model_validate(dict(row)) for row in rows]


UPDATE = f"""
UPDATE users x
SET project_id = COALESCE($3, x.project_id), name = $4, about = $5, metadata = $6, updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def update(tx: Tx, tenant: UUID, user_id: UUID, user: UpdateUserRequest) -> User:
    """Replace a user; without a project it stays where it is.

    Raises:
        NotFound: the tenant has none with this id, or no such project.
    """
    project_id = await projects.resolve(tx, tenant, user.project)
    return _one(await tx.fetchrow(UPDATE, tenant, user_id, project_id, user.name, user.about, user.metadata), "update")


PATCH = f"""
UPDATE users x
SET project_id = COALESCE($3, x.project_id), name = COALESCE($4, x.name), about = COALESCE($5, x.about),
    metadata = x.metadata || COALESCE($6::jsonb, '{{}}'), updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def patch(tx: Tx, tenant: UUID, user_id: UUID, user: PatchUserRequest) -> User:
    """Change the given fields; metadata is merged; an explicit null empties a text.

    Raises:
        NotFound: the tenant has none with this id, or no such project.
    """
    project_id = await projects.resolve(tx, tenant, user.project)
    texts = ["" if getattr(user, field) is None and field in user.model_fields_set else getattr(user, field) for field in ("name", "about")]
    return _one(await tx.fetchrow(PATCH, tenant, user_id, project_id, *texts, user.metadata), "patch")


UPSERT = f"""
INSERT INTO users AS x (tenant_id, id, project_id, name, about, metadata)
VALUES ($1, $2, {PROJECT_OR_DEFAULT}, $4, $5, $6)
ON CONFLICT (tenant_id, id) DO UPDATE
SET project_id = COALESCE($3, x.project_id), name = $4, about = $5, metadata = $6, updated_at = now()
RETURNING {COLUMNS}
"""


async def upsert(tx: Tx, tenant: UUID, user_id: UUID, user: CreateUserRequest) -> User:
    """Create the user with this id, or replace it.

    Raises:
        NotFound: no such project.
    """
    project_id = await projects.resolve(tx, tenant, user.project)
    return _one(await tx.fetchrow(UPSERT, tenant, user_id, project_id, user.name, user.about, user.metadata), "upsert")


DELETE = "DELETE FROM users WHERE tenant_id = $1 AND id = $2 RETURNING now()"


async def delete(tx: Tx, tenant: UUID, user_id: UUID) -> datetime:
    """Delete a user. Its sessions stay, without it.

    Raises:
        NotFound: the tenant has none with this id.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, user_id)
    if deleted_at is None:
        raise NotFound("User not found during delete")
    return deleted_at


def _one(row: Any, operation: str) -> User:
    if row is None:
        raise NotFound(f"User not found during {operation}")
    return User.model_validate(dict(row))
