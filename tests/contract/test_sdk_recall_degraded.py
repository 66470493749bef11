"""Documents with an embedder behind an endpoint, whose failures cost nobody a turn: section 5 of the behaviour spec."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from julep import AsyncJulep, InternalServerError, NotFoundError

from tests.support.databases import Cluster
from tests.support.docs import Owner, indexed, new_owner, until_status
from tests.support.model_server import DIMENSIONS, ModelServerHandle, error, gated, hang, text
from tests.support.sdk import Account, ask, asked, async_sdk, make_account
from tests.support.server import ServerProcess, running
from tests.support.talk import until

EMBEDDER = "fake/emb"
SECRET = "sk-of-the-embedder-0123456789"
PUMP = "The pump must be cleaned once a year with vinegar."
# More than a server that asks again and again sends while a test looks.
MANY = 300


@pytest.fixture(scope="module")
def dsn(cluster: Cluster) -> Iterator[str]:
    """A database of this module: the embedder of a database is the same for all its servers."""
    with cluster.cloned() as address:
        yield address


@pytest.fixture(scope="module")
def server(dsn: str, model_server: ModelServerHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose embedder is the model server."""
    providers = {"fake": {"base_url": model_server.base_url, "api_key": SECRET}}
    with running(
        home=tmp_path_factory.mktemp("degraded"),
        dsn=dsn,
        providers=json.dumps(providers),
        embedder=EMBEDDER,
        embedder_query_timeout_s="0.5",
        model_prices=json.dumps({EMBEDDER: [2.0, 0.0]}),
    ) as process:
        yield process


@pytest.fixture
async def account(dsn: str) -> Account:
    connection = await asyncpg.connect(dsn)
    try:
        return await make_account(connection)
    finally:
        await connection.close()


@pytest.fixture
async def sdk(server: ServerProcess, account: Account) -> AsyncIterator[AsyncJulep]:
    async with async_sdk(server.url, account.key) as client:
        yield client


@pytest.fixture
async def agent(sdk: AsyncJulep, models: ModelServerHandle) -> Owner:
    """An agent with one doc that has its vectors."""
    made = await new_owner(sdk)
    await indexed(sdk, await made.add("Pump", PUMP))
    models.reset()
    return made


def fail(models: ModelServerHandle, *, status: int = 503) -> None:
    """From now on until `reset` the embedder answers with an error that tells a secret."""
    models.script("/embeddings", *[error(status, f"overloaded, key {SECRET}")] * MANY)


async def job_of(sdk: AsyncJulep, doc: Any) -> Any:
    return await sdk.jobs.get((await sdk.docs.get(doc.id)).jobs[0])  # type: ignore[attr-defined]  # ours


