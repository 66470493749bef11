"""Errors on the wire, and the checklist of section 8.3: sections 2.2, 2.3 and 8.4 of the behaviour spec, rulings 4 and 11."""

import json
from typing import Any
from uuid import uuid4

import pytest
from julep import AsyncJulep, ConflictError, NotFoundError

from mentha.core.json import JSON_CONTAINERS_MAX
from tests.support.model_server import ModelServerHandle
from tests.support.sdk import FORBIDDEN, ask, async_sdk, raw_client, said, session_of
from tests.support.server import ServerProcess
from tests.support.talk import Client

NOT_FOUND = (
    "/agents/{id}",
    "/users/{id}",
    "/projects/{id}",
    "/sessions/{id}",
    "/sessions/{id}/history",
    "/agents/{id}/tools",
    "/jobs/{id}",
)


@pytest.mark.parametrize("path", NOT_FOUND)
async def test_what_is_not_there_is_a_404_in_the_documented_shape(raw: Client, path: str) -> None:
    answer = await raw.get(path.format(id=uuid4()))
    fault = answer.json()["error"]
    assert (answer.status_code, fault["code"], fault["type"], fault["reason"]) == (404, "http_404", "http_error", "not_found")
    assert "not found" in fault["message"].lower() or fault["message"].startswith("No ")
    assert fault["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", NOT_FOUND)
async def test_id_that_is_no_uuid_is_unprocessable(raw: Client, path: str) -> None:
    answer = await raw.get(path.format(id="no-uuid"))
    assert (answer.status_code, answer.json()["detail"][0]["loc"][0]) == (422, "path")


async def test_unprocessable_body_names_its_faults_in_both_shapes_and_echoes_no_value(raw: Client, sdk: AsyncJulep) -> None:
    answer = await raw.post("/agents", json={"about": ["s3cret-value"], "metadata": "s3cret-value"})
    body = answer.json()
    assert answer.status_code == 422
    assert answer.headers["x-should-retry"] == "false"
    assert {tuple(fault["loc"]) for fault in body["detail"]} == {("body", "name"), ("body", "about"), ("body", "metadata")}
    assert all(set(fault) == {"loc", "msg", "type"} for fault in body["detail"])
    assert (body["error"]["message"], body["error"]["code"]) == ("Validation error", "validation_error")
    missing = next(fault for fault in body["error"]["details"] if fault["loc"] == "name")
    assert (missing["type"], missing["msg"]) == ("missing", "Field required")
    assert missing["fix"]
    assert "s3cret-value" not in answer.text


async def test_unprocessable_nested_field_has_a_dotted_path(raw: Client, sdk: AsyncJulep) -> None:
    session = await session_of(sdk)
    answer = await raw.post(f"/sessions/{session}/chat", json={"messages": [said("x"), {"role": "user", "content": [{"type": "text"}]}]})
    (fault,) = answer.json()["error"]["details"]
    assert fault["loc"] == "messages[1].content[0].text"
    assert answer.json()["detail"][0]["loc"] == ["body", "messages", 1, "content", 0, "text"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"name": "x"} trailing', b'{"name": NaN}'])
async def test_body_that_is_no_json_object_is_unprocessable(raw: Client, body: bytes) -> None:
    answer = await raw.post("/agents", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]


async def test_body_without_a_content_type_is_read_as_json(raw: Client) -> None:
    assert (await raw.post("/agents", content=b'{"name": "Mia"}')).status_code == 201


async def test_body_with_a_byte_order_mark_is_read(raw: Client) -> None:
    answer = await raw.post("/agents", content='{"name": "Mïa"}'.encode("utf-8-sig"), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["name"]) == (201, "Mïa")


