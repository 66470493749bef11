"""Secrets with the SDK: every method of section 8.1, what PUT keeps, what is refused, and that no answer ever shows a value."""

import base64
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from julep import APIError, AsyncJulep, BadRequestError, ConflictError, Julep, NotFoundError, UnprocessableEntityError

from tests.support.model_server import ModelServerHandle, error
from tests.support.sdk import PROVIDER_KEY, Account, NewAccount, ask, raw_client, said, session_of
from tests.support.server import ServerProcess
from tests.support.talk import Client, until

VALUE = "hunter2-is-the-value"
OWN_KEY = "sk-of-the-tenant-0123456789"


async def test_secret_methods_work_and_answer_with_the_documented_status_codes(sdk: AsyncJulep) -> None:
    raw = sdk.secrets.with_raw_response
    created = await raw.create(name="token", value=VALUE, description="for tests", metadata={"a": 1})
    secret = await created.parse()
    assert created.status_code == 201
    assert (secret.name, secret.value, secret.description, secret.metadata) == ("token", "ENCRYPTED", "for tests", {"a": 1})
    assert secret.created_at == secret.updated_at
    listed = await raw.list()
    assert (listed.status_code, await listed.parse()) == (200, [secret])
    updated = await raw.update(secret.id, name="token", value="another-value")
    assert updated.status_code == 200
    assert (await updated.parse()).updated_at > secret.updated_at
    deleted = await raw.delete(secret.id)
    assert deleted.status_code == 202
    gone = await deleted.parse()
    assert (gone.id, gone.jobs) == (secret.id, [])
    with pytest.raises(NotFoundError):
        await sdk.secrets.delete(secret.id)
    assert await sdk.secrets.list() == []


def test_blocking_client_goes_through_every_method_of_secrets(blocking: Julep) -> None:
    secret = blocking.secrets.create(name="token", value=VALUE)
    assert (secret.description, secret.metadata) == (None, {})
    assert blocking.secrets.update(secret.id, name="renamed", value=VALUE).name == "renamed"
    assert [each.name for each in blocking.secrets.list()] == ["renamed"]
    assert blocking.secrets.delete(secret.id).id == secret.id


async def test_secret_can_be_read_by_id_without_its_value(sdk: AsyncJulep, raw: Client) -> None:
    secret = await sdk.secrets.create(name="token", value=VALUE)
    answer = await raw.get(f"/secrets/{secret.id}")
    assert answer.status_code == 200
    assert answer.json() == secret.model_dump(mode="json") | {name: answer.json()[name] for name in ("created_at", "updated_at")}
    assert VALUE not in answer.text
    assert (await raw.get(f"/secrets/{uuid4()}")).status_code == 404


async def test_secrets_are_listed_as_a_bare_array_newest_first(sdk: AsyncJulep, raw: Client) -> None:
    made = [(await sdk.secrets.create(name=f"s{number}", value=VALUE)).id for number in range(5)]
    assert [secret["id"] for secret in (await raw.get("/secrets")).json()] == made[::-1]
    assert [secret.id for secret in await sdk.secrets.list(limit=2, offset=1)] == made[::-1][1:3]
    assert (await raw.get("/secrets", params={"limit": 0})).status_code == 422


async def test_update_keeps_description_and_metadata_where_they_are_null_or_left_out(sdk: AsyncJulep, raw: Client) -> None:
    secret = await sdk.secrets.create(name="token", value=VALUE, description="d", metadata={"a": 1})
    kept = await sdk.secrets.update(secret.id, name="token", value=VALUE)
    assert (kept.description, kept.metadata) == ("d", {"a": 1})
    body = {"name": "token", "value": VALUE, "description": None, "metadata": None}
    nulls = (await raw.put(f"/secrets/{secret.id}", json=body)).json()
    assert (nulls["description"], nulls["metadata"]) == ("d", {"a": 1})
    replaced = await sdk.secrets.update(secret.id, name="token", value=VALUE, description="", metadata={})
    assert (replaced.description, replaced.metadata) == ("", {})


async def test_patch_changes_single_fields_beyond_the_sdk(sdk: AsyncJulep, raw: Client) -> None:
    secret = await sdk.secrets.create(name="token", value=VALUE, description="d", metadata={"a": 1})
    patched = await raw.patch(f"/secrets/{secret.id}", json={"metadata": {"b": 2}})
    assert (patched.status_code, patched.json()["metadata"], patched.json()["description"]) == (200, {"a": 1, "b": 2}, "d")
    patched = await raw.patch(f"/secrets/{secret.id}", json={"description": None, "name": "renamed"})
    assert (patched.json()["description"], patched.json()["name"]) == (None, "renamed")


async def test_name_that_is_taken_is_a_conflict_that_is_not_sent_again(sdk: AsyncJulep) -> None:
    await sdk.secrets.create(name="token", value=VALUE)
    other = await sdk.secrets.create(name="other", value=VALUE)
    with pytest.raises(ConflictError) as caught:
        await sdk.secrets.create(name="token", value=VALUE)
    assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(ConflictError):
        await sdk.secrets.update(other.id, name="token", value=VALUE)


