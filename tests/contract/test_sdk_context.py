"""A context that fits: truncated, summarised in the background, or left to the provider; and what answers tell of it."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from julep import AsyncJulep, BadRequestError

from mentha.chat import summarise
from mentha.core import config, tokens
from mentha.core.ids import new_id
from mentha.core.json import dumps
from mentha.store import pool, queue
from mentha.store.turns import NewEntry, NewTurn, save_next
from tests.support.databases import Cluster
from tests.support.model_server import ModelServerHandle, error, gated, prompt_tokens, running_model_server, text, tool_calls
from tests.support.sdk import Account, ask, asked, said, session_of
from tests.support.server import ServerProcess, running
from tests.support.talk import Client, until

# It counts 1.3 tokens for each of ours.
MODEL = "gpt-x1.3"
SUMMARISER = "facts-1"
WORDS = "The report of the second quarter is ready: revenue grew by four percent, costs by two, and the team hired nine people."
WEATHER = {
    "name": "weather",
    "type": "function",
    "function": {"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
BUDGET = 1_500
IDLE = "SELECT count(*) = 0 FROM sessions WHERE fold_job_id IS NOT NULL"


@pytest.fixture(scope="module")
def own_models() -> Iterator[ModelServerHandle]:
    """A model server of these tests: its own workers must not answer others' summaries."""
    with running_model_server() as handle:
        yield handle


@pytest.fixture
def models(own_models: ModelServerHandle) -> Iterator[ModelServerHandle]:
    """That model server, without scripts and requests of other tests."""
    own_models.reset()
    yield own_models
    own_models.reset()


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    """A database of these tests: the workers of other servers on it could not reach the model."""
    with cluster.cloned() as dsn:
        yield dsn


@pytest.fixture(scope="module")
def server(database: str, own_models: ModelServerHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that summarises with a model of its own and knows one window."""
    with running(
        home=tmp_path_factory.mktemp("context"),
        dsn=database,
        environ={"OPENAI_BASE_URL": own_models.base_url, "OPENAI_API_KEY": "k"},
        summary_model=SUMMARISER,
        model_windows=json.dumps({"windowed-x1.3": 2_000}),
    ) as process:
        yield process


@pytest.fixture
async def rows(database: str) -> AsyncIterator[Any]:
    """A connection to that database."""
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


async def talk(sdk: AsyncJulep, session: str, turns: int, *, stream: bool = False, begin: int = 0) -> list[Any]:
    """Some turns; gives the parts of each answer that are about its context."""
    told: list[Any] = []
    for number in range(begin, begin + turns):
        content = f"{number}: {WORDS}"
        if stream:
            chunks = [chunk async for chunk in await ask(sdk, session, content, stream=True)]
            told.append(chunks[-1])
        else:
            told.append(await ask(sdk, session, content))
    return told


def chats(models: ModelServerHandle) -> list[Any]:
    """The requests of turns."""
    return [body for body in asked(models) if body["model"] != SUMMARISER]


def numbers(body: Any) -> list[int]:
    """Which turns' messages of users a request holds."""
    return [int(message["content"].split(":")[0]) for message in body["messages"] if re.match(r"\d+: ", str(message["content"]))]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_truncate_sends_system_and_newest_turns_within_the_budget(sdk: AsyncJulep, models: ModelServerHandle, stream: bool) -> None:
    session = await session_of(
        sdk, model=MODEL, about="She knows the figures.", session={"context_overflow": "truncate", "token_budget": BUDGET}
    )
    told = await talk(sdk, session, 25, stream=stream)
    bodies = chats(models)
    assert all(prompt_tokens(body) <= BUDGET for body in bodies[1:])
    # The budget is made use of: one more turn would not fit.
    assert prompt_tokens(bodies[-1]) > BUDGET * 0.8
    assert all(body["messages"][0]["role"] == "system" for body in bodies)
    assert all(numbers(body) == list(range(numbers(body)[0], place + 1)) for place, body in enumerate(bodies))
    context = told[-1].context
    assert context["left_out"] == 2 * numbers(bodies[-1])[0] > 0
    assert context["budget_tokens"] == BUDGET
    assert prompt_tokens(bodies[-1]) <= context["estimated_tokens"] <= BUDGET
    assert context["summarised"] == 0
    assert (told[-1].warnings, told[-1].jobs) == ([], [])
    assert told[0].context["left_out"] == 0


async def test_nothing_of_the_history_is_lost_when_turns_are_truncated(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "truncate", "token_budget": 700})
    await talk(sdk, session, 12)
    assert len((await sdk.sessions.history(session)).entries) == 24
    assert len(numbers(chats(models)[-1])) < 12