async def test_first_docs_of_an_embedder_that_fails_are_searched_by_words_and_get_their_vectors_later(
    sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    # The first test of this module: nothing was ever embedded.
    fail(models)
    agent = await new_owner(sdk)
    doc = await agent.add("Pump", PUMP)
    assert await agent.found("pump") == ["Pump"]
    answer = await agent.search("pump", extra_body={"mode": "hybrid"})
    assert [hit.title for hit in answer.docs] == ["Pump"]
    assert "words alone" in answer.warnings[0]
    await until_status(sdk, doc, "retrying")
    job = await job_of(sdk, doc)
    assert (job.state, job.progress) == ("retrying", 0)
    assert job.reason
    assert SECRET not in job.reason
    models.reset()
    await indexed(sdk, doc)
    stored = (await sdk.docs.get(doc.id)).to_dict()
    assert (stored["embedding_model"], stored["embedding_dimensions"]) == (EMBEDDER, DIMENSIONS)
    job = await job_of(sdk, doc)
    assert (job.state, job.progress, job.reason) == ("succeeded", 100, "")


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_doc_whose_vectors_fail_is_kept_and_tried_again(
    sdk: AsyncJulep, agent: Owner, models: ModelServerHandle, status: int
) -> None:
    fail(models, status=status)
    doc = await agent.add("Valve", "A valve drips.")
    await until_status(sdk, doc, "retrying")
    job = await job_of(sdk, doc)
    assert (job.state, SECRET in job.reason) == ("retrying", False)
    assert await agent.found("valve") == ["Valve"]
    models.reset()
    await indexed(sdk, doc)


async def test_text_that_the_embedder_refuses_does_not_hold_up_others(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    models.script("/embeddings", gated(text("")))
    first = await agent.add("First", "It waits at the endpoint.")
    await models.until_held(1, timeout_s=30)
    # These are taken together by the next round.
    refusal = error(400, "input has invalid content")
    models.script("/embeddings", refusal, refusal)
    docs = [await agent.add(f"Doc {number}", f"Number {number}.") for number in range(3)]
    models.release()
    await indexed(sdk, first, *docs)


@pytest.mark.parametrize("failure", ["error", "silence"])
async def test_chat_goes_on_with_what_words_find_and_says_so(
    sdk: AsyncJulep, server: ServerProcess, agent: Owner, models: ModelServerHandle, failure: str
) -> None:
    session = (await sdk.sessions.create(agent=agent.id)).id
    models.script("/embeddings", *[error(500, SECRET) if failure == "error" else hang()] * MANY)
    # Another question each time: the vectors of recent ones are kept.
    answer = await ask(sdk, session, f"How is the pump cleaned with vinegar? ({failure})")
    assert [doc.title for doc in answer.docs] == ["Pump"]
    (warning,) = answer.warnings
    assert EMBEDDER in warning
    assert "words alone" in warning
    assert SECRET not in warning
    assert PUMP in asked(models)[-1]["messages"][0]["content"]
    assert server.wait_for_log('"recall degraded"')
    models.reset()
    after = await ask(sdk, session, f"How is the pump cleaned, and when? ({failure})")
    assert ([doc.title for doc in after.docs], after.warnings) == (["Pump"], [])


async def test_search_by_meaning_goes_by_words_while_the_embedder_fails(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    fail(models)
    for mode in ("vector", "hybrid"):
        answer = await agent.search(f"pump {mode}", extra_body={"mode": mode})
        assert [hit.title for hit in answer.docs] == ["Pump"]
        assert "words alone" in answer.warnings[0]
        assert (answer.docs[0].distance, 0 < answer.docs[0].score <= 1) == (pytest.approx(1 - answer.docs[0].score), True)
    answer = await agent.search("pump")
    assert ([hit.title for hit in answer.docs], answer.warnings) == (["Pump"], [])


async def test_client_without_docs_or_with_its_own_vector_costs_the_embedder_nothing(
    sdk: AsyncJulep, agent: Owner, models: ModelServerHandle
) -> None:
    vector = (await sdk.docs.get(next(iter((await agent.docs.list(agent.id)).items)).id)).embeddings[0]  # type: ignore[index]
    other = await new_owner(sdk)
    await ask(sdk, (await sdk.sessions.create(agent=other.id)).id, "how is the pump cleaned")
    await ask(sdk, (await sdk.sessions.create(agent=agent.id)).id, "how is the pump cleaned", recall=False)
    assert await agent.found(vector=vector) == ["Pump"]
    assert await agent.found("pump", vector=vector) == ["Pump"]
    assert await agent.found("pump") == ["Pump"]
    assert await other.found("pump", extra_body={"mode": "hybrid"}) == []
    assert [request.path for request in models.requests if "embeddings" in request.path] == []
    await ask(sdk, (await sdk.sessions.create(agent=agent.id)).id, "how is a pump cleaned")
    assert len([request for request in models.requests if "embeddings" in request.path]) == 1


async def test_embed_fails_as_the_endpoint_does(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    fail(models)
    with pytest.raises(InternalServerError) as failed:
        await sdk.docs.embed(text="some text")
    assert failed.value.status_code == 502
    assert SECRET not in str(failed.value)


async def test_job_of_a_doc_that_is_deleted_or_changed_meanwhile_is_aborted(
    sdk: AsyncJulep, agent: Owner, models: ModelServerHandle
) -> None:
    """Whether the doc goes alone, with all, or with its owner; also while the embedder works on it."""
    user = await new_owner(sdk, "users")
    models.script("/embeddings", *[hang()] * MANY)
    alone, with_all, with_owner = await agent.add("One", "x"), await user.add("Two", "x"), await agent.add("Three", "x")
    await models.until_held(1, timeout_s=30)
    await agent.delete(alone.id)
    await user.docs.bulk_delete(user.id, delete_all=True)
    await sdk.agents.delete(agent.id)
    for doc in (alone, with_all, with_owner):
        job = await sdk.jobs.get(doc.jobs[0])
        assert (job.state, job.reason) == ("aborted", "the document was deleted")
        with pytest.raises(NotFoundError):
            await sdk.docs.get(doc.id)
    models.reset()
    after = await user.add("After", "x")
    await indexed(sdk, after)
    for doc in (alone, with_all, with_owner):
        assert (await sdk.jobs.get(doc.jobs[0])).state == "aborted"


async def test_text_that_changes_while_the_embedder_works_is_the_one_that_counts(
    sdk: AsyncJulep, server: ServerProcess, account: Account, agent: Owner, models: ModelServerHandle, dsn: str
) -> None:
    models.script("/embeddings", *[gated(text(""))] * MANY)
    docs = [await agent.add(f"Doc {number}", "before") for number in range(3)]
    await models.until_held(1, timeout_s=30)
    changed = await _patched(server, account, docs[0], content="after")
    # Not by `reset`, which would forget what was asked for until then.
    models.release(MANY)
    await indexed(sdk, *docs)
    assert (await sdk.jobs.get(docs[0].jobs[0])).state == "aborted"
    assert (await sdk.jobs.get(changed["jobs"][0])).state == "succeeded"
    said = [text for request in models.requests if "embeddings" in request.path for text in request.json["input"]]
    assert "Doc 0\nafter" in said
    connection = await asyncpg.connect(dsn)
    try:
        count = "SELECT count(*) FROM vectors WHERE tenant_id = $1 AND doc_id = ANY ($2)"
        assert await connection.fetchval(count, account.id, [UUID(doc.id) for doc in docs]) == 3
    finally:
        await connection.close()


async def _patched(server: ServerProcess, account: Account, doc: Any, **fields: Any) -> Any:
    async with async_sdk(server.url, account.key) as client:
        return await client.patch(f"/docs/{doc.id}", cast_to=object, body=fields)


async def usage_of(sdk: AsyncJulep, *groups: str, **query: str) -> Any:
    return await sdk.get("/usage", cast_to=object, options={"params": {"kind": "embedding", "group_by": groups, **query}})


async def test_usage_of_an_embedder_tells_documents_by_agent_and_queries_by_what_they_were_for(
    sdk: AsyncJulep, agent: Owner, models: ModelServerHandle
) -> None:
    session = (await sdk.sessions.create(agent=agent.id)).id
    await ask(sdk, session, "Clean the pump?")
    await agent.search("vinegar for pumps", extra_body={"mode": "hybrid"})
    await sdk.docs.embed(text="four words are here")
    usage: Any = await usage_of(sdk, "agent", "session", "key")
    found = {(group["agent_id"], group["session_id"], group["key_id"] is None): group for group in usage["groups"]}
    # The doc with its title, by nobody's request; the turn's query; the search and the vectors that were asked for by themselves.
    assert {place: group["requests"] for place, group in found.items()} == {
        (agent.id, None, True): 1,
        (agent.id, session, False): 1,
        (None, None, False): 2,
    }
    told = {place: group["prompt_tokens"] for place, group in found.items()}
    assert told == {(agent.id, None, True): len(f"Pump {PUMP}".split()), (agent.id, session, False): 3, (None, None, False): 7}
    total = usage["total"]
    assert (total["completion_tokens"], total["failed"], total["estimated"], total["unpriced"]) == (0, 0, 0, 0)
    assert total["cost"] == pytest.approx(total["prompt_tokens"] * 2e-6)


async def test_query_that_an_embedder_fails_at_is_recorded_without_tokens(sdk: AsyncJulep, agent: Owner, models: ModelServerHandle) -> None:
    fail(models)
    await agent.search("something else", extra_body={"mode": "hybrid"})
    await until_failed(sdk)
    total: Any = (await usage_of(sdk))["total"]
    assert (total["requests"], total["failed"], total["prompt_tokens"]) == (2, 1, len(f"Pump {PUMP}".split()))


async def until_failed(sdk: AsyncJulep) -> None:
    """Return once a failure is recorded, which nobody waits for."""

    async def is_recorded() -> bool:
        usage: Any = await usage_of(sdk)
        return usage["total"]["failed"] > 0

    await until(is_recorded)


async def test_batch_of_several_tenants_is_paid_by_each_for_its_own_texts(
    sdk: AsyncJulep, agent: Owner, dsn: str, server: ServerProcess, models: ModelServerHandle
) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        other = await make_account(connection)
    finally:
        await connection.close()
    before: Any = await usage_of(sdk)
    async with async_sdk(server.url, other.key) as stranger:
        theirs = await new_owner(stranger)
        # While the first doc holds the only worker, the others come together.
        models.script("/embeddings", gated(text("")))
        first = await agent.add("First", "One.")
        await models.until_held(1)
        docs = [await agent.add("Ours", "word " * 10), await agent.add("Ours too", "word " * 10 + "more")]
        their_doc = await theirs.add("Theirs", "word " * 61)
        models.release()
        await indexed(sdk, first, *docs)
        await indexed(stranger, their_doc)
        ours: Any = await usage_of(sdk, "agent")
        others: Any = await usage_of(stranger, "agent")
    assert [group["agent_id"] for group in others["groups"]] == [theirs.id]
    told = ours["total"]["prompt_tokens"] - before["total"]["prompt_tokens"], others["total"]["prompt_tokens"]
    texts = [text for request in models.requests if request.path.endswith("/embeddings") for text in request.json["input"]]
    assert sum(told) == sum(len(text.split()) for text in texts)
    assert told[1] > told[0] > 0