async def test_body_nested_too_deep_is_unprocessable(odd_raw: Client) -> None:
    deep: Any = {}
    for _ in range(40):
        deep = {"a": deep}
    answer = await odd_raw.post("/users", json={"metadata": deep})
    assert answer.status_code == 422
    assert "nested deeper" in answer.text
    # It is valid JSON: what to do is another thing than for what is none.
    assert "nest it less" in answer.text


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_over_the_limit_is_refused_with_413(odd_raw: Client, chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(20):
            yield b" " * 10_000

    answer = await odd_raw.post("/users", content=pieces() if chunked else b" " * 200_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "http_413")
    assert answer.headers["x-should-retry"] == "false"


async def test_body_of_some_megabytes_is_taken(sdk: AsyncJulep) -> None:
    user = await sdk.users.create(about="x" * 5_000_000)
    assert len(user.about) == 5_000_000


async def test_body_that_need_not_be_large_has_a_limit_of_its_own(raw: Client) -> None:
    text = "x" * 6_000_000
    refused = await raw.post("/users", json={"about": text})
    assert (refused.status_code, "small_body_bytes_max" in refused.json()["error"]["fix"]) == (413, True)
    taken = await raw.post(f"/tasks/{uuid4()}/executions", json={"input": {"text": text}})
    assert taken.status_code == 404


async def test_body_of_very_many_lists_is_422_and_says_why(raw: Client) -> None:
    refused = await raw.post("/users", json={"metadata": {"many": [[]] * (JSON_CONTAINERS_MAX + 1)}})
    assert (refused.status_code, "objects and lists" in refused.json()["error"]["summary"]) == (422, True)


async def test_unknown_path_and_method_are_told_as_the_original_does(raw: Client) -> None:
    unknown = await raw.get("/no/such/path")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "Not Found")
    method = await raw.request("PATCH", "/agents")
    assert (method.status_code, method.json()["detail"]) == (405, "Method Not Allowed")


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_api_is_served_at_the_root_and_under_api(
    server: ServerProcess, sdk: AsyncJulep, models: ModelServerHandle, prefix: str
) -> None:
    async with async_sdk(server.url + prefix, sdk.api_key) as client:
        session = await session_of(client)
        assert (await ask(client, session)).choices[0].message.content == "ok: hi"
        assert [each.id async for each in client.sessions.list()] == [session]
        assert (await client.agents.list_models()).models
        with pytest.raises(NotFoundError):
            await client.agents.get(str(uuid4()))


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_slash_at_the_end_of_a_path_changes_nothing(raw: Client, prefix: str) -> None:
    agent = (await raw.post(f"{prefix}/agents/", json={"name": "Mia"})).json()
    assert (await raw.get(f"{prefix}/agents/", params={"limit": 1})).json()["items"] == [agent]
    assert (await raw.get(f"{prefix}/agents/{agent['id']}/")).json() == agent
    assert (await raw.get(f"{prefix}/agents//")).status_code == 404


async def test_list_models_is_not_taken_for_an_agent(raw: Client) -> None:
    assert (await raw.get("/agents/models")).json()["models"]


async def test_delete_may_have_a_body(raw: Client) -> None:
    user = (await raw.post("/users", json={})).json()["id"]
    assert (await raw.request("DELETE", f"/users/{user}", content=json.dumps({"x": 1}))).status_code == 202


async def test_conflict_is_sent_once_by_a_client_that_retries(server: ServerProcess, sdk: AsyncJulep) -> None:
    await sdk.agents.create(name="Mia", canonical_name="mia")
    async with async_sdk(server.url, sdk.api_key, max_retries=5) as client:
        with pytest.raises(ConflictError) as caught:
            await client.agents.create(name="Mia", canonical_name="mia")
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


async def test_request_id_of_the_client_comes_back(raw: Client) -> None:
    assert (await raw.get("/users", headers={"x-request-id": "my-request-0001"})).headers["x-request-id"] == "my-request-0001"
    hostile = (await raw.get("/users", headers={"x-request-id": "<script>"})).headers["x-request-id"]
    assert "<" not in hostile


async def test_browser_of_any_origin_may_ask(server: ServerProcess) -> None:
    async with raw_client(server.url, None) as client:
        headers = {
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-stainless-os",
        }
        preflight = await client.options("/sessions", headers=headers)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        assert preflight.headers["access-control-max-age"] == "3600"
        refused = await client.get("/agents", headers={"origin": "https://app.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (403, "https://app.example")
        assert refused.json() == FORBIDDEN
