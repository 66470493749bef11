"""Agents in PostgreSQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.core.names import readable_name
from mentha.store import projects, tools
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.store.tools import Seal, unsealed
from mentha.wire.agents import Agent, CreateAgentRequest, PatchAgentRequest, UpdateAgentRequest
from mentha.wire.common import Page
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE

COLUMNS = """x.id, x.canonical_name, x.name, x.about, x.model, x.instructions, x.default_settings, x.default_system_template, x.metadata,
    x.created_at, x.updated_at,
    (SELECT p.canonical_name FROM projects p WHERE p.tenant_id = x.tenant_id AND p.id = x.project_id) AS project"""
FIELDS = ("name", "about", "model", "instructions", "default_settings", "metadata")
PROJECT_OR_DEFAULT = "COALESCE($3, (SELECT p.id FROM projects p WHERE p.tenant_id = $1 AND p.canonical_name = 'default'))"

INSERT = f"""
INSERT INTO agents AS x
    (tenant_id, id, project_id, name, about, model, instructions, default_settings, metadata, default_system_template, canonical_name)
VALUES ($1, $2, {PROJECT_OR_DEFAULT}, $4, $5, $6, $7, $8, $9, $10, $11)
RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, agent: CreateAgentRequest, *, seal: Seal = unsealed) -> Agent:
    """Store a new agent with its tools, in `default` where no project is named, under a made-up canonical name where none is given.

    Raises:
        NotFound: no such project.
        Conflict: the canonical name is taken, or two tools have one name.
    """
    project_id = await projects.resolve(tx, tenant, agent.project)
    name = agent.canonical_name or readable_name()
    row = await tx.fetchrow(INSERT, tenant, new_id(), project_id, *_fields(agent), name)
    for tool in agent.tools or ():
        await tools.create(tx, tenant, row["id"], tool, seal=seal)
    return agent_of(row, "create")


GET = f"SELECT {COLUMNS} FROM agents x WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, agent_id: UUID) -> Agent:
    """One agent.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return agent_of(await tx.fetchrow(GET, tenant, agent_id), "get")


LIST = ordered(f"""
SELECT {COLUMNS} FROM agents x
WHERE x.tenant_id = $1 AND ($4::jsonpath IS NULL OR x.metadata @@ $4::jsonpath) AND ($5::uuid IS NULL OR x.project_id = $5)
""")


async def list_(tx: Tx, tenant: UUID, page: Page) -> list[Agent]:
    """One page of agents, of one project where the page names it.

    Raises:
        NotFound: no such project.
    """
    project_id = await projects.resolve(tx, tenant, page.project)
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, page.metadata_filter, project_id)
    return [agent_of(row, "list") for row in rows]


UPDATE = f"""
UPDATE agents x
SET project_id = COALESCE($3, x.project_id), name = $4, about = $5, model = $6, instructions = $7, default_settings = $8, metadata = $9,
    default_system_template = $10, canonical_name = COALESCE($11, x.canonical_name), updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def update(tx: Tx, tenant: UUID, agent_id: UUID, agent: UpdateAgentRequest) -> Agent:
    """Replace an agent; its canonical name and project stay where none is given. Its tools stay.

    Raises:
        NotFound: the tenant has none with this id, or no such project.
        Conflict: the canonical name is taken.
    """
    project_id = await projects.resolve(tx, tenant, agent.project)
    return agent_of(await tx.fetchrow(UPDATE, tenant, agent_id, project_id, *_fields(agent), agent.canonical_name), "update")


PATCH = f"""
UPDATE agents x
SET project_id = COALESCE($3, x.project_id), canonical_name = COALESCE($4, x.canonical_name), name = COALESCE($5, x.name),
    about = COALESCE($6, x.about), model = COALESCE($7, x.model), instructions = COALESCE($8, x.instructions),
    default_settings = CASE WHEN $9 THEN $10 ELSE x.default_settings END,
    default_system_template = CASE WHEN $11 THEN $12 ELSE x.default_system_template END,
    metadata = x.metadata || COALESCE($13::jsonb, '{{}}'), updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def patch(tx: Tx, tenant: UUID, agent_id: UUID, agent: PatchAgentRequest) -> Agent:
    """Change the given fields; metadata is merged; an explicit null sets a field back to its default.

    Raises:
        NotFound, Conflict: as `update`.
    """
    given = agent.model_fields_set
    project_id = await projects.resolve(tx, tenant, agent.project)
    row = await tx.fetchrow(
        PATCH,
        tenant,
        agent_id,
        project_id,
        agent.canonical_name,
        agent.name,
        "" if "about" in given and agent.about is None else agent.about,
        "" if "model" in given and agent.model is None else agent.model,
        [] if "instructions" in given and agent.instructions is None else agent.instructions,
        "default_settings" in given,
        agent.default_settings,
        "default_system_template" in given,
        _template(agent.default_system_template),
        agent.metadata,
    )
    return agent_of(row, "patch")


UPSERT = f"""
INSERT INTO agents AS x
    (tenant_id, id, project_id, name, about, model, instructions, default_settings, metadata, default_system_template, canonical_name)
VALUES ($1, $2, {PROJECT_OR_DEFAULT}, $4, $5, $6, $7, $8, $9, $10, COALESCE($11, $12))
ON CONFLICT (tenant_id, id) DO UPDATE
SET project_id = COALESCE($3, x.project_id), name = $4, about = $5, model = $6, instructions = $7, default_settings = $8, metadata = $9,
    default_system_template = $10, canonical_name = COALESCE($11, x.canonical_name), updated_at = now()
RETURNING {COLUMNS}
"""


async def upsert(tx: Tx, tenant: UUID, agent_id: UUID, agent: CreateAgentRequest, *, seal: Seal = unsealed) -> Agent:
    """Create the agent with this id, or replace it; tools, where given, replace those it has.

    Raises:
        NotFound: no such project.
        Conflict: the canonical name is taken, or two tools have one name.
    """
    project_id = await projects.resolve(tx, tenant, agent.project)
    row = await tx.fetchrow(UPSERT, tenant, agent_id, project_id, *_fields(agent), agent.canonical_name, readable_name())
    if agent.tools is not None:
        await tools.replace_all(tx, tenant, agent_id, agent.tools, seal=seal)
    return agent_of(row, "upsert")


DELETE = "DELETE FROM agents WHERE tenant_id = $1 AND id = $2 RETURNING now()"


async def delete(tx: Tx, tenant: UUID, agent_id: UUID) -> datetime:
    """Delete an agent with its tools. Its sessions stay readable, without it.

    Raises:
        NotFound: the tenant has none with this id.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, agent_id)
    if deleted_at is None:
        raise NotFound("Agent not found during delete")
    return deleted_at


def agent_of(row: Any, operation: str) -> Agent:
    """A row as the API shows it.

    Raises:
        NotFound: there is no row.
    """
    if row is None:
        raise NotFound(f"Agent not found during {operation}")
    template = row["default_system_template"]
    return Agent.model_validate({**row, "default_system_template": DEFAULT_SYSTEM_TEMPLATE if template is None else template})


def _fields(agent: CreateAgentRequest | UpdateAgentRequest) -> list[Any]:
    return [*(getattr(agent, field) for field in FIELDS), _template(agent.default_system_template)]


def _template(template: str | None) -> str | None:
    return None if template == DEFAULT_SYSTEM_TEMPLATE else template
