"""Who may do what: every route as its owner, as another tenant, without a key and with a wrong one. Section 1 of the behaviour spec."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import jwt
import pytest

from mentha.auth import keys
from mentha.store import api_keys
from tests.support.model_server import ModelServerHandle
from tests.support.sdk import FORBIDDEN, JWT_SECRET, Account, NewAccount, raw_client, said
from tests.support.server import KEY, ServerProcess
from tests.support.talk import Client

CHAT: Any = {"messages": [said("hi")]}
TASK: Any = {"name": "T", "main": [{"log": "x"}]}
FUNCTION: Any = {"name": "other", "type": "function", "function": {}}


@dataclass(frozen=True)
class Call:
    """A request of a route that names something of one tenant. The order is one in which the owner can make them all."""

    method: str
    path: str
    status: int
    json: Any = None


# Upserts are not among these: with another tenant's id they make an object of one's own.
NAMING = (
    Call("GET", "/agents/{agent}", 200),
    Call("PATCH", "/agents/{agent}", 200, {"about": "x"}),
    Call("PUT", "/agents/{agent}", 200, {"name": "Mia", "model": "gpt-x"}),
    Call("GET", "/agents/{agent}/tools", 200),
    Call("POST", "/agents/{agent}/tools", 201, FUNCTION),
    Call("GET", "/agents/{agent}/tools/{tool}", 200),
    Call("PATCH", "/agents/{agent}/tools/{tool}", 200, {"description": "x"}),
    Call("PUT", "/agents/{agent}/tools/{tool}", 200, {**FUNCTION, "name": "t"}),
    Call("DELETE", "/agents/{agent}/tools/{tool}", 200),
    Call("GET", "/agents/{agent}/tasks", 200),
    Call("POST", "/agents/{agent}/tasks", 201, TASK),
    Call("GET", "/tasks/{task}", 200),
    Call("GET", "/tasks/{task}/versions", 200),
    Call("GET", "/tasks/{task}/versions/1", 200),
    Call("PATCH", "/agents/{agent}/tasks/{task}", 200, {"description": "x"}),
    Call("PUT", "/agents/{agent}/tasks/{task}", 200, TASK),
    Call("DELETE", "/agents/{agent}/tasks/{task}", 202),
    Call("GET", "/users/{user}", 200),
    Call("PATCH", "/users/{user}", 200, {"about": "x"}),
    Call("PUT", "/users/{user}", 200, {"name": "Ann"}),
    Call("GET", "/projects/{project}", 200),
    Call("PATCH", "/projects/{project}", 200, {"name": "x"}),
    Call("PUT", "/projects/{project}", 200, {"name": "x"}),
    Call("GET", "/sessions/{session}", 200),
    Call("PATCH", "/sessions/{session}", 200, {"situation": "x"}),
    Call("PUT", "/sessions/{session}", 200, {"situation": "x"}),
    Call("POST", "/sessions/{session}/chat", 201, CHAT),
    Call("POST", "/sessions/{session}/chat", 201, {**CHAT, "stream": True}),
    Call("POST", "/sessions/{session}/render", 200, CHAT),
    Call("GET", "/sessions/{session}/history", 200),
    Call("DELETE", "/sessions/{session}/history", 202),
    Call("GET", "/conversations/{session}", 200),
    Call("POST", "/conversations/{session}", 200, {"metadata": {}}),
    Call("POST", "/conversations/{session}/items", 200, {"items": [{"role": "user", "content": "x"}]}),
    Call("GET", "/conversations/{session}/items", 200),
    Call("GET", "/jobs/{job}", 200),
    Call("POST", "/agents/{agent}/docs", 201, {"title": "T", "content": "c"}),
    Call("POST", "/users/{user}/docs", 201, {"title": "T", "content": "c"}),
    Call("GET", "/docs/{doc}", 200),
    Call("PATCH", "/docs/{doc}", 200, {"title": "x"}),
    Call("PUT", "/docs/{doc}", 200, {"title": "x", "content": "y"}),
    Call("GET", "/agents/{agent}/docs/{doc}", 200),
    Call("PATCH", "/agents/{agent}/docs/{doc}", 200, {"title": "z"}),
    Call("PUT", "/agents/{agent}/docs/{doc}", 200, {"title": "z", "content": "y"}),
    Call("DELETE", "/agents/{agent}/docs/{doc}", 202),
    Call("GET", "/secrets/{secret}", 200),
    Call("PATCH", "/secrets/{secret}", 200, {"description": "x"}),
    Call("PUT", "/secrets/{secret}", 200, {"name": "token", "value": "another"}),
    Call("DELETE", "/secrets/{secret}", 202),
    Call("GET", "/files/{file}", 200),
    Call("GET", "/files/{file}/content", 200),
    Call("PATCH", "/files/{file}", 200, {"description": "x"}),
    Call("PUT", "/files/{file}", 200, {"name": "x"}),
    Call("DELETE", "/files/{file}", 202),
    Call("DELETE", "/sessions/{session}", 202),
    Call("DELETE", "/users/{user}", 202),
    Call("DELETE", "/agents/{agent}", 202),
    Call("DELETE", "/projects/{project}", 202),
)
NAMELESS = (
    Call("GET", "/agents", 200),
    Call("POST", "/agents", 201, {"name": "x"}),
    Call("GET", "/agents/models", 200),
    Call("GET", "/users", 200),
    Call("POST", "/users", 201, {}),
    Call("GET", "/projects", 200),
    Call("POST", "/projects", 201, {"name": "x"}),
    Call("GET", "/sessions", 200),
    Call("POST", "/embed", 200, {"text": "x"}),
    Call("POST", "/responses", 200, {"model": "gpt-x", "input": "hi"}),
    Call("POST", "/conversations", 200, {}),
    Call("POST", "/chat/completions", 200, {"model": "gpt-x", "messages": [said("hi")]}),
    Call("GET", "/models", 200),
    Call("GET", "/usage", 200),
    Call("GET", "/secrets", 200),
    Call("POST", "/secrets", 201, {"name": "other", "value": "hunter2"}),
    Call("GET", "/files", 200),
    Call("POST", "/files", 201, {"name": "x", "content": "eA=="}),
)
UPSERTS = (
    Call("POST", "/agents/{agent}", 201, {"name": "x"}),
    Call("POST", "/agents/{agent}/tasks/{task}", 201, TASK),
    Call("POST", "/users/{user}", 201, {}),
    Call("POST", "/projects/{project}", 201, {"name": "x"}),
    Call("POST", "/sessions/{session}", 201, {"situation": "x"}),
    Call("PUT", "/files/{file}/content", 200, {"any": "bytes"}),
)
LATER = ("/responses",)
CALLS = NAMING + NAMELESS + UPSERTS


async def belongings(client: Client, rows: Any, account: Account) -> dict[str, str]:
    """Ids of one of each resource."""
    agent = (await client.post("/agents", json={"name": "Mia", "model": "gpt-x", "canonical_name": "mia"})).json()["id"]
    user = (await client.post("/users", json={"name": "Ann"})).json()["id"]
    project = (await client.post("/projects", json={"name": "P", "canonical_name": "p"})).json()["id"]
    tool = (await client.post(f"/agents/{agent}/tools", json={**FUNCTION, "name": "t"})).json()["id"]
    task = (await client.post(f"/agents/{agent}/tasks", json=TASK)).json()["id"]
    session = (await client.post("/sessions", json={"agent": agent, "user": user})).json()["id"]
    doc = (await client.post(f"/agents/{agent}/docs", json={"title": "D", "content": "d"})).json()["id"]
    secret = (await client.post("/secrets", json={"name": "token", "value": "hunter2"})).json()["id"]
    file = (await client.post("/files", json={"name": "f", "content": "eA=="})).json()["id"]
    job = uuid4()
    await rows.execute("INSERT INTO jobs (tenant_id, id, kind, name) VALUES ($1, $2, 'test', 'a job')", account.id, job)
    return {
        "agent": agent,
        "user": user,
        "project": project,
        "tool": tool,
        "task": task,
        "session": session,
        "secret": secret,
        "doc": doc,
        "file": file,
        "job": str(job),
    }


async def send(client: Client, call: Call, ids: dict[str, str], **options: Any) -> httpx2.Response:
    return await client.request(call.method, call.path.format(**ids), json=call.json, **options)


async def lists(client: Client) -> dict[str, Any]:
    """What a tenant sees of its resources, but for the times at which turns and patches moved them."""
    seen = {path: (await client.get(path)).json()["items"] for path in ("/agents", "/users", "/projects", "/sessions")}
    tools = [tool for agent in seen["/agents"] for tool in (await client.get(f"/agents/{agent['id']}/tools")).json()["items"]]
    tasks = [task for agent in seen["/agents"] for task in (await client.get(f"/agents/{agent['id']}/tasks")).json()["items"]]
    return {**seen, "tools": tools, "tasks": tasks, **{path: (await client.get(path)).json() for path in ("/secrets", "/files")}}


def token(claims: dict[str, Any], *, secret: str = JWT_SECRET, algorithm: str = "HS512") -> str:
    return jwt.encode({"exp": int(time.time()) + 60, **claims}, secret, algorithm=algorithm)


@pytest.fixture
async def ids(raw: Client, rows: Any, account: Account) -> dict[str, str]:
    """One of each resource of this test's tenant."""
    return await belongings(raw, rows, account)


