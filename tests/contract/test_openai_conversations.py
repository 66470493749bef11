"""The official `openai` SDK against /conversations: sessions under another name."""

from typing import Any

import openai
import pytest
from julep import AsyncJulep
from openai import AsyncOpenAI

from tests.support.model_server import ModelServerHandle
from tests.support.sdk import asked, history_of
from tests.support.talk import Client


async def test_conversation_is_changed_deleted_and_gone(ai: AsyncOpenAI) -> None:
    made = await ai.conversations.create(metadata={"a": "1"})
    assert made == await ai.conversations.retrieve(made.id)
    assert (await ai.conversations.update(made.id, metadata={"b": "2"})).metadata == {"b": "2"}
    response = await ai.responses.create(model="mentha/echo", input="hi", conversation=made.id)
    assert (await ai.conversations.delete(made.id)).deleted
    for gone in (ai.conversations.retrieve(made.id), ai.conversations.items.list(made.id), ai.responses.retrieve(response.id)):
        with pytest.raises(openai.NotFoundError):
            await gone


async def test_items_of_a_conversation_page_without_gaps_in_both_orders(ai: AsyncOpenAI) -> None:
    calls: Any = [{"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"} for n in range(3)]
    outputs: Any = [{"type": "function_call_output", "call_id": f"c{n}", "output": str(n)} for n in range(3)]
    given: Any = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so:"}, *calls, *outputs]
    made = await ai.conversations.create()
    put = await ai.conversations.items.create(made.id, items=given)
    ids = [item.id for item in put.data]
    assert [item.type for item in put.data] == ["message"] * 2 + ["function_call"] * 3 + ["function_call_output"] * 3
    for limit in (1, 2, 3, 7):
        assert [item.id async for item in ai.conversations.items.list(made.id, order="asc", limit=limit)] == ids
        assert [item.id async for item in ai.conversations.items.list(made.id, limit=limit)] == ids[::-1]
    assert (await ai.conversations.items.retrieve(ids[3] or "", conversation_id=made.id)).id == ids[3]


async def test_item_of_a_call_that_is_deleted_takes_all_that_belongs_to_it(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    given: Any = [
        {"role": "user", "content": "one"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "0"},
        {"role": "user", "content": "two"},
    ]
    made = await ai.conversations.create(items=given)
    listed = [item async for item in ai.conversations.items.list(made.id, order="asc")]
    await ai.conversations.items.delete(listed[2].id or "", conversation_id=made.id)
    await ai.conversations.items.delete(listed[3].id or "", conversation_id=made.id)
    with pytest.raises(openai.NotFoundError):
        await ai.conversations.items.delete(listed[1].id or "", conversation_id=made.id)
    await ai.responses.create(model="gpt-x", input="three", conversation=made.id)
    assert [message["content"] for message in asked(models)[0]["messages"]] == ["one", "three"]


async def test_session_of_an_agent_goes_on_as_a_conversation(
    ai: AsyncOpenAI, sdk: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    agent = await sdk.agents.create(name="Mia", model="gpt-x", default_system_template="I am {{agent.name}}.")
    session = await sdk.sessions.create(agent=agent.id)
    await sdk.sessions.chat(session.id, messages=[{"role": "user", "content": "one"}])
    made = await ai.responses.create(model=f"agent:{agent.id}", input="{{ two }}", conversation=session.id)
    assert [message["content"] for message in asked(models)[-1]["messages"]] == ["I am Mia.", "one", "ok: one", "{{ two }}"]
    assert [said for _, said in await history_of(sdk, session.id)] == ["one", "ok: one", "{{ two }}", "ok: {{ two }}"]
    await raw.delete(f"/sessions/{session.id}/history")
    with pytest.raises(openai.NotFoundError):
        await ai.responses.retrieve(made.id)


async def test_file_in_a_message_of_a_session_is_an_item_like_all_others(ai: AsyncOpenAI, sdk: AsyncJulep, raw: Client) -> None:
    agent = await sdk.agents.create(name="Mia", model="gpt-x")
    session, file = await sdk.sessions.create(agent=agent.id), await sdk.files.create(name="a.txt", content="eA==")
    parts = [{"type": "text", "text": "look"}, {"type": "file", "file": {"file_id": file.id}}]
    (await raw.post(f"/sessions/{session.id}/chat", json={"messages": [{"role": "user", "content": parts}]})).raise_for_status()
    listed = [item async for item in ai.conversations.items.list(session.id, order="asc")]
    content: Any = listed[0].content  # type: ignore[union-attr]  # a message
    assert [part.type for part in content] == ["input_text", "input_file"]
    assert (content[1].file_id, content[1].filename) == (file.id, "a.txt")


async def test_fault_of_an_item_is_told_by_its_place(ai: AsyncOpenAI) -> None:
    image: Any = {"role": "system", "content": [{"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}]}
    with pytest.raises(openai.BadRequestError, match=r"items\[0\]"):
        await ai.conversations.create(items=[image])
