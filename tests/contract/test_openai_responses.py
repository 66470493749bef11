"""The official `openai` SDK against /responses: created, streamed, followed, kept, cancelled; and what is refused."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import openai
import pytest
from julep import AsyncJulep
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.support.model_server import ModelServerHandle, drop, error, gated, text, tool_calls
from tests.support.openai_sdk import blocking_client_of, client_of
from tests.support.sdk import Account, NewAccount, asked, history_of
from tests.support.server import ServerProcess
from tests.support.talk import DEADLINE_S, Client, until

WEATHER: Any = {"type": "function", "name": "get-weather", "description": "Weather", "parameters": {"type": "object"}, "strict": True}


@pytest.fixture
def blocking_ai(server: ServerProcess, account: Account) -> Iterator[OpenAI]:
    """The official client that blocks."""
    with blocking_client_of(server.url, account.key) as client:
        yield client


def roles(body: Any) -> list[tuple[str, Any]]:
    return [(message["role"], message.get("content")) for message in body["messages"]]


async def test_response_to_text_is_what_the_model_said_without_any_system_message(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    made = await ai.responses.create(model="gpt-x", input="hi", metadata={"a": "b"}, temperature=0.5, max_output_tokens=9)
    assert (made.output_text, made.status, made.metadata, made.model) == ("ok: hi", "completed", {"a": "b"}, "gpt-x")
    assert made.usage
    assert (made.usage.input_tokens, made.usage.output_tokens, made.usage.total_tokens) == (7, 3, 10)
    (body,) = asked(models)
    assert (roles(body), body["temperature"]) == ([("user", "hi")], 0.5)
    assert await ai.responses.retrieve(made.id) == made
    listed = await ai.responses.input_items.list(made.id)
    assert [(item.type, item.content[0].text) for item in listed.data] == [("message", "hi")]  # type: ignore[union-attr]  # a message
    await ai.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await ai.responses.retrieve(made.id)


def test_response_by_the_blocking_client_follows_the_previous_one_with_its_own_instructions(
    blocking_ai: OpenAI, models: ModelServerHandle
) -> None:
    first = blocking_ai.responses.create(model="gpt-x", input="one", instructions="Be {{ brief }}.")
    second = blocking_ai.responses.create(model="gpt-x", input="two", previous_response_id=first.id)
    with blocking_ai.responses.stream(model="gpt-x", input="three", previous_response_id=second.id) as stream:
        third = stream.get_final_response()
    assert third.output_text == "ok: three"
    bodies = [roles(body) for body in asked(models)]
    assert bodies[0] == [("system", "Be {{ brief }}."), ("user", "one")]
    assert bodies[2] == [("user", "one"), ("assistant", "ok: one"), ("user", "two"), ("assistant", "ok: two"), ("user", "three")]


async def test_response_that_is_followed_twice_goes_two_ways(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    first = await ai.responses.create(model="gpt-x", input="one")
    both = await asyncio.gather(*(ai.responses.create(model="gpt-x", input=said, previous_response_id=first.id) for said in ("a", "b")))
    for made, said in zip(both, ("a", "b"), strict=True):
        await ai.responses.create(model="gpt-x", input=f"{said} again", previous_response_id=made.id)
    last = [[content for _, content in roles(body)] for body in asked(models)[-2:]]
    assert last == [["one", "ok: one", said, f"ok: {said}", f"{said} again"] for said in ("a", "b")]


async def test_stream_of_a_response_has_its_events_in_order_and_ends_with_the_whole(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    models.script("gpt-x", text("a b c d", chunks=4))
    events = [event async for event in await ai.responses.create(model="gpt-x", input="hi", stream=True)]
    kinds = [kind for kind, _ in itertools.groupby(event.type.removeprefix("response.") for event in events)]
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "a b c d"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response == await ai.responses.retrieve(last.response.id)


@pytest.mark.parametrize("streamed", [False, True])
async def test_function_call_of_a_response_is_the_clients_and_its_output_goes_to_the_model(
    ai: AsyncOpenAI, models: ModelServerHandle, streamed: bool
) -> None:
    models.script("gpt-x", tool_calls([("get-weather", {"in": "Rome"}), ("get-weather", {"in": "Oslo"})], content="Let me see."))
    options: Any = {"model": "gpt-x", "tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    if streamed:
        async with ai.responses.stream(input="Weather?", **options) as stream:
            made: Any = await stream.get_final_response()
    else:
        made = await ai.responses.create(input="Weather?", **options)
    assert [item.type for item in made.output] == ["message", "function_call", "function_call"]
    outputs: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": call.arguments} for call in made.output[1:]]
    done = await ai.responses.create(model="gpt-x", input=outputs, previous_response_id=made.id, tools=[WEATHER])
    assert done.output_text == "ok: Weather?"
    first, second = asked(models)
    assert (first["tool_choice"], first["parallel_tool_calls"]) == ("required", False)
    assert first["tools"][0]["function"]["name"] == "get-weather"
    assert first["tools"][0]["function"]["strict"] is True
    said = second["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in said[1]["tool_calls"]] == [said[2]["tool_call_id"], said[3]["tool_call_id"]]
    # The whole of it can be sent again, as clients without a stored state do.
    replayed: Any = [{"role": "user", "content": "Weather?"}, *(item.model_dump(exclude_none=True) for item in made.output), *outputs]
    await ai.responses.create(model="gpt-x", input=replayed, store=False, tools=[WEATHER])
    assert asked(models)[-1]["messages"] == said


async def test_items_of_any_kind_and_a_schema_reach_the_model_in_its_form(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    schema: Any = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
    parts: Any = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": "https://x.test/a.png"}]
    given: Any = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    made = await ai.responses.create(model="gpt-x", input=given, text={"format": schema, "verbosity": "low"}, reasoning={"effort": "low"})
    (body,) = asked(models)
    assert roles(body)[0] == ("system", "Be brief.")
    assert [part["type"] for part in roles(body)[1][1]] == ["text", "image_url"]
    assert body["response_format"]["json_schema"] == {"name": "city", "schema": {"type": "object"}, "strict": True}
    assert (body["reasoning_effort"], body["verbosity"]) == ("low", "low")
    listed = await ai.responses.input_items.list(made.id, order="asc", limit=1)
    assert (listed.has_more, listed.data[0].role) == (True, "system")  # type: ignore[union-attr]  # a message
    assert [item.role async for item in ai.responses.input_items.list(made.id, limit=1)] == ["user", "system"]  # type: ignore[union-attr]


async def test_agent_named_by_the_model_answers_in_its_own_words_and_runs_its_tools(
    ai: AsyncOpenAI, sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    agent = await sdk.agents.create(name="Mia", canonical_name="mia", model="gpt-x", default_system_template="I am {{agent.name}}.")
    tool: Any = {"provider": "dummy"}
    await sdk.agents.tools.create(agent.id, name="look", type="integration", integration=tool)
    models.script("gpt-x", *[tool_calls([("look", {})], content="I look."), text("Seen.")] * 2)
    async with ai.responses.stream(model="agent:mia", input="hi", instructions="Be {{ brief }}.") as stream:
        made = await stream.get_final_response()
    conversation = (await ai.conversations.create()).id
    whole = await ai.responses.create(model="agent:mia", input="hi", conversation=conversation)
    assert {item.id for item in whole.output} <= {item.id async for item in ai.conversations.items.list(conversation)}
    assert [item.content[0].text for item in made.output] == ["I look.", "Seen."]  # type: ignore[union-attr]  # messages
    assert roles(asked(models)[0])[0] == ("system", "I am Mia.\n\nBe {{ brief }}.")
    by_metadata = await ai.responses.create(model="gpt-y", input="hi", metadata={"agent": agent.id})
    assert (by_metadata.model, roles(asked(models)[-1])[0]) == ("gpt-y", ("system", "I am Mia."))
    session = made.model_extra["mentha"]["session_id"]  # type: ignore[index]  # it is there
    assert [said for _, said in await history_of(sdk, session)] == ["hi", "Seen."]


async def test_response_in_a_conversation_is_among_its_items(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    conversation = await ai.conversations.create(items=[{"role": "user", "content": "I am Ann."}], metadata={"topic": "x"})
    made = await ai.responses.create(model="gpt-x", input="hi", conversation=conversation.id)
    await ai.responses.create(model="gpt-x", input="unstored", conversation={"id": conversation.id}, store=False)
    assert made.conversation
    assert made.conversation.id == conversation.id
    assert [content for _, content in roles(asked(models)[-1])] == ["I am Ann.", "hi", "ok: hi", "unstored"]
    found = [item async for item in ai.conversations.items.list(conversation.id, order="asc", limit=2)]
    assert [item.content[0].text for item in found] == ["I am Ann.", "hi", "ok: hi", "unstored", "ok: unstored"]  # type: ignore[union-attr]
    assert found[2].id == made.output[0].id
    assert (await ai.conversations.items.retrieve(found[1].id or "", conversation_id=conversation.id)).type == "message"


async def test_response_in_the_background_can_be_asked_for_and_cancelled(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    models.script("gpt-x", gated(text("done")), gated(text("never")))
    kept = await ai.responses.create(model="gpt-x", input="one", background=True)
    await models.until_held()
    assert (began := await ai.responses.retrieve(kept.id)).status == kept.status == "in_progress"
    assert (began.model_extra or {})["mentha"] == (kept.model_extra or {})["mentha"] != {}
    models.release()
    async with asyncio.timeout(DEADLINE_S):
        while (now := await ai.responses.retrieve(kept.id)).status == "in_progress":
            await asyncio.sleep(0.02)
    assert (now.status, now.output_text) == ("completed", "done")
    gone = await ai.responses.create(model="gpt-x", input="two", background=True, previous_response_id=kept.id)
    await models.until_held()
    assert (await ai.responses.cancel(gone.id)).status == "cancelled"
    await models.until_disconnected()
    again = await ai.responses.create(model="gpt-x", input="three", previous_response_id=kept.id)
    assert [content for _, content in roles(asked(models)[-1])] == ["one", "done", "three"]
    with pytest.raises(openai.BadRequestError, match="only a background"):
        await ai.responses.cancel(again.id)


async def test_response_that_fails_leaves_nothing_unless_its_stream_began(
    ai: AsyncOpenAI, sdk: AsyncJulep, models: ModelServerHandle, rows: Any, account: Account
) -> None:
    models.script("gpt-x", error(429, "slow down", headers={"retry-after": "7"}), drop(after_chunks=2))
    with pytest.raises(openai.RateLimitError):
        await ai.responses.create(model="gpt-x", input="hi")
    assert await rows.fetchval("SELECT count(*) FROM sessions WHERE tenant_id = $1", account.id) == 0
    events = [event async for event in await ai.responses.create(model="gpt-x", input="hi", stream=True)]
    assert events[-1].type == "response.failed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kept = await ai.responses.retrieve(events[-1].response.id)
    assert (kept.status, kept.error and kept.error.code) == ("failed", "server_error")
    with pytest.raises(openai.BadRequestError, match="not complete"):
        await ai.responses.create(model="gpt-x", input="hi", previous_response_id=kept.id)
    states = await rows.fetch("SELECT kind, ok FROM usage WHERE tenant_id = $1", account.id)
    assert [tuple(row) for row in states] == [("response", False)] * 2


async def test_response_that_is_not_stored_leaves_no_words_behind(ai: AsyncOpenAI, rows: Any, account: Account) -> None:
    first = await ai.responses.create(model="gpt-x", input="kept")
    made = await ai.responses.create(model="gpt-x", input="unstored", store=False)
    followed = await ai.responses.create(model="gpt-x", input="unstored too", store=False, previous_response_id=first.id)
    for response in (made, followed):
        with pytest.raises(openai.NotFoundError):
            await ai.responses.retrieve(response.id)
    entries = "SELECT count(*) FROM entries WHERE tenant_id = $1 AND message::text LIKE '%unstored%'"
    assert await rows.fetchval(entries, account.id) == 0
    assert await rows.fetchval("SELECT count(*) FROM sessions WHERE tenant_id = $1", account.id) == 2
    # Somebody talks in the session of those that are not stored.
    session = (made.model_extra or {})["mentha"]["session_id"]
    await ai.conversations.items.create(session, items=[{"role": "user", "content": "a secret"}])
    again = await ai.responses.create(model="mentha/echo", input="hi", store=False)
    assert "no earlier message" in again.output_text


async def test_response_that_is_sent_again_is_answered_without_the_model(
    ai: AsyncOpenAI, models: ModelServerHandle, rows: Any, account: Account
) -> None:
    keyed: Any = {"model": "gpt-x", "input": "hi", "extra_headers": {"Idempotency-Key": "k"}}
    assert await ai.responses.create(**keyed) == await ai.responses.create(**keyed)
    events = [event async for event in await ai.responses.create(model="gpt-x", input="s", stream=True)]
    retry = {"x-stainless-retry-count": "1"}
    again = [event async for event in await ai.responses.create(model="gpt-x", input="s", stream=True, extra_headers=retry)]
    assert [event.type for event in again] == [event.type for event in events]
    assert again[-1] == events[-1]
    assert len(asked(models)) == await rows.fetchval("SELECT count(*) FROM responses WHERE tenant_id = $1", account.id) == 2
    last = again[-1].response.id  # type: ignore[union-attr]  # the event that completes it
    unstored: Any = {"model": "gpt-x", "input": "u", "store": False, "previous_response_id": last}
    made = await ai.responses.create(**unstored)
    assert await ai.responses.create(**unstored, extra_headers=retry) == made
    assert len(asked(models)) == 3


async def test_response_whose_client_hangs_up_goes_on_unless_the_server_says_otherwise(
    server: ServerProcess, odd_server: ServerProcess, account: Account, models: ModelServerHandle, rows: Any
) -> None:
    for where, model in ((server, "gpt-x"), (odd_server, "fake/gpt-x")):
        models.script("gpt-x", gated(text("late")))
        async with client_of(where.url, account.key) as client:
            asking = asyncio.create_task(client.responses.create(model=model, input="hi"))
            await models.until_held()
            asking.cancel()
            if where is server:
                models.release()
        if where is odd_server:
            await models.until_disconnected()

    async def is_done() -> bool:
        return (await rows.fetchval("SELECT array_agg(status) FROM responses WHERE tenant_id = $1", account.id)) == ["completed"]

    await until(is_done)


class City(BaseModel):
    name: str


async def test_response_of_a_class_is_parsed_and_one_that_is_cut_off_says_why(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    whole = '{"name": "Rome"}'
    models.script("gpt-x", text(whole), text(whole, chunks=3), text("cut", finish_reason="length"))
    assert (await ai.responses.parse(model="gpt-x", input="Where?", text_format=City)).output_parsed == City(name="Rome")
    async with ai.responses.stream(model="gpt-x", input="Where?", text_format=City) as stream:
        assert (await stream.get_final_response()).output_parsed == City(name="Rome")
    assert asked(models)[0]["response_format"]["json_schema"]["name"] == "City"
    *_, last = [event async for event in await ai.responses.create(model="gpt-x", input="Where?", stream=True)]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_agent_that_is_made_for_responses_is_made_again_once_it_was_deleted(ai: AsyncOpenAI, sdk: AsyncJulep) -> None:
    first = await ai.responses.create(model="mentha/echo", input="My name is Ann.")
    await ai.responses.create(model="mentha/echo", input="hi", store=False)
    (agent,) = [each async for each in sdk.agents.list()]
    for options in ({"previous_response_id": first.id}, {"store": False}, {}):
        await sdk.agents.delete(agent.id)
        made = await ai.responses.create(model="mentha/echo", input="hi", **options)  # type: ignore[call-overload]  # any options
        assert ("Ann" in made.output_text) == ("previous_response_id" in options)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"include": ["file_search_call.results"]}, "file_search_call"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "item_reference"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input_file"),
        ({"background": True, "stream": True}, "background"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "together"),
        ({"model": "agent:nobody"}, "agent"),
        ({"input": []}, "empty"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"tool_choice": {"type": "file_search"}}, "file_search"),
        ({"input": [{"type": ["message"]}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": {}}]}]}, "input[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_request_for_what_is_not_supported_is_refused_by_name(
    raw: Client, models: ModelServerHandle, fields: dict[str, Any], named: str
) -> None:
    answer = await raw.post("/responses", json={"model": "gpt-x", "input": "hi", **fields})
    assert (answer.status_code, asked(models)) == (400, [])
    assert named in answer.json()["error"]["message"]


async def test_too_many_parts_in_all_are_refused_before_each_is_looked_at(raw: Client) -> None:
    many = [{"role": "user", "content": [{"type": "nonsense"}] * 1_000}] * 11
    for path, field in (("/responses", "input"), (f"/sessions/{uuid4()}/chat", "messages")):
        answer = await raw.post(path, json={"model": "gpt-x", field: many})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", field])


async def test_image_that_names_no_file_is_a_422_that_names_it(raw: Client) -> None:
    content = [{"type": "input_image", "image_url": "mentha://files/x"}]
    answer = await raw.post("/responses", json={"model": "gpt-x", "input": [{"role": "user", "content": content}]})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "input", 0, "content", 0, "image_url"])


async def test_response_of_another_tenant_is_not_found_by_any_way(
    ai: AsyncOpenAI, server: ServerProcess, new_account: NewAccount, models: ModelServerHandle
) -> None:
    made = await ai.responses.create(model="gpt-x", input="hi")
    conversation = await ai.conversations.create()
    async with client_of(server.url, (await new_account()).key) as other:
        for call in (
            other.responses.retrieve(made.id),
            other.responses.delete(made.id),
            other.responses.cancel(made.id),
            other.responses.input_items.list(made.id),
            other.responses.create(model="gpt-x", input="x", previous_response_id=made.id),
            other.responses.create(model="gpt-x", input="x", conversation=conversation.id),
            other.conversations.retrieve(conversation.id),
            other.conversations.delete(conversation.id),
            other.conversations.items.create(conversation.id, items=[{"role": "user", "content": "x"}]),
        ):
            with pytest.raises(openai.NotFoundError):
                await call
    assert len(asked(models)) == 1