async def test_owner_can_use_every_route(raw: Client, ids: dict[str, str], models: ModelServerHandle) -> None:
    for call in (*NAMELESS, *UPSERTS, *NAMING):
        answer = await send(raw, call, ids)
        assert answer.status_code == call.status, (call, answer.text)


async def test_other_tenant_gets_the_same_404_as_for_what_does_not_exist(
    server: ServerProcess, raw: Client, ids: dict[str, str], new_account: NewAccount, models: ModelServerHandle
) -> None:
    before = await lists(raw)
    nothing = {name: str(uuid4()) for name in ids}
    async with raw_client(server.url, (await new_account()).key) as other:
        for call in NAMING:
            answer, control = await send(other, call, ids), await send(other, call, nothing)
            assert (answer.status_code, control.status_code) == (404, 404), (call, answer.text)
            said_of_theirs, said_of_nothing = answer.json()["error"], control.json()["error"]
            assert {**said_of_theirs, "request_id": ""} == {**said_of_nothing, "request_id": ""}
    assert await lists(raw) == before
    assert (await raw.get(f"/sessions/{ids['session']}/history")).json()["entries"] == []


async def test_other_tenant_sees_empty_lists(server: ServerProcess, ids: dict[str, str], new_account: NewAccount) -> None:
    async with raw_client(server.url, (await new_account()).key) as other:
        seen = await lists(other)
    assert [project["canonical_name"] for project in seen.pop("/projects")] == ["default"]
    assert seen == {"/agents": [], "/users": [], "/sessions": [], "tools": [], "tasks": [], "/secrets": [], "/files": []}


