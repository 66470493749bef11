"""Requests that schemathesis makes up from /openapi.json: no fault of the server, no undocumented status, no answer off its schema."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx2
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from mentha.api import openapi
from mentha.server.app import ROUTERS
from tests.support.sdk import Account, make_account
from tests.support.server import ServerProcess

EXAMPLES = 15
LIMIT_S = 20
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
ECHO = "mentha/echo"


@pytest.fixture(scope="module")
def tenant_key(worker_dsn: str) -> str:
    """The key of a tenant for this module."""

    async def make() -> Account:
        connection = await asyncpg.connect(worker_dsn)
        try:
            return await make_account(connection)
        finally:
            await connection.close()

    return asyncio.run(make()).key


@pytest.fixture(scope="module")
def ids(server: ServerProcess, tenant_key: str) -> dict[str, str]:
    """Ids that exist, so that requests get past the 404; the model needs no provider."""
    with httpx2.Client(base_url=server.url, headers={"Authorization": tenant_key}, trust_env=False) as client:
        agent = client.post("/agents", json={"name": "Mia", "model": ECHO}).json()["id"]
        user = client.post("/users", json={}).json()["id"]
        project = client.post("/projects", json={"name": "P"}).json()["id"]
        session = client.post("/sessions", json={"agent": agent, "user": user}).json()["id"]
        secret = client.post("/secrets", json={"name": "token", "value": "hunter2"}).json()["id"]
        tool = client.post(f"/agents/{agent}/tools", json={"name": "t", "type": "function", "function": {}}).json()["id"]
        task = client.post(f"/agents/{agent}/tasks", json={"name": "t", "main": [{"evaluate": {"a": 1}}]}).json()["id"]
        execution = client.post(f"/tasks/{task}/executions", json={"input": {}}).json()["id"]
        # Its streams end where it has ended.
        client.get(f"/executions/{execution}/status.stream")
        schedule = client.post(f"/tasks/{task}/schedules", json={"cron": "0 0 1 1 *"}).json()["id"]
    made = {"agent_id": agent, "user_id": user, "project_id": project, "session_id": session, "tool_id": tool, "secret_id": secret}
    return {**made, "task_id": task, "execution_id": execution, "schedule_id": schedule}


@pytest.fixture(scope="module")
def http(tenant_key: str) -> Iterator[requests.Session]:
    """One connection for all requests."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {tenant_key}"
        yield session


def described() -> Any:
    """The description, made without a server so that each operation can be a test of its own."""
    app = FastAPI(separate_input_output_schemas=False)
    for module in ROUTERS:
        app.include_router(module.router)
    return openapi.describe(app)


def operations() -> dict[str, Any]:
    """Every described operation by its name, like `GET /agents`."""
    loaded = schemathesis.openapi.from_dict(described()).exclude(path="/metrics")
    return {each.label: each for each in (result.ok() for result in loaded.get_all_operations())}


def has_parts(operation: Any) -> bool:
    """Whether a request of this operation has anything beside its path."""
    return bool(list(operation.iter_parameters()) or operation.body)


OPERATIONS = operations()
# Where a request has no parts, none of them can be wrong.
CASES = [(label, mode) for label, each in OPERATIONS.items() for mode in GenerationMode if mode.is_positive or has_parts(each)]


def test_description_that_is_served_is_the_one_tested_here(server: ServerProcess) -> None:
    assert httpx2.get(f"{server.url}/openapi.json", trust_env=False).json() == json.loads(json.dumps(described()))


@pytest.mark.parametrize(("label", "mode"), CASES, ids=[f"{label} {mode.value}" for label, mode in CASES])
def test_operation_answers_made_up_requests_as_it_is_described(
    label: str, mode: Any, http: requests.Session, ids: dict[str, str], server: ServerProcess
) -> None:
    operation = OPERATIONS[label]

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers_as_described(case: Any) -> None:
        aim(case, mode, ids)
        answer = case.call(base_url=f"{server.url}/api", session=http, timeout=LIMIT_S)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=CHECKS)

    answers_as_described()


def aim(case: Any, mode: GenerationMode, ids: dict[str, str]) -> None:
    """Point a request at what exists, but where that would delete it, or make it anew under its id."""
    upsert = case.method == "POST" and case.operation.path.endswith("_id}")
    if case.method != "DELETE" and not upsert:
        case.path_parameters = {name: ids.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if mode.is_positive and isinstance(case.body, dict):
        case.body = mended(case.operation.path, case.body, ids)


def mended(path: str, body: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """A body without what a schema can't say of it: members that need each other, and ids and names that must exist."""
    if path.endswith(("/chat", "/render")):
        left = {name: value for name, value in body.items() if name not in ("agent", "tools", "tool_choice")}
        return {**left, "model": ECHO, "messages": [{"role": "user", "content": repr(body.get("messages"))}]}
    if path.endswith(("/tools", "/tools/{tool_id}")):
        return {**body, "type": "function", "function": body.get("function") or {}}
    left = {name: value for name, value in body.items() if name not in ("project", "agent", "agents", "user", "users", "tools")}
    return {**left, "agent": ids["agent_id"]} if "/sessions" in path else left
