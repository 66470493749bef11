"""Recall in chat: which documents reach the model and the answer. Section 4.7 of the behaviour spec."""

import json
from typing import Any

import pytest
from julep import AsyncJulep

from tests.support.docs import Owner, indexed, new_owner
from tests.support.model_server import ModelServerHandle
from tests.support.sdk import ask, asked, said, session_of
from tests.support.talk import Client

AGAIN = {"x-stainless-retry-count": "1"}
PUMP = "The pump must be cleaned once a year with vinegar."
TEA = "Green tea is brewed with water of eighty degrees, for two minutes."
CHESS = "In chess, a pawn that reaches the last rank becomes a queen."
LISTED = "{% for doc in docs %}[{{ doc.title }}|{{ doc.content | join('/') }}|{{ doc.metadata.k }}]{% endfor %}"


@pytest.fixture
async def agent(sdk: AsyncJulep) -> Owner:
    """An agent that knows of three things."""
    made = await new_owner(sdk)
    docs = [await made.add(title, text) for title, text in (("Pump", PUMP), ("Tea", TEA), ("Chess", CHESS))]
    await indexed(sdk, *docs)
    return made


async def session_with(sdk: AsyncJulep, agent: Owner, **session: Any) -> str:
    return (await sdk.sessions.create(agent=agent.id, **session)).id


async def recalled(sdk: AsyncJulep, agent: Owner, text: str, **options: Any) -> list[str]:
    """The titles that one turn in a new session with these recall options recalls."""
    session = await session_with(sdk, agent, **({"recall_options": options} if options else {}))
    return titles(await ask(sdk, session, text))


def titles(answer: Any) -> list[str]:
    return [doc.title for doc in answer.docs]


def system_of(models: ModelServerHandle) -> str:
    """The system message that reached the model last."""
    return next((message["content"] for message in asked(models)[-1]["messages"] if message["role"] == "system"), "")


async def test_docs_of_agent_and_all_users_reach_the_model_and_the_answer(sdk: AsyncJulep, models: ModelServerHandle, agent: Owner) -> None:
    users = [await new_owner(sdk, "users") for _ in range(2)]
    docs = [
        await users[0].add("Ann", "Ann cleans her pump every summer."),
        await users[1].add("Ben", "Ben has a pump that is never cleaned."),
    ]
    stranger = await (await new_owner(sdk, "users")).add("Eve", "Eve cleans a pump, too.")
    await indexed(sdk, stranger, *docs)
    session = await session_with(sdk, agent, users=[user.id for user in users])
    answer = await ask(sdk, session, "How often is the pump cleaned?")
    assert sorted(titles(answer)) == ["Ann", "Ben", "Pump"]
    assert {(doc.owner.role, doc.owner.id) for doc in answer.docs} == {("agent", agent.id), *(("user", user.id) for user in users)}
    hit = next(doc for doc in answer.docs if doc.title == "Pump")
    assert (hit.snippet.index, hit.snippet.content, len(hit.snippet.embedding)) == (0, PUMP, 512)
    assert answer.warnings == []
    system = system_of(models)
    assert "Relevant documents:" in system
    assert all(text in system for text in (PUMP, "Ann cleans her pump every summer.", "Ben has a pump that is never cleaned."))
    assert TEA not in system


async def test_recall_can_be_left_out_of_a_turn(sdk: AsyncJulep, models: ModelServerHandle, agent: Owner) -> None:
    session = await session_with(sdk, agent)
    assert titles(await ask(sdk, session, "clean the pump", recall=False)) == []
    assert PUMP not in system_of(models)
    assert titles(await ask(sdk, session, "clean the pump", recall=True)) == ["Pump"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("How do I care for the pump?", ["Pump"]),
        ("What is the right temperature for brewing?", ["Tea"]),
        ("When does a pawn become a queen?", ["Chess"]),
        ("vinegar", ["Pump"]),
        ("Who won the elections in Norway?", []),
        ("Good morning, how are you in this last week of the year?", []),
    ],
)
async def test_session_without_options_recalls_what_helps_and_nothing_else(
    sdk: AsyncJulep, agent: Owner, models: ModelServerHandle, text: str, found: list[str]
) -> None:
    assert await recalled(sdk, agent, text) == found


