"""What files are for: parts of messages, which models get as text and images, and sources of documents. Histories keep references alone."""

import base64
from typing import Any
from uuid import uuid4

import julep
import pytest
from julep import AsyncJulep

from tests.support import pdfs
from tests.support.model_server import ModelServerHandle
from tests.support.sdk import asked, said, session_of
from tests.support.talk import Client

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 10


async def stored(sdk: AsyncJulep, raw: bytes, name: str = "notes.txt", **more: Any) -> str:
    return (await sdk.files.create(name=name, content=base64.b64encode(raw).decode(), **more)).id


def part_of(file_id: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": file_id}}


def image_of(file_id: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"mentha://files/{file_id}", "detail": "low"}}


async def chat(raw: Client, session: str, *parts: Any, **more: Any) -> Any:
    return await raw.post(f"/sessions/{session}/chat", json={"messages": [said([{"type": "text", "text": "look"}, *parts])], **more})


def sent(models: ModelServerHandle) -> list[Any]:
    """The parts of all user messages in the last request to the model."""
    messages = [message["content"] for message in asked(models)[-1]["messages"] if message["role"] == "user"]
    return [part for content in messages for part in (content if isinstance(content, list) else [content])]


async def test_files_go_to_the_model_as_text_and_images_and_stay_references_in_the_history(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    text, image = await stored(sdk, "gr\u00fcn".encode(), "a b.txt"), await stored(sdk, PNG, "p.png")
    document = await stored(sdk, pdfs.pdf(["Page one", "Page two"]), "d.pdf", mime_type="application/pdf")
    session = await session_of(sdk)
    answer = await chat(raw, session, part_of(text), image_of(image), part_of(document), part_of(image))
    assert answer.status_code == 201, answer.text
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    expected = [
        {"type": "text", "text": "look"},
        {"type": "text", "text": "[File: a b.txt]\ngr\u00fcn"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "text", "text": "[File: d.pdf]\nPage one\n\nPage two"},
        {"type": "image_url", "image_url": {"url": url, "detail": "auto"}},
    ]
    assert sent(models) == expected
    entry = (await raw.get(f"/sessions/{session}/history")).json()["entries"][0]
    assert [part["type"] for part in entry["content"]] == ["text", "file", "image_url", "file", "file"]
    assert entry["content"][1]["file"] == {"file_id": text, "name": "a b.txt", "tokens": entry["content"][1]["file"]["tokens"]}
    assert base64.b64encode(PNG).decode() not in str(entry)
    # Streamed, with the first turn in the history: the same again.
    async with raw.stream("POST", f"/sessions/{session}/chat", json={"messages": [said("more")], "stream": True}) as stream:
        assert stream.status_code == 201
        await stream.aread()
    assert sent(models) == [*expected, "more"]
    await sdk.files.delete(text)
    await chat(raw, session)
    assert sent(models)[1] == {"type": "text", "text": f"[The file {text} is not there]"}
    assert sent(models)[2:5] == expected[2:]


async def test_image_can_be_named_by_file_id_alone_and_render_shows_references(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    image, session = await stored(sdk, PNG), await session_of(sdk)
    messages = [said([{"type": "image_url", "image_url": {"file_id": image}}])]
    shown = (await raw.post(f"/sessions/{session}/render", json={"messages": messages})).json()["messages"][-1]
    assert shown["content"] == [{"type": "image_url", "image_url": {"url": f"mentha://files/{image}", "detail": "auto"}}]
    await raw.post(f"/sessions/{session}/chat", json={"messages": messages})
    assert sent(models)[0]["image_url"]["url"].startswith("data:image/png;base64,")


async def test_file_that_cannot_be_used_is_a_400_before_the_model_is_asked(
    sdk: AsyncJulep, stranger: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    session = await session_of(sdk)
    theirs, text, binary = await stored(stranger, b"x"), await stored(sdk, b"x"), await stored(sdk, bytes(range(256)), "b.bin")
    broken, huge = await stored(sdk, b"%PDF-1.7 nothing", "b.pdf"), await stored(sdk, PNG + b"x" * 10_000_000, "h.png")
    cases = {
        "is not there": [part_of(theirs), part_of(str(uuid4())), image_of(theirs)],
        "is no image": [image_of(text)],
        "is neither text": [part_of(binary)],
        "is broken": [part_of(broken)],
        "has more than 10,000,000 bytes": [part_of(huge)],
    }
    for reason, parts in cases.items():
        for part in parts:
            error = (await chat(raw, session, part)).json()["error"]
            assert (error["reason"], reason in error["message"]) == ("file_invalid", True), error
    for part in (part_of("x"), image_of("x"), {"type": "file", "file": {}}):
        assert (await chat(raw, session, part)).status_code == 422
    assert asked(models) == []
    assert (await raw.get(f"/sessions/{session}/history")).json()["entries"] == []


async def test_long_text_is_cut_which_the_model_is_told_and_counts_in_the_history(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    file, session = await stored(sdk, b"word " * 50_000), await session_of(sdk)
    await chat(raw, session, part_of(file))
    text = sent(models)[1]["text"]
    assert text.endswith("\n[The file is longer: these are its first 200000 characters.]")
    entry = (await raw.get(f"/sessions/{session}/history")).json()["entries"][0]
    assert 30_000 < entry["token_count"] < 60_000


async def test_pdf_is_read_once_for_as_long_as_it_has_the_same_bytes(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, rows: Any
) -> None:
    file, session = await stored(sdk, pdfs.pdf(["first"]), "d.pdf"), await session_of(sdk)
    await chat(raw, session, part_of(file))
    # What was kept is what is used.
    await rows.execute("UPDATE file_texts SET text = 'kept' WHERE file_id = $1", file)
    await chat(raw, session)
    assert sent(models)[1]["text"] == "[File: d.pdf]\nkept"
    (await raw.put(f"/files/{file}/content", content=pdfs.pdf(["second"]))).raise_for_status()
    await chat(raw, session)
    assert sent(models)[1]["text"] == "[File: d.pdf]\nsecond"


@pytest.mark.parametrize("kind", ["agents", "users"])
async def test_document_is_made_of_a_file_and_found(sdk: AsyncJulep, raw: Client, kind: str) -> None:
    owner = (await sdk.agents.create(name="Mia")).id if kind == "agents" else (await sdk.users.create()).id
    text = "\n\n".join(f"Paragraph {at} is about zebras." for at in range(3_000))
    plain, paper = await stored(sdk, text.encode(), "zebras.txt"), await stored(sdk, pdfs.pdf(["Descaling the kettle"]), "kettle.pdf")
    made = (await raw.post(f"/{kind}/{owner}/docs", json={"file_id": plain, "metadata": {"x": 1}})).json()
    assert (made["title"], made["metadata"], "".join(made["content"])) == ("zebras.txt", {"x": 1}, text)
    assert len(made["content"]) > 1
    assert max(map(len, made["content"])) <= 30_000
    titled = await raw.post(f"/{kind}/{owner}/docs", json={"file_id": paper, "title": "Kettle"})
    assert (titled.status_code, titled.json()["title"], titled.json()["content"]) == (201, "Kettle", ["Descaling the kettle"])
    found = (await raw.post(f"/{kind}/{owner}/search", json={"text": "kettle"})).json()["docs"]
    assert [hit["title"] for hit in found] == ["Kettle"]
    again = await raw.post(f"/{kind}/{owner}/docs", json={"file_id": paper, "title": "Kettle"})
    assert again.status_code == 409


async def test_document_of_a_file_without_text_or_of_another_tenant_is_refused(sdk: AsyncJulep, stranger: AsyncJulep, raw: Client) -> None:
    agent = (await sdk.agents.create(name="Mia")).id
    for file, status in (
        (await stored(sdk, PNG), 400),
        (await stored(sdk, pdfs.pdf([""])), 400),
        (await stored(stranger, b"x"), 404),
        (str(uuid4()), 404),
    ):
        assert (await raw.post(f"/agents/{agent}/docs", json={"file_id": file})).status_code == status
    assert (await sdk.agents.docs.list(agent)).items == []
    with pytest.raises(julep.UnprocessableEntityError):
        await sdk.agents.docs.create(agent, title="T", content=[])
    assert (await raw.post(f"/agents/{agent}/docs", json={"content": "x"})).json()["detail"][0]["loc"] == ["body", "title"]


async def test_prompt_step_sends_files_and_keeps_references_in_its_log(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    text = await stored(sdk, b"of the file", "a.txt")
    agent = await sdk.agents.create(name="reader", model="gpt-x")
    content = [{"type": "text", "text": "look"}, {"type": "file", "file": {"file_id": "$ _.file"}}]
    main = [{"prompt": [{"role": "user", "content": content}], "auto_run_tools": True}]
    task = await raw.post(f"/agents/{agent.id}/tasks", json={"name": "read", "main": main})
    assert task.status_code == 201, task.text
    execution = await sdk.executions.create(task.json()["id"], input={"file": text})
    events = [event async for event in await sdk.executions.status.stream(execution.id)]
    assert events[-1].status == "succeeded", events[-1].error
    assert sent(models) == [{"type": "text", "text": "look"}, {"type": "text", "text": "[File: a.txt]\nof the file"}]
    assert "of the file" not in str(events[-1].output["messages"][0])
    missing = await sdk.executions.create(task.json()["id"], input={"file": str(uuid4())})
    events = [event async for event in await sdk.executions.status.stream(missing.id)]
    assert (events[-1].status, "is not there" in str(events[-1].error)) == ("failed", True), events[-1].error