@pytest.mark.parametrize(
    "value", [None, "Bearer mk_wrong", "mk_wrong", "Bearer", "Basic dXNlcjpwYXNz", "Bearer eyJ.eyJ.x", "Bearer " + "k" * 5000]
)
async def test_missing_or_wrong_key_is_forbidden_on_every_route_and_changes_nothing(
    server: ServerProcess, raw: Client, ids: dict[str, str], value: str | None
) -> None:
    before = await lists(raw)
    headers = {} if value is None else {"Authorization": value}
    async with raw_client(server.url, None) as stranger:
        for call in (*CALLS, *(Call("POST", path, 403, {}) for path in LATER)):
            answer = await send(stranger, call, ids, headers=headers)
            assert (answer.status_code, answer.json()) == (403, FORBIDDEN), call
    assert await lists(raw) == before


async def test_public_routes_need_no_key(server: ServerProcess) -> None:
    async with raw_client(server.url, None) as stranger:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/api/healthz", "/api/openapi.json"):
            assert (await stranger.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    "form", ["Authorization: Bearer {}", "Authorization: bearer {}", "Authorization: {}", "X-Auth-Key: {}", "X-Auth-Key: Bearer {}"]
)
async def test_key_is_taken_in_every_documented_header(server: ServerProcess, account: Account, form: str) -> None:
    name, value = form.format(account.key).split(": ", 1)
    async with raw_client(server.url, None) as client:
        assert (await client.get("/agents", headers={name: value})).status_code == 200
        assert (await client.get("/agents", headers={name: value[:-1]})).status_code == 403


async def test_key_of_the_settings_belongs_to_the_default_tenant(server: ServerProcess, account: Account) -> None:
    async with raw_client(server.url, KEY) as client, raw_client(server.url, account.key) as other:
        made = (await client.post("/users", json={})).json()["id"]
        assert (await other.get(f"/users/{made}")).status_code == 404
        assert (await client.delete(f"/users/{made}")).status_code == 202


async def test_several_keys_of_one_tenant_see_the_same(server: ServerProcess, raw: Client, account: Account, rows: Any) -> None:
    second = keys.new_key()
    await api_keys.create(rows, account.id, name="second", digest=keys.digest(second), hint=keys.hint(second))
    made = (await raw.post("/users", json={})).json()["id"]
    async with raw_client(server.url, second) as client:
        assert (await client.get(f"/users/{made}")).status_code == 200


