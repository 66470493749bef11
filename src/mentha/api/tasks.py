"""Tasks over HTTP: definitions in JSON or YAML, checked before they are stored.

Answers are made of what is stored, without going through shapes again; these are for the published description.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import Response

from mentha.api.deps import FilteredPage, PlainPage, RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.api.yaml_body import DefinitionRoute
from mentha.core.errors import Conflict, NotFound
from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.store import sealing, tasks
from mentha.store.tasks import Stored
from mentha.wire import step_walk
from mentha.wire.common import ResourceDeletedResponse, ours
from mentha.wire.tasks import (
    CreateOrUpdateTaskRequest,
    CreateTaskRequest,
    Draft,
    PatchTaskRequest,
    Task,
    TaskPage,
    TaskVersionPage,
    UpdateTaskRequest,
    definition_of,
    merged,
)
from mentha.workflow.checks import draft_of, templates_in

router = APIRouter(tags=["tasks"], route_class=DefinitionRoute)

_YAML: dict[str, Any] = {
    "requestBody": {"content": {kind: {"schema": {"type": "object"}} for kind in ("application/yaml", "text/x-yaml", "text/yaml")}}
}
# A definition, the canonical name that it is to have, and places of what nothing reads in it.
_Asked = tuple[JsonObject, str | None, Iterable[step_walk.Path]]
# Ten take a worker some 10 ms.
TEMPLATES_S_MAX = 5.0
Version = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the version, from 1 on")]


@router.post("/agents/{agent_id}/tasks", status_code=201, response_model=Task, responses=errors(400, 404, 409), openapi_extra=_YAML)
async def create_task(agent_id: UUID, body: CreateTaskRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Response:
    """Create Task"""
    return _json(await create_in(tx, tenant, runtime, agent_id, body), 201)


@router.get("/agents/{agent_id}/tasks", response_model=TaskPage, responses=errors(404))
async def list_tasks(agent_id: UUID, tenant: TenantId, tx: Statement, page: FilteredPage) -> Response:
    """List Tasks"""
    return _json({"items": await tasks.list_(tx, tenant, agent_id, page)})


@router.post(
    "/agents/{agent_id}/tasks/{task_id}", status_code=201, response_model=Task, responses=errors(400, 404, 409), openapi_extra=_YAML
)
async def create_or_update_task(
    agent_id: UUID, task_id: UUID, body: CreateOrUpdateTaskRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf
) -> Response:
    """Create Or Update Task"""
    return _json(await upsert_in(tx, tenant, runtime, agent_id, task_id, body), 201)


@router.put("/agents/{agent_id}/tasks/{task_id}", response_model=Task, responses=errors(400, 404, 409), openapi_extra=_YAML)
async def update_task(agent_id: UUID, task_id: UUID, body: UpdateTaskRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Response:
    """Replace Task"""
    return _json(await update_in(tx, tenant, runtime, agent_id, task_id, body))


@router.patch("/agents/{agent_id}/tasks/{task_id}", response_model=Task, responses=errors(400, 404, 409), openapi_extra=_YAML)
async def patch_task(agent_id: UUID, task_id: UUID, body: PatchTaskRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Response:
    """Change some fields of a Task"""
    return _json(await patch_in(tx, tenant, runtime, agent_id, task_id, body))


@router.delete("/agents/{agent_id}/tasks/{task_id}", status_code=202, responses=errors(404))
async def delete_task(agent_id: UUID, task_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete Task"""
    return ResourceDeletedResponse(id=task_id, deleted_at=await tasks.delete(tx, tenant, task_id, agent_id=agent_id))


@router.get("/tasks/{task_id}", response_model=Task, responses=errors(404))
async def get_task(task_id: UUID, tenant: TenantId, tx: Statement) -> Response:
    """Get Task Details"""
    return _json(await tasks.get(tx, tenant, task_id))


@router.get("/tasks/{task_id}/versions", response_model=TaskVersionPage, responses=errors(404), openapi_extra=ours())
async def list_task_versions(task_id: UUID, tenant: TenantId, tx: Statement, page: PlainPage) -> Response:
    """List the versions of a Task"""
    return _json({"items": await tasks.versions(tx, tenant, task_id, page)})


@router.get("/tasks/{task_id}/versions/{version}", response_model=Task, responses=errors(404), openapi_extra=ours())
async def get_task_version(task_id: UUID, version: Version, tenant: TenantId, tx: Statement) -> Response:
    """Get a Task as it was"""
    return _json(await tasks.get_version(tx, tenant, task_id, version))