async def test_window_of_the_model_is_the_budget_where_the_session_has_none(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model="windowed-x1.3", session={"context_overflow": "truncate"})
    told = [await ask(sdk, session, f"{number}: {WORDS}", max_tokens=500) for number in range(25)]
    assert {answer.context["budget_tokens"] for answer in told} == {1_500}
    assert all(prompt_tokens(body) <= 1_500 for body in chats(models)[1:])
    assert told[-1].context["left_out"] > 0
    answer = await ask(sdk, session, "and without a limit")
    assert answer.context["budget_tokens"] == 1_500


async def test_whole_history_is_sent_with_a_warning_where_no_window_is_known(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "truncate"})
    told = await talk(sdk, session, 3)
    assert numbers(chats(models)[-1]) == [0, 1, 2]
    assert told[-1].context["budget_tokens"] is None
    assert "window of this model is not known" in told[-1].warnings[0]


async def test_session_without_overflow_sends_everything_and_says_that_a_budget_has_no_effect(
    sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    session = await session_of(sdk, model=MODEL, session={"token_budget": 100})
    told = await talk(sdk, session, 4)
    assert numbers(chats(models)[-1]) == [0, 1, 2, 3]
    assert told[-1].context is None
    assert told[-1].warnings == ["token_budget has no effect without context_overflow: the whole history is sent"]


async def test_prompt_that_the_provider_finds_too_long_is_a_clear_refusal(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model=MODEL)
    models.script(MODEL, error(400, "This model's maximum context length is 8192 tokens", code="context_length_exceeded"))
    with pytest.raises(BadRequestError) as raised:
        await ask(sdk, session)
    body: Any = raised.value.body
    assert "prompt is too long" in body["error"]["message"]
    assert "context_overflow" in body["error"]["fix"]


async def test_new_messages_that_exceed_the_budget_alone_are_refused_with_the_numbers(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "truncate", "token_budget": 100})
    with pytest.raises(BadRequestError) as raised:
        await ask(sdk, session, WORDS * 5)
    body: Any = raised.value.body
    assert re.search(r"need about \d{3} tokens, and the budget is 100", body["error"]["message"])
    assert "token_budget" in body["error"]["fix"]
    assert asked(models) == []


async def test_calls_are_never_parted_from_their_results_in_a_truncated_context(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "truncate", "token_budget": 900})
    for number in range(12):
        models.script(MODEL, tool_calls([("weather", {"city": f"{number}: {WORDS}"})] * 2))
        answer = await ask(sdk, session, f"{number}: {WORDS}", tools=[WEATHER])
        calls = answer.choices[0].message.tool_calls
        await sdk.sessions.chat(
            session,
            messages=[said(WORDS, role="tool", tool_call_id=call.id) for call in calls],
            tools=[WEATHER],  # type: ignore[list-item]
        )
    bodies = chats(models)
    assert any(len(numbers(body)) < 12 for body in bodies[-2:])
    for body in bodies[1:]:
        open_calls: set[str] = set()
        for message in body["messages"]:
            if message["role"] == "tool":
                open_calls.remove(message["tool_call_id"])
            open_calls |= {call["id"] for call in message.get("tool_calls") or ()}
        assert open_calls == set()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_rounds_with_tools_take_the_place_of_older_turns(sdk: AsyncJulep, models: ModelServerHandle, rows: Any, stream: bool) -> None:
    settings = {"context_overflow": "truncate", "token_budget": 1_200, "auto_run_tools": True}
    echo = {"name": "echo", "type": "integration", "integration": {"provider": "dummy"}}
    session = await session_of(sdk, model=MODEL, session=settings, extra_body={"tools": [echo]})
    await talk(sdk, session, 12)
    before = len(asked(models))
    models.script(MODEL, *[tool_calls([("echo", {"said": f"{number}: {WORDS}"})]) for number in range(6)], text("done"))
    (answer,) = await talk(sdk, session, 1, stream=stream, begin=12)
    bodies = asked(models)[before:]
    assert len(bodies) == 7
    assert all(prompt_tokens(body) <= 1_200 for body in bodies)
    kept = [numbers(body)[0] for body in bodies]
    assert kept == sorted(kept)
    assert kept[0] < kept[-1]
    # All rounds are there: it is older turns that make room.
    assert sum(message["role"] == "tool" for message in bodies[-1]["messages"]) == 6
    assert answer.context["left_out"] == 2 * kept[-1]
    # What was learnt from the usage of a single request, not from the sum over all of them.
    assert await rows.fetchval("SELECT max(ratio) FROM token_ratios") < 1.5


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_results_that_exceed_the_budget_alone_are_shortened_and_the_turn_goes_on(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, stream: bool
) -> None:
    settings = {"context_overflow": "truncate", "token_budget": 1_200, "auto_run_tools": True}
    echo = {"name": "echo", "type": "integration", "integration": {"provider": "dummy"}}
    # Nothing is known yet of how this one counts: it is learnt from the first answer, amid the turn.
    model = f"unheard-of-{stream}-x1.3"
    large = {"name": "large", "type": "integration", "integration": {"provider": "dummy", "arguments": {"said": WORDS * 60}}}
    session = await session_of(sdk, model=model, session=settings, extra_body={"tools": [echo, large]})
    rounds = [tool_calls([("large", {})]), tool_calls([("large", {}), ("large", {})]), tool_calls([("echo", {"said": WORDS * 30})])]
    models.script(model, *rounds, tool_calls([("echo", {"said": "the last one is short"})]), text("done"))
    (answer,) = await talk(sdk, session, 1, stream=stream)
    bodies = asked(models)
    assert len(bodies) == 5
    assert [prompt_tokens(body) <= 1_200 for body in bodies] == [True] * 5
    assert prompt_tokens(bodies[1]) > 1_000
    first, *_, newest = [message["content"] for message in bodies[-1]["messages"] if message["role"] == "tool"]
    assert "to fit the token budget" in first
    assert "[shortened to fit the token budget: the first " in str(bodies[1]["messages"][-1])
    assert newest == '{"said":"the last one is short"}'
    assert [warning for warning in answer.warnings if "shortened" in warning]
    # What is stored is whole.
    entries = (await raw.get(f"/sessions/{session}/history?sources=tool_response")).json()["entries"]
    assert [WORDS * 30 in str(entry) for entry in entries] == [True, True, True, True, False]
    (answer,) = await talk(sdk, session, 1, stream=stream, begin=1)
    assert prompt_tokens(asked(models)[-1]) <= 1_200
    assert answer.warnings == []