@pytest.mark.parametrize("name", ["with space", "1st", "", "a-b", "ä", "a" * 256])
async def test_name_that_is_no_identifier_is_a_400(sdk: AsyncJulep, name: str) -> None:
    with pytest.raises(BadRequestError, match="name"):
        await sdk.secrets.create(name=name, value=VALUE)


@pytest.mark.parametrize("value", ["", "x" * 16_385, "ENCRYPTED", None, 5])
async def test_value_that_can_be_none_is_a_422_that_does_not_repeat_it(raw: Client, value: Any) -> None:
    for method, path in (("POST", "/secrets"), ("PUT", f"/secrets/{uuid4()}")):
        answer = await raw.request(method, path, json={"name": "token", "value": value})
        assert answer.status_code == 422
        assert answer.json()["error"]["details"][0]["loc"] == "value"
        assert "xxx" not in answer.text


@pytest.mark.parametrize("value", ["", "x" * 16_385])
async def test_value_of_a_wrong_length_is_refused_in_characters(raw: Client, value: str) -> None:
    answer = await raw.post("/secrets", json={"name": "token", "value": value})
    assert answer.json()["error"]["summary"] == "value: A value has 1 to 16384 characters"


async def test_value_of_any_text_and_the_largest_size_is_stored(sdk: AsyncJulep, server: ServerProcess, account: Account) -> None:
    for name, value in {"large": "y" * 16_384, "lines": "-----BEGIN KEY-----\nab\n", "unicode": "pässwörd 🔑"}.items():
        assert (await sdk.secrets.create(name=name, value=value)).value == "ENCRYPTED"


async def test_upsert_path_does_not_exist_for_secrets(sdk: AsyncJulep, raw: Client) -> None:
    answer = await raw.post(f"/secrets/{uuid4()}", json={"name": "token", "value": VALUE})
    assert answer.status_code == 405


# --- keys of providers


def keys_sent(models: ModelServerHandle) -> list[str | None]:
    return [request.headers.get("authorization") for request in models.requests if request.path.endswith("/chat/completions")]


async def test_chat_uses_the_tenants_own_key_before_the_operators(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session)
    secret = await sdk.secrets.create(name="OPENAI_API_KEY", value=OWN_KEY)
    await ask(sdk, session)
    stream = await sdk.sessions.with_raw_response.chat(session, messages=[said("hi")], stream=True)
    assert stream.status_code == 201
    await ask(sdk, session, x_custom_api_key="sk-of-the-request")
    assert keys_sent(models) == [f"Bearer {key}" for key in (PROVIDER_KEY, OWN_KEY, OWN_KEY, "sk-of-the-request")]
    # That the tenant has no secrets any more is seen at once.
    await sdk.secrets.delete(secret.id)
    await ask(sdk, session)
    assert keys_sent(models)[-1] == f"Bearer {PROVIDER_KEY}"