async def test_key_that_was_revoked_before_its_first_use_is_forbidden(server: ServerProcess, account: Account, rows: Any) -> None:
    await rows.execute("UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1", account.id)
    async with raw_client(server.url, account.key) as client:
        assert (await client.get("/agents")).status_code == 403


async def test_jwt_names_its_tenant(server: ServerProcess, raw: Client, account: Account) -> None:
    made = (await raw.post("/users", json={})).json()["id"]
    async with raw_client(server.url, token({"sub": str(account.id), "iat": int(time.time())})) as client:
        assert (await client.get(f"/users/{made}")).status_code == 200


@pytest.mark.parametrize(
    ("claims", "options"),
    [
        ({"exp": 1}, {}),
        ({"exp": None}, {}),
        ({"sub": None}, {}),
        ({"sub": "no-uuid"}, {}),
        ({"sub": str(UUID(int=1))}, {}),
        ({"nbf": 2**33}, {}),
        ({}, {"algorithm": "HS256"}),
        ({}, {"algorithm": "HS384"}),
        ({}, {"algorithm": "none", "secret": ""}),
        ({}, {"secret": JWT_SECRET[::-1]}),
    ],
)
async def test_jwt_that_is_expired_unsigned_or_of_nobody_is_forbidden(
    server: ServerProcess, account: Account, claims: dict[str, Any], options: dict[str, Any]
) -> None:
    given = {name: value for name, value in {"exp": int(time.time()) + 60, "sub": str(account.id), **claims}.items() if value is not None}
    secret, algorithm = options.get("secret", JWT_SECRET), options.get("algorithm", "HS512")
    async with raw_client(server.url, jwt.encode(given, secret, algorithm=algorithm)) as client:
        answer = await client.get("/agents")
    assert (answer.status_code, answer.json()) == (403, FORBIDDEN)


async def test_jwt_means_nothing_to_a_server_without_its_secret(odd_server: ServerProcess, account: Account) -> None:
    async with raw_client(odd_server.url, token({"sub": str(account.id)})) as client:
        assert (await client.get("/agents")).status_code == 403


async def test_agents_and_users_of_another_tenant_cannot_join_a_session(
    server: ServerProcess, raw: Client, ids: dict[str, str], new_account: NewAccount, rows: Any
) -> None:
    other_account = await new_account()
    async with raw_client(server.url, other_account.key) as other:
        own = await belongings(other, rows, other_account)
        for people in ({"agent": ids["agent"]}, {"agents": [own["agent"], ids["agent"]]}, {"agent": own["agent"], "user": ids["user"]}):
            for method, path in (("POST", "/sessions"), ("POST", f"/sessions/{uuid4()}"), ("PUT", f"/sessions/{own['session']}")):
                answer = await other.request(method, path, json=people)
                assert answer.status_code == 400, (method, path, people)
                assert "participant ID is invalid" in answer.json()["error"]["message"]
        (session,) = (await other.get("/sessions")).json()["items"]
    assert (session["agents"], session["users"]) == ([own["agent"]], [own["user"]])


async def test_project_of_another_tenant_cannot_be_used(server: ServerProcess, ids: dict[str, str], new_account: NewAccount) -> None:
    async with raw_client(server.url, (await new_account()).key) as other:
        assert (await other.post("/agents", json={"name": "x", "project": "p"})).status_code == 404
        assert (await other.get("/users", params={"project": "p"})).status_code == 404


async def test_upsert_with_another_tenants_id_makes_an_own_object_and_reveals_nothing(
    server: ServerProcess, raw: Client, ids: dict[str, str], new_account: NewAccount
) -> None:
    before = await lists(raw)
    async with raw_client(server.url, (await new_account()).key) as other:
        agent = (await other.post(f"/agents/{ids['agent']}", json={"name": "Eve"})).json()
        user = (await other.post(f"/users/{ids['user']}", json={"name": "Eve"})).json()
        project = (await other.post(f"/projects/{ids['project']}", json={"name": "Eve"})).json()
        session = (await other.post(f"/sessions/{ids['session']}", json={"agent": agent["id"], "user": user["id"]})).json()
        assert [each["id"] for each in (agent, user, project, session)] == [ids[name] for name in ("agent", "user", "project", "session")]
        assert (agent["name"], agent["model"], agent["canonical_name"] == "mia", user["name"]) == ("Eve", "", False, "Eve")
        # What they delete is their own.
        for path in ("sessions", "users", "agents", "projects"):
            assert (await other.delete(f"/{path}/{ids[path[:-1]]}")).status_code == 202
    assert await lists(raw) == before