async def test_render_tells_what_would_be_left_out(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "truncate", "token_budget": 700})
    await talk(sdk, session, 12)
    shown = (await raw.post(f"/sessions/{session}/render", json={"messages": [said(f"12: {WORDS}")]})).json()
    assert shown["context"]["left_out"] == 2 * numbers(shown)[0] > 0
    assert prompt_tokens({**shown, "model": MODEL, "tools": None}) <= shown["context"]["estimated_tokens"] <= 700
    await ask(sdk, session, f"12: {WORDS}")
    assert chats(models)[-1]["messages"] == shown["messages"]
    plain = await session_of(sdk, model=MODEL)
    assert (await raw.post(f"/sessions/{plain}/render", json={"messages": [said("hi")]})).json()["context"] is None


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_adaptive_session_is_summarised_in_the_background_before_its_budget_is_reached(
    sdk: AsyncJulep, models: ModelServerHandle, rows: Any, stream: bool
) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": BUDGET})
    models.script(SUMMARISER, *(text(f"Ann planned {number} things.") for number in range(20)))
    jobs: list[str] = []
    for number in range(40):
        (answer,) = await talk(sdk, session, 1, stream=stream, begin=number)
        jobs += answer.jobs
        # Every turn is answered; what is started in the background has ended before the next one begins.
        await until(lambda: rows.fetchval(IDLE))
        assert answer.warnings == []
        assert answer.context["left_out"] == 0
    bodies = chats(models)
    assert all(prompt_tokens(body) <= BUDGET for body in bodies[1:])
    # Some summaries, each of them from a job that an answer named.
    assert 2 <= len(jobs) == len(set(jobs)) < 20
    assert {(await sdk.jobs.get(job)).state for job in jobs} == {"succeeded"}
    summary = (await sdk.sessions.get(session)).summary
    assert summary == f"Ann planned {len(jobs) - 1} things."
    first, second = bodies[-1]["messages"][1:3]
    assert (first["role"], second["role"]) == ("system", "user")
    assert first["content"].endswith(summary)
    assert numbers(bodies[-1]) == list(range(numbers(bodies[-1])[0], 40))
    assert answer.context["summarised"] == 2 * numbers(bodies[-1])[0]
    # Each summary was made from the one before it.
    for place, request in enumerate(body for body in asked(models) if body["model"] == SUMMARISER):
        material = request["messages"][1]["content"]
        assert (f"Earlier summary:\nAnn planned {place - 1} things." in material) == (place > 0)