async def test_changed_key_is_used_within_seconds(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    secret = await sdk.secrets.create(name="OPENAI_API_KEY", value=OWN_KEY)
    await ask(sdk, session)
    await sdk.secrets.update(secret.id, name="OPENAI_API_KEY", value=OWN_KEY + "-new")

    async def renewed() -> bool:
        await ask(sdk, session)
        return keys_sent(models)[-1] == f"Bearer {OWN_KEY}-new"

    await until(renewed, limit_s=10)


async def test_own_key_is_used_for_its_own_provider_and_by_its_own_tenant_alone(
    sdk: AsyncJulep, stranger: AsyncJulep, models: ModelServerHandle
) -> None:
    await sdk.secrets.create(name="OTHER_API_KEY", value=OWN_KEY)
    await sdk.secrets.create(name="UNRELATED", value="value-of-something-else")
    await ask(sdk, await session_of(sdk))
    await ask(sdk, await session_of(sdk, model="oth-1"))
    await ask(stranger, await session_of(stranger, model="oth-1"))
    sent = keys_sent(models)
    assert sent[0] == f"Bearer {PROVIDER_KEY}"
    assert sent[1] == f"Bearer {OWN_KEY}"
    assert sent[2] not in (sent[0], sent[1])


async def test_models_are_listed_with_the_tenants_own_keys_and_for_it_alone(
    sdk: AsyncJulep, stranger: AsyncJulep, models: ModelServerHandle
) -> None:
    await sdk.secrets.create(name="OTHER_API_KEY", value=OWN_KEY)
    for client in (sdk, sdk, stranger):
        assert {"mentha/echo", "other/oth-1", "other/gpt-x"} <= {model.id for model in (await client.agents.list_models()).models}
    # Asked once for the one tenant; nobody else's list is made with its key.
    asked_for = [request.path for request in models.requests if request.headers.get("authorization") == f"Bearer {OWN_KEY}"]
    assert asked_for == ["/other/v1/models"]


async def test_own_key_that_the_provider_refuses_is_told_by_name_and_not_shown(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await sdk.secrets.create(name="OPENAI_API_KEY", value=OWN_KEY)
    session = await session_of(sdk)
    models.script("gpt-x", error(401, f"Incorrect API key provided: {OWN_KEY}", code="invalid_api_key"))
    with pytest.raises(BadRequestError) as caught:
        await ask(sdk, session)
    assert "secret" in str(caught.value.body)
    assert OWN_KEY not in str(caught.value.body)


async def test_own_key_that_no_header_could_hold_is_refused_by_the_name_of_its_secret(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await sdk.secrets.create(name="OPENAI_API_KEY", value=f"{OWN_KEY}\nX-Evil: 1")
    with pytest.raises(BadRequestError, match="OPENAI_API_KEY") as caught:
        await ask(sdk, await session_of(sdk))
    assert OWN_KEY not in str(caught.value.body)
    assert keys_sent(models) == []


# --- nothing shows


async def test_planted_secrets_are_nowhere_but_where_they_are_needed(
    server: ServerProcess, sdk: AsyncJulep, raw: Client, rows: Any, models: ModelServerHandle, new_account: NewAccount
) -> None:
    """Every answer, every row of every table, every line of the log."""
    first, second, key = "planted-value-one-4711", 'planted/value+two"4712', "sk-planted-4713"
    planted = (first, second, key)
    answers: list[str] = []

    async def send(method: str, path: str, client: Client = raw, **more: Any) -> Any:
        answer = await client.request(method, path, **more)
        answers.append(answer.text + str(answer.headers))
        return answer

    secret = (await send("POST", "/secrets", json={"name": "one", "value": first})).json()["id"]
    await send("POST", "/secrets", json={"name": "one", "value": second})
    await send("POST", "/secrets", json={"name": "no name", "value": second})
    await send("POST", "/secrets", json={"name": ["x"], "value": second})
    await send("POST", "/secrets", json={"name": "x", "value": [second]})
    await send("POST", "/secrets", json={"name": "x", "metadata": second, "value": second})
    await send("POST", "/secrets", content=f'{{"name": "x", "value": "{first}"')
    await send("PUT", f"/secrets/{secret}", json={"name": "one", "value": second})
    await send("PUT", f"/secrets/{uuid4()}", json={"name": "one", "value": second})
    await send("PATCH", f"/secrets/{secret}", json={"value": first})
    await send("POST", "/secrets", json={"name": "OPENAI_API_KEY", "value": key})
    await send("GET", "/secrets")
    await send("GET", f"/secrets/{secret}")
    session = await session_of(sdk)
    for reply in (error(401, f"bad key {key}"), error(500, f"what is {key}?"), error(429, key), error(400, f"Bearer {key}")):
        models.script("gpt-x", reply)
        with pytest.raises(APIError) as caught:
            await ask(sdk, session)
        answers.append(str(caught.value.body))
    await send("POST", f"/sessions/{session}/chat", json={"messages": [said("hi")]})
    await send("POST", f"/sessions/{session}/chat", json={"messages": [said("hi")], "stream": True})
    await send("POST", f"/sessions/{session}/render", json={"messages": [said("hi")]})
    await send("GET", f"/sessions/{session}/history")
    await send("GET", "/metrics")
    async with raw_client(server.url, (await new_account()).key) as other:
        await send("GET", f"/secrets/{secret}", other)
        await send("GET", "/secrets", other)
    await send("DELETE", f"/secrets/{secret}")
    assert f"Bearer {key}" in keys_sent(models)
    tables = await rows.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    stored = [row["x"] for table in tables for row in await rows.fetch(f"SELECT x::text FROM {table['tablename']} x")]
    told = "\n".join([*answers, *stored, *server.log])
    assert len(answers) > 20
    for value in planted:
        for form in (value, value.encode().hex(), base64.b64encode(value.encode()).decode(), value.replace('"', '\\"')):
            assert form not in told, form


async def test_secret_whose_row_was_changed_fails_the_turn_and_never_falls_back(
    sdk: AsyncJulep, rows: asyncpg.Connection, models: ModelServerHandle
) -> None:
    secret = await sdk.secrets.create(name="OPENAI_API_KEY", value=OWN_KEY)
    await rows.execute("UPDATE secrets SET value = value || '\\x00' WHERE id = $1", secret.id)
    session = await session_of(sdk)
    with pytest.raises(APIError) as caught:
        await ask(sdk, session)
    body: Any = caught.value.body
    assert body["error"]["reason"] == "secrets_unavailable"
    assert keys_sent(models) == []


async def test_secret_without_name_or_value_is_a_422(raw: Client) -> None:
    for body in ({"name": "x"}, {"value": "y"}, {}):
        assert (await raw.post("/secrets", json=body)).status_code == 422


async def test_sdk_raises_its_own_errors_for_what_is_refused(sdk: AsyncJulep) -> None:
    with pytest.raises(UnprocessableEntityError):
        await sdk.secrets.create(name="token", value="")
