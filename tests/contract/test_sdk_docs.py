"""Documents of agents and users by the official SDK: stored, read, listed, changed and deleted. Section 5 of the behaviour spec."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from julep import AsyncJulep, ConflictError, NotFoundError, UnprocessableEntityError

from tests.support.docs import Owner, indexed, new_owner
from tests.support.talk import Client, until

DIMENSIONS = 512
PROSE = [
    f"In year {year} the lighthouse keeper wrote about storms, ships and the price of oil in volume {year % 7} of the log."
    for year in range(40)
]


@pytest.fixture(params=["agents", "users"])
async def owner(request: pytest.FixtureRequest, sdk: AsyncJulep) -> Owner:
    """An agent, then a user: all of this holds for both."""
    return await new_owner(sdk, request.param)


async def test_created_doc_has_the_documented_fields_and_becomes_searchable_by_meaning(sdk: AsyncJulep, owner: Owner) -> None:
    made = await owner.docs.with_raw_response.create(
        owner.id, title="Pump", content="The pump must be cleaned once a year.", metadata={"x": 1}
    )
    assert made.http_response.status_code == 201
    body = made.http_response.json()
    assert (body["title"], body["content"], body["metadata"]) == ("Pump", ["The pump must be cleaned once a year."], {"x": 1})
    assert (body["modality"], body["language"], body["embeddings"], body["embed_instruction"]) == ("text", "english", None, None)
    assert body["embedding_status"] in ("pending", "in_progress")
    doc = await made.parse()
    await indexed(sdk, doc)
    stored = (await sdk.docs.get(doc.id)).to_dict()
    assert (stored["embedding_model"], stored["embedding_dimensions"]) == ("local", DIMENSIONS)
    assert [len(vector) for vector in stored["embeddings"]] == [DIMENSIONS]
    assert {key: stored[key] for key in ("id", "title", "content", "metadata", "jobs")} == {
        key: body[key] for key in ("id", "title", "content", "metadata", "jobs")
    }
    assert (await sdk.docs.get(doc.id, include_embeddings=False)).embeddings is None


async def test_doc_of_a_list_has_a_piece_for_each_part(sdk: AsyncJulep, owner: Owner) -> None:
    doc = await owner.add("Rooms", ["The blue room has two beds.", "The red room has a bath.", "The attic room is cold."])
    assert doc.content == ["The blue room has two beds.", "The red room has a bath.", "The attic room is cold."]
    await indexed(sdk, doc)
    assert len((await sdk.docs.get(doc.id)).embeddings) == 3
    found = (await owner.search("room with a bath")).docs
    assert {(hit.snippet.index, hit.snippet.content) for hit in found} == set(enumerate(doc.content))
    assert (found[0].id, found[0].snippet.index) == (doc.id, 1)


async def test_long_text_is_cut_into_numbered_pieces_that_all_have_vectors(sdk: AsyncJulep, owner: Owner) -> None:
    doc = await owner.add("Log", "\n\n".join(PROSE))
    assert doc.content == ["\n\n".join(PROSE)]
    await indexed(sdk, doc)
    found = (await owner.search("lighthouse", limit=50)).docs
    pieces = {hit.snippet.index: hit.snippet.content for hit in found}
    assert sorted(pieces) == list(range(len(found)))
    assert len(found) > 5
    assert max(map(len, pieces.values())) <= 900
    assert all(any(line in piece for piece in pieces.values()) for line in PROSE)
    assert len((await sdk.docs.get(doc.id)).embeddings) == len(found)


async def test_job_of_a_doc_tells_its_progress_until_it_is_done(sdk: AsyncJulep, owner: Owner) -> None:
    doc = await owner.add("Log", [f"{line} {line}" for line in PROSE])
    (job_id,) = doc.jobs
    seen: list[Any] = []

    async def done() -> bool:
        seen.append(await sdk.jobs.get(job_id))
        return seen[-1].state == "succeeded"

    await until(done)
    assert {job.state for job in seen} <= {"pending", "in_progress", "succeeded"}
    assert [job.progress for job in seen] == sorted(job.progress for job in seen)
    job = seen[-1]
    assert (job.id, job.has_progress, job.progress, job.reason) == (job_id, True, 100, "")
    assert job.name
    await indexed(sdk, doc)


@pytest.mark.parametrize("content", ["once", ["one", "two", "three"]], ids=["string", "list"])
async def test_doc_with_the_same_title_and_content_is_a_conflict_that_no_retry_mends(owner: Owner, content: Any) -> None:
    await owner.add("Same", content)
    with pytest.raises(ConflictError) as refused:
        await owner.add("Same", content, metadata={"other": True})
    assert refused.value.response.headers["x-should-retry"] == "false"


async def test_doc_that_is_sent_several_times_at_once_is_stored_once(owner: Owner) -> None:
    made = await asyncio.gather(*[owner.add("Same", ["one", "two"]) for _ in range(5)], return_exceptions=True)
    assert [type(each) for each in made if isinstance(each, Exception)] == [ConflictError] * 4
    assert len((await owner.docs.list(owner.id)).items) == 1


async def test_doc_that_differs_in_anything_but_metadata_is_another_one(sdk: AsyncJulep, owner: Owner) -> None:
    await owner.add("Same", ["one", "two"])
    for title, content in (("Same", ["one", "three"]), ("Same", ["zero", "two"]), ("Same", ["onetwo"]), ("Sam", ["e", "one", "two"])):
        await owner.add(title, content)
    for kind in ("agents", "users"):
        await (await new_owner(sdk, kind)).add("Same", ["one", "two"])


async def test_doc_of_an_owner_that_does_not_exist_is_not_found(sdk: AsyncJulep, stranger: AsyncJulep, owner: Owner) -> None:
    nobody = Owner(owner.kind, str(uuid4()), owner.docs)
    foreign = Owner(owner.kind, (await new_owner(stranger, owner.kind)).id, owner.docs)
    for missing in (nobody, foreign):
        with pytest.raises(NotFoundError):
            await missing.add("A", "text")
        assert (await missing.docs.list(missing.id)).items == []
        assert await missing.docs.bulk_delete(missing.id, delete_all=True) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": "t" * 801}, "title"),
        ({"title": None}, "title"),
        ({"content": "c" * 30_001}, "content"),
        ({"content": ["fine", "c" * 30_001]}, "content"),
        ({"content": []}, "content"),
        ({"content": ["c"] * 1_001}, "content"),
        ({"content": None}, "content"),
        ({"content": {"text": "c"}}, "content"),
        ({"content": [1]}, "content"),
        ({"metadata": []}, "metadata"),
        ({"embed_instruction": "i" * 2_001}, "embed_instruction"),
        ({"language": "not a tag"}, "language"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_doc_beyond_a_limit_is_unprocessable_and_names_the_field(raw: Client, owner: Owner, fields: Any, field: str) -> None:
    refused = await raw.post(f"{owner.path}/docs", json={"title": "T", "content": "c", **fields})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"][:2] == ["body", field]


async def test_doc_at_its_limits_is_stored_whole(owner: Owner) -> None:
    for title, content in (("t" * 800, "c" * 30_000), ("many", ["c"] * 1_000)):
        doc = await owner.add(title, content)
        assert (doc.title, doc.content) == (title, [content] if isinstance(content, str) else content)
        # Nobody needs its vectors.
        await owner.delete(doc.id)


async def test_doc_that_is_blank_is_stored_and_gets_vectors(sdk: AsyncJulep, owner: Owner) -> None:
    made = [
        await owner.add("blank", " \n\t "),
        await owner.docs.create(owner.id, title="", content=""),
        await owner.docs.create(owner.id, title=" ", content=["", "!?"]),
    ]
    await indexed(sdk, *made)
    assert [len((await sdk.docs.get(doc.id)).embeddings) for doc in made] == [1, 1, 2]


async def test_list_pages_filters_and_shows_vectors_when_asked(sdk: AsyncJulep, owner: Owner) -> None:
    made = [await owner.add(f"Doc {number}", metadata={"even": number % 2 == 0, "n": number}) for number in range(5)]
    await indexed(sdk, *made)
    assert [doc.id async for doc in owner.docs.list(owner.id, limit=2)] == [doc.id for doc in made[::-1]]
    assert [doc.id async for doc in owner.docs.list(owner.id, limit=2, direction="asc", offset=1)] == [doc.id for doc in made[1:]]
    even = [doc.title async for doc in owner.docs.list(owner.id, metadata_filter={"even": True}, direction="asc")]
    assert even == ["Doc 0", "Doc 2", "Doc 4"]
    (one,) = (await owner.docs.list(owner.id, metadata_filter={"n": 3})).items
    assert len(one.embeddings[0]) == DIMENSIONS
    assert (await owner.docs.list(owner.id, metadata_filter={"n": 3}, include_embeddings=False)).items[0].embeddings is None


async def test_docs_of_one_owner_are_not_among_those_of_another(sdk: AsyncJulep, raw: Client, owner: Owner) -> None:
    doc = await owner.add("Mine")
    for kind in ("agents", "users"):
        other = await new_owner(sdk, kind)
        assert (await other.docs.list(other.id)).items == []
        for answer in (await raw.get(f"{other.path}/docs/{doc.id}"), await raw.delete(f"{other.path}/docs/{doc.id}")):
            assert answer.status_code == 404
    assert (await raw.get(f"{owner.path}/docs/{doc.id}")).json()["title"] == "Mine"


async def test_deleted_doc_is_gone_from_everywhere(sdk: AsyncJulep, owner: Owner) -> None:
    doc, other = await owner.add("Pump"), await owner.add("Valve")
    await indexed(sdk, doc)
    gone = await owner.docs.with_raw_response.delete(doc.id, **{f"{owner.kind[:-1]}_id": owner.id})
    assert gone.http_response.status_code == 202
    assert gone.http_response.json()["id"] == doc.id
    for again in (owner.delete(doc.id), sdk.docs.get(doc.id)):
        with pytest.raises(NotFoundError):
            await again
    assert [kept.id for kept in (await owner.docs.list(owner.id)).items] == [other.id]
    assert await owner.found("pump") == []
    # What was there once may come again.
    await owner.add("Pump")


async def test_bulk_delete_takes_what_the_filter_matches_and_each_doc_once(owner: Owner) -> None:
    made = [await owner.add(f"Doc {number}", ["a", "b"], metadata={"kind": "old" if number < 2 else "new", "n": 1}) for number in range(4)]
    assert await owner.docs.bulk_delete(owner.id) == []
    assert await owner.docs.bulk_delete(owner.id, metadata_filter={}) == []
    assert await owner.docs.bulk_delete(owner.id, metadata_filter={"kind": "other"}) == []
    gone = await owner.docs.bulk_delete(owner.id, metadata_filter={"kind": "old", "n": 1})
    assert sorted(item.id for item in gone) == sorted(doc.id for doc in made[:2])
    # With both, the filter counts: to delete less than was meant can be mended.
    assert await owner.docs.bulk_delete(owner.id, metadata_filter={"kind": "old"}, delete_all=True) == []
    assert len(await owner.docs.bulk_delete(owner.id, delete_all=True)) == 2
    assert (await owner.docs.list(owner.id)).items == []


async def test_bulk_delete_leaves_the_docs_of_others(sdk: AsyncJulep, owner: Owner) -> None:
    kept = [await (await new_owner(sdk, kind)).add("Kept") for kind in ("agents", "users")]
    await owner.add("Gone")
    assert len(await owner.docs.bulk_delete(owner.id, delete_all=True)) == 1
    for doc in kept:
        assert (await sdk.docs.get(doc.id)).title == "Kept"


async def test_docs_go_with_their_owner(sdk: AsyncJulep, owner: Owner) -> None:
    doc = await owner.add("Mine")
    await (sdk.agents if owner.kind == "agents" else sdk.users).delete(owner.id)
    with pytest.raises(NotFoundError):
        await sdk.docs.get(doc.id)
    assert await owner.found("mine") == []


async def test_embed_gives_one_vector_for_each_text(sdk: AsyncJulep) -> None:
    (alone,) = (await sdk.docs.embed(text="a lighthouse")).vectors
    both = (await sdk.docs.embed(text=["a lighthouse", "a pump"])).vectors
    (asked,) = (await sdk.docs.embed(text="a lighthouse", embed_instruction="Represent this for search")).vectors
    assert [len(vector) for vector in (alone, *both, asked)] == [DIMENSIONS] * 4
    assert both[0] == pytest.approx(alone, abs=1e-6)
    assert both[1] != both[0]
    assert asked != alone
    many = (await sdk.docs.embed(text=["x"] * 100, embed_instruction="i")).vectors
    assert len(many) == 100


@pytest.mark.parametrize("text", [[], ["x"] * 101, 7, "x" * 30_001], ids=["empty", "too many", "number", "too long"])
async def test_embed_of_anything_else_is_unprocessable(sdk: AsyncJulep, text: Any) -> None:
    with pytest.raises(UnprocessableEntityError):
        await sdk.docs.embed(text=text)