async def test_full_history_stays_readable_with_what_stands_for_what(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, rows: Any
) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": BUDGET})
    models.script(SUMMARISER, *(text(f"summary {number}") for number in range(20)))
    for number in range(30):
        await talk(sdk, session, 1, begin=number)
        await until(lambda: rows.fetchval(IDLE))
    history = (await raw.get(f"/sessions/{session}/history")).json()
    assert [entry["role"] for entry in history["entries"]] == ["user", "assistant"] * 30
    everything = (await raw.get(f"/sessions/{session}/history?sources=api_request&sources=api_response&sources=summarizer")).json()
    summaries = [entry for entry in everything["entries"] if entry["source"] == "summarizer"]
    assert len(summaries) >= 2
    assert everything["entries"][: len(summaries)] == summaries
    newest = summaries[0]["id"]
    heads = {relation["head"]: relation["tail"] for relation in everything["relations"]}
    assert {relation["relation"] for relation in everything["relations"]} == {"summarized_as"}
    assert newest not in heads
    # From each folded message, and each earlier summary, a way leads to the newest.
    for entry in [*summaries[1:], *history["entries"][: len(heads) - len(summaries) + 1]]:
        at = entry["id"]
        for _ in summaries:
            at = heads.get(at, at)
        assert at == newest
    folded = len(heads) - (len(summaries) - 1)
    assert [entry["id"] in heads for entry in history["entries"]] == [True] * folded + [False] * (60 - folded)


async def test_truncation_bridges_with_a_warning_while_a_summary_is_awaited(sdk: AsyncJulep, models: ModelServerHandle, rows: Any) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": BUDGET})
    models.script(SUMMARISER, gated(text("a summary")))
    told = await talk(sdk, session, 25)
    bodies = chats(models)
    assert all(prompt_tokens(body) <= BUDGET for body in bodies[1:])
    bridged = [answer for answer in told if answer.context["left_out"]]
    assert bridged
    assert all(re.fullmatch(r"\d+ older messages were left out of this turn, until they are summarised", a.warnings[0]) for a in bridged)
    # However many turns came meanwhile, all of them name the one job.
    (job,) = {job for answer in told for job in answer.jobs}
    assert (await sdk.jobs.get(job)).state == "in_progress"
    models.release()
    await until(lambda: rows.fetchval(IDLE))
    assert (await sdk.jobs.get(job)).state == "succeeded"
    (answer,) = await talk(sdk, session, 1, begin=25)
    assert (answer.warnings, answer.context["left_out"]) == ([], 0)


async def test_failing_summariser_is_tried_again_and_its_job_says_why(sdk: AsyncJulep, models: ModelServerHandle, rows: Any) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": BUDGET})
    models.script(SUMMARISER, error(500, "out of order"), gated(text("  ")), *[text("a summary at last")] * 5)
    told = await talk(sdk, session, 25)
    (job,) = {job for answer in told for job in answer.jobs}

    await until(lambda: rows.fetchval("SELECT state = 'retrying' FROM jobs WHERE id = $1", UUID(job)))
    assert "out of order" in ((await sdk.jobs.get(job)).reason or "")

    async def hurried() -> bool:
        # The pauses between attempts are not waited for.
        await rows.execute("UPDATE sessions SET fold_due_at = now() WHERE fold_claim IS NULL AND fold_due_at > now()")
        await queue.wake(rows, summarise.KIND)
        return await rows.fetchval("SELECT state = 'succeeded' FROM jobs WHERE id = $1", UUID(job))

    models.release(1)
    await until(hurried)
    assert (await sdk.sessions.get(session)).summary == "a summary at last"
    # The call that failed is recorded, and so is the one that gave nothing but was paid for.
    told = await rows.fetch("SELECT ok, count(*) FROM usage WHERE kind = 'summary' AND session_id = $1 GROUP BY ok", UUID(session))
    assert {row["ok"]: min(row["count"], 2) for row in told} == {False: 1, True: 2}


async def test_history_that_is_deleted_while_it_is_summarised_leaves_no_summary(
    sdk: AsyncJulep, models: ModelServerHandle, rows: Any
) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": BUDGET})
    models.script(SUMMARISER, gated(text("what was deleted")))
    told = await talk(sdk, session, 25)
    (job,) = {job for answer in told for job in answer.jobs}
    await models.until_held()
    await sdk.delete(f"/sessions/{session}/history", cast_to=object)
    assert (await sdk.jobs.get(job)).state == "aborted"
    models.release()
    await talk(sdk, session, 1, begin=100)
    await until(lambda: rows.fetchval("SELECT count(*) = 0 FROM queue.pgqueuer"))
    assert (await sdk.sessions.get(session)).summary is None
    assert await rows.fetchval("SELECT count(*) FROM entries WHERE session_id = $1 AND source = 'summarizer'", session) == 0
    assert numbers(chats(models)[-1]) == [100]
    answer = await ask(sdk, session)
    assert (answer.context["left_out"], answer.context["summarised"]) == (0, 0)