async def test_recall_options_of_each_mode_act(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    meaning, words = "At which temperature do I make a hot drink?", "pawn"
    assert await recalled(sdk, agent, meaning, mode="vector") == ["Tea"]
    assert await recalled(sdk, agent, meaning, mode="vector", confidence=0.99) == []
    assert len(await recalled(sdk, agent, meaning, mode="vector", confidence=-1)) == 3
    assert await recalled(sdk, agent, meaning, mode="vector", confidence=-1, limit=1) == ["Tea"]
    assert await recalled(sdk, agent, words, mode="text") == ["Chess"]
    assert await recalled(sdk, agent, "vniegar", mode="text") == ["Pump"]
    assert await recalled(sdk, agent, "vniegar", mode="text", trigram_similarity_threshold=1) == []
    assert await recalled(sdk, agent, "hot drink", mode="text") == []
    assert (await recalled(sdk, agent, f"{meaning} {words}", mode="hybrid", mmr_strength=0, limit=2)) in (
        ["Tea", "Chess"],
        ["Chess", "Tea"],
    )
    assert await recalled(sdk, agent, f"{meaning} {words}", mode="hybrid", alpha=0) == ["Chess"]
    assert await recalled(sdk, agent, f"hot drink {words}", mode="hybrid", alpha=1, confidence=-1, limit=1, k_multiplier=0) != []


async def test_recall_filters_by_metadata_and_embeddings_can_be_left_out(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    agent = await new_owner(sdk)
    docs = [await agent.add(f"Pump {kind}", PUMP, metadata={"kind": kind}) for kind in ("old", "new")]
    await indexed(sdk, *docs)
    for mode in ("text", "vector", "hybrid"):
        options = {"mode": mode, "metadata_filter": {"kind": "old"}, "include_embeddings": False}
        answer = await ask(sdk, await session_with(sdk, agent, recall_options=options), "clean the pump")
        assert titles(answer) == ["Pump old"]
        assert (answer.docs[0].snippet.embedding, answer.docs[0].metadata) == (None, {"kind": "old"})


async def test_query_is_made_of_the_last_messages(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    short = await session_with(sdk, agent, recall_options={"mode": "vector", "num_search_messages": 1})
    longer = await session_with(sdk, agent, recall_options={"mode": "vector", "num_search_messages": 3})
    for session, found in ((short, []), (longer, ["Pump"])):
        await ask(sdk, session, "I have a pump that must be cleaned.")
        assert titles(await ask(sdk, session, "And how often?")) == found
    several = [said("I have a pump that must be cleaned."), said("Yes", "assistant"), said("And how often?")]
    assert titles(await sdk.sessions.chat(await session_with(sdk, agent), messages=several)) == ["Pump"]


async def test_only_what_users_and_assistants_said_is_searched_for(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    session = await session_with(sdk, agent, recall_options={"mode": "text"})
    chat = sdk.sessions.chat
    assert titles(await chat(session, messages=[said("clean the pump", "system")])) == []
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": "about the pawn"}]}]
    assert titles(await chat(session, messages=parts)) == ["Chess"]
    # The text as the user wrote it is searched, whatever a template makes of it.
    assert sorted(titles(await chat(session, messages=[said("{{ 'pump' if false }} tea")]))) == ["Pump", "Tea"]


async def test_long_query_is_cut_to_its_beginning_for_words_and_its_end_for_meaning(
    sdk: AsyncJulep, agent: Owner, models: ModelServerHandle
) -> None:
    filler = "zzz " * 40
    assert await recalled(sdk, agent, f"{filler} pawn", mode="text", max_query_length=100) == []
    assert await recalled(sdk, agent, f"{filler} pawn", mode="text", max_query_length=200) == ["Chess"]
    text = f"{TEA} {'And the pump must be cleaned with vinegar, every year, so when is the pump cleaned again? ' * 2}"
    assert await recalled(sdk, agent, text, mode="vector", max_query_length=100, limit=1) == ["Pump"]


async def test_only_the_agent_that_answers_brings_its_docs(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    other = await new_owner(sdk)
    await indexed(sdk, await other.add("Other pump", "The pump of the other agent is never cleaned."))
    session = (await sdk.sessions.create(agents=[agent.id, other.id])).id
    assert titles(await ask(sdk, session, "clean the pump")) == ["Pump"]
    assert titles(await ask(sdk, session, "clean the pump", agent=other.id)) == ["Other pump"]


async def test_docs_stand_in_the_first_chunk_of_a_stream_only(
    sdk: AsyncJulep, raw: Client, agent: Owner, models: ModelServerHandle
) -> None:
    session = await session_with(sdk, agent)
    chunks = [chunk async for chunk in await ask(sdk, session, "clean the pump", stream=True)]
    assert titles(chunks[0]) == ["Pump"]
    body = {"messages": [said("clean the pump")], "stream": True}
    events = events_of((await raw.post(f"/sessions/{session}/chat", json=body)).content)
    assert ["docs" in event for event in events] == [True] + [False] * (len(events) - 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_repeated_turn_is_answered_with_the_docs_of_the_first(
    sdk: AsyncJulep, raw: Client, agent: Owner, models: ModelServerHandle, stream: bool
) -> None:
    session = await session_with(sdk, agent)
    body = {"messages": [said("clean the pump")], "stream": stream}
    first = await raw.post(f"/sessions/{session}/chat", json=body)
    await agent.docs.bulk_delete(agent.id, delete_all=True)
    again = await raw.post(f"/sessions/{session}/chat", json=body, headers=AGAIN)
    docs = [(events_of(answer.content)[0] if stream else answer.json())["docs"] for answer in (first, again)]
    assert docs[0] == docs[1]
    assert [doc["title"] for doc in docs[0]] == ["Pump"]
    assert len(asked(models)) == 1


async def test_render_shows_the_docs_and_the_message_with_them(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    session = await session_with(sdk, agent)
    shown = await sdk.sessions.render(session, messages=[said("clean the pump")])
    assert titles(shown) == ["Pump"]
    assert PUMP in str(shown.messages[0])
    assert asked(models) == []


async def test_template_of_the_session_sees_title_content_and_metadata(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    agent = await new_owner(sdk)
    await agent.add("Pump", [PUMP, "A pump makes noise.", "It is blue."], metadata={"k": "v"})
    await agent.add("Tea", TEA)
    session = await session_with(sdk, agent, system_template=LISTED, recall_options={"mode": "text"})
    await ask(sdk, session, "noise of the pump cleaned with vinegar")
    # One doc, whose pieces stand in the order of its text, whichever of them fits best.
    assert system_of(models) == f"[Pump|{PUMP}/A pump makes noise./It is blue.|v]"


async def test_template_without_docs_still_gets_them_in_the_answer(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    session = await session_with(sdk, agent, system_template="Be brief. {{ docs | length }}")
    assert titles(await ask(sdk, session, "clean the pump")) == ["Pump"]
    assert system_of(models) == "Be brief. 1"


async def test_doc_that_looks_like_a_template_is_not_run(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    agent = await new_owner(sdk)
    await agent.add("{{ 7 * 7 }}", "The pump {{ agent.name }} {% raw %} is 7.")
    session = await session_with(sdk, agent, recall_options={"mode": "text"})
    await ask(sdk, session, "pump")
    assert "{{ 7 * 7 }}" in system_of(models)
    assert "The pump {{ agent.name }} {% raw %} is 7." in system_of(models)


async def test_turn_recalls_what_was_stored_changed_and_deleted_just_before(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    agent = await new_owner(sdk)
    session = await session_with(sdk, agent, recall_options={"mode": "text"})
    assert titles(await ask(sdk, session, "pump")) == []
    doc = await agent.add("Pump", PUMP)
    assert titles(await ask(sdk, session, "pump")) == ["Pump"]
    await raw.patch(f"/docs/{doc.id}", json={"title": "Valve", "content": "A valve drips."})
    assert titles(await ask(sdk, session, "pump")) == []
    assert titles(await ask(sdk, session, "valve")) == ["Valve"]
    await agent.delete(doc.id)
    assert titles(await ask(sdk, session, "valve")) == []


async def test_docs_are_not_stored_as_messages(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    session = await session_with(sdk, agent)
    await ask(sdk, session, "clean the pump")
    await ask(sdk, session, "thanks", recall=False)
    assert PUMP not in str(asked(models)[-1])
    assert [entry.role for entry in (await sdk.sessions.history(session)).entries] == ["user", "assistant"] * 2


async def test_session_without_docs_recalls_nothing(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    answer = await ask(sdk, await session_of(sdk), "clean the pump")
    assert (answer.docs, answer.warnings) == ([], [])


def events_of(stream: bytes) -> list[Any]:
    return [json.loads(line.removeprefix(b"data: ")) for line in stream.splitlines() if line.startswith(b"data: ")]