# --- what tools of type `system` do as well; each needs a transaction around it, and gives a task as answers have it


async def create_in(
    tx: Tx, tenant: UUID, runtime: Any, agent_id: UUID, body: UpdateTaskRequest, *, task_id: UUID | None = None
) -> JsonObject:
    """Check a definition and store it as a new task of an agent.

    Raises:
        TaskInvalid: something in it can't work.
        NotFound, Conflict, FieldInvalid: as `store.tasks.create`.
        SecretsUnavailable: its tools have secrets, and this server has no key.
    """
    names = await tasks.agent_tools(tx, tenant, agent_id)
    draft = await _draft(runtime, tenant, (definition_of(body), body.canonical_name, body.strays), names)
    seal = await sealing.seal_for_task(tx, tenant, runtime.vault, draft.tools)
    return await tasks.create(tx, tenant, agent_id, draft, task_id=task_id, seal=seal)


async def update_in(tx: Tx, tenant: UUID, runtime: Any, agent_id: UUID, task_id: UUID, body: UpdateTaskRequest) -> JsonObject:
    """Replace the definition of a task by its next version.

    Raises:
        NotFound: the tenant's agent has no such task.
        TaskInvalid, Conflict, FieldInvalid, SecretsUnavailable: as `create_in`.
    """
    stored = _of_agent(await tasks.lock(tx, tenant, task_id), agent_id, "update")
    return await _change(tx, tenant, runtime, task_id, stored, (definition_of(body), body.canonical_name, body.strays))


async def patch_in(tx: Tx, tenant: UUID, runtime: Any, agent_id: UUID, task_id: UUID, body: PatchTaskRequest) -> JsonObject:
    """Change some fields of a task: a new version, too.

    Raises:
        NotFound, TaskInvalid, Conflict, FieldInvalid, SecretsUnavailable: as `update_in`.
    """
    stored = _of_agent(await tasks.lock(tx, tenant, task_id), agent_id, "patch")
    return await _change(tx, tenant, runtime, task_id, stored, (merged(stored.definition, body), body.canonical_name, body.strays))


async def upsert_in(tx: Tx, tenant: UUID, runtime: Any, agent_id: UUID, task_id: UUID, body: UpdateTaskRequest) -> JsonObject:
    """Create the task with this id, or replace its definition; then its canonical name stays.

    Raises:
        Conflict: another agent has a task with this id, or the canonical name is taken.
        NotFound, TaskInvalid, FieldInvalid, SecretsUnavailable: as `create_in`.
    """
    stored = await tasks.lock(tx, tenant, task_id)
    if stored is None:
        return await create_in(tx, tenant, runtime, agent_id, body, task_id=task_id)
    if stored.agent_id != agent_id:
        raise Conflict("a task of another agent has this id")
    return await _change(tx, tenant, runtime, task_id, stored, (definition_of(body), None, body.strays))


async def _change(tx: Tx, tenant: UUID, runtime: Any, task_id: UUID, stored: Stored, asked: _Asked) -> JsonObject:
    draft = await _draft(runtime, tenant, asked, await tasks.agent_tools(tx, tenant, stored.agent_id))
    seal = await sealing.seal_for_task(tx, tenant, runtime.vault, draft.tools)
    return await tasks.update(tx, tenant, task_id, draft, stored, seal=seal)


async def _draft(runtime: Any, tenant: UUID, asked: _Asked, agent_tools: Iterable[str]) -> Draft:
    definition, canonical_name, strays = asked
    # In threads: what is as large as it may be takes seconds.
    templates = await _checked(runtime, tenant, await asyncio.to_thread(templates_in, definition))
    return await asyncio.to_thread(
        draft_of, definition, canonical_name=canonical_name, strays=strays, agent_tools=agent_tools, templates=templates
    )


async def _checked(runtime: Any, tenant: UUID, templates: Iterable[str]) -> dict[str, JsonObject]:
    """What is wrong with each template, as far as `TEMPLATES_S_MAX` suffice; of the rest their steps will tell."""
    found: dict[str, JsonObject] = {}
    until_s = time.monotonic() + TEMPLATES_S_MAX
    for text in templates:
        if time.monotonic() > until_s:
            break
        found[text] = await runtime.expressions.check_template(tenant, text)
    return found


def _of_agent(stored: Stored | None, agent_id: UUID, operation: str) -> Stored:
    if stored is None or stored.agent_id != agent_id:
        raise NotFound(f"Task not found during {operation}")
    return stored


def _json(value: JsonValue, status: int = 200) -> Response:
    return Response(dumps(value), status, media_type="application/json")