async def test_session_that_is_no_longer_adaptive_is_not_summarised(sdk: AsyncJulep, models: ModelServerHandle, rows: Any) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": BUDGET})
    models.script(SUMMARISER, error(500, "out of order"))
    told = await talk(sdk, session, 25)
    (job,) = {job for answer in told for job in answer.jobs}
    await sdk.sessions.update(session, context_overflow="truncate")
    await until(lambda: rows.fetchval("SELECT state = 'retrying' FROM jobs WHERE id = $1", UUID(job)))
    await rows.execute("UPDATE sessions SET fold_due_at = now() WHERE fold_due_at IS NOT NULL")
    await queue.wake(rows, summarise.KIND)
    await until(lambda: rows.fetchval(IDLE))
    assert (await sdk.jobs.get(job)).state == "aborted"
    assert (await sdk.sessions.get(session)).summary is None


async def test_session_that_is_deleted_takes_its_summary_job_along(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": BUDGET})
    models.script(SUMMARISER, gated(text("a summary")))
    told = await talk(sdk, session, 25)
    (job,) = {job for answer in told for job in answer.jobs}
    await models.until_held()
    await sdk.sessions.delete(session)
    assert (await sdk.jobs.get(job)).state == "aborted"


# --- a long conversation

TURNS = 2_000
FACT_EVERY = 100
LONG_BUDGET = 4_000


def told(number: int) -> str:
    """What a user says in turn `number`: some turns hold a fact."""
    return f"{number}: {WORDS}" + (f" Fact {number}: parcel {number * 37} goes to shelf {number % 71}." if number % FACT_EVERY == 7 else "")


async def seed(dsn: str, account: Account, session: str, turns: int) -> None:
    """Store turns as if they had been."""
    texts = [each for number in range(turns) for each in (told(number), f"ok: {number}")]
    counts = await tokens.count_many(texts)
    entries = [
        NewEntry(
            id=new_id(),
            source="api_response" if place % 2 else "api_request",
            role="assistant" if place % 2 else "user",
            name=None,
            message=dumps({"role": "assistant" if place % 2 else "user", "content": each}).decode(),
            content=None,
            has_calls=False,
            model=MODEL,
            tokenizer=tokens.TOKENIZER,
            token_count=count + tokens.TOKENS_PER_MESSAGE,
        )
        for place, (each, count) in enumerate(zip(texts, counts, strict=True))
    ]
    turn = NewTurn(
        id=new_id(),
        session_id=UUID(session),
        fingerprint=new_id().bytes * 2,
        idempotency_key=None,
        retried=False,
        since=datetime.now(UTC),
        after_seq=0,
        answer=b"{}",
    )
    opened = await pool.connect(dsn, config.load(environ={}, flags={"database_connections_max": 1}))
    try:
        async with opened.connection() as connection:
            assert await save_next(connection, account.id, turn, entries)
    finally:
        await opened.close()


async def test_long_conversation_stays_under_its_budget_and_keeps_its_facts(
    sdk: AsyncJulep, models: ModelServerHandle, rows: Any, database: str, account: Account
) -> None:
    session = await session_of(sdk, model=MODEL, session={"context_overflow": "adaptive", "token_budget": LONG_BUDGET})
    await seed(database, account, session, TURNS)
    for number in range(TURNS, TURNS + 130):
        answer = await ask(sdk, session, told(number))
        # The first turn has the whole of it folded; the conversation goes on when that is done.
        await until(lambda: rows.fetchval(IDLE))
    bodies = chats(models)
    assert all(prompt_tokens(body) <= LONG_BUDGET for body in bodies[1:])
    assert all(prompt_tokens(body) <= LONG_BUDGET for body in asked(models) if body["model"] == SUMMARISER)
    facts = [told(number).partition(f"{WORDS} ")[2] for number in range(TURNS + 130) if number % FACT_EVERY == 7]
    assert len(facts) == 22
    last = "\n".join(message["content"] for message in bodies[-1]["messages"])
    assert [fact for fact in facts if fact not in last] == []
    assert answer.context["left_out"] == 0
    assert answer.context["summarised"] + 2 * len(numbers(bodies[-1])) == 2 * (TURNS + 130)
    history = await sdk.sessions.history(session)
    assert len(history.entries) == 2 * (TURNS + 130)
