"""Documents that are changed by PUT and PATCH, which are ours: the SDK has no method for it. What stays is not made anew."""

import asyncio
from typing import Any

import pytest
from julep import AsyncJulep

from tests.support.docs import Owner, indexed, new_owner
from tests.support.talk import Client

TEXT = "The pump must be cleaned once a year."


@pytest.fixture(params=["agents", "users"])
async def owner(request: pytest.FixtureRequest, sdk: AsyncJulep) -> Owner:
    """An agent, then a user."""
    return await new_owner(sdk, request.param)


async def stored(sdk: AsyncJulep, doc: Any) -> dict[str, Any]:
    return (await sdk.docs.get(doc.id)).to_dict()


async def changed(raw: Client, doc: Any, *, by: str = "PATCH", **fields: Any) -> dict[str, Any]:
    answer = await raw.request(by, f"/docs/{doc.id}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_patch_of_metadata_merges_it_and_keeps_the_vectors(sdk: AsyncJulep, raw: Client, owner: Owner) -> None:
    doc = await owner.add("Pump", TEXT, metadata={"a": 1, "b": 2})
    await indexed(sdk, doc)
    before = await stored(sdk, doc)
    told = await changed(raw, doc, metadata={"b": None, "c": 3})
    after = await stored(sdk, doc)
    assert told["metadata"] == after["metadata"] == {"a": 1, "b": None, "c": 3}
    assert (after["embedding_status"], after["jobs"]) == ("succeeded", before["jobs"])
    assert after["embeddings"] == before["embeddings"]
    assert after["updated_at"] > before["updated_at"]


async def test_patch_or_put_with_the_same_text_keeps_the_vectors(sdk: AsyncJulep, raw: Client, owner: Owner) -> None:
    doc = await owner.add("Pump", TEXT, metadata={"a": 1})
    await indexed(sdk, doc)
    before = await stored(sdk, doc)
    await changed(raw, doc, title="Pump", content=[TEXT])
    await changed(raw, doc, by="PUT", title="Pump", content=TEXT)
    after = await stored(sdk, doc)
    assert (after["embedding_status"], after["jobs"], after["embeddings"]) == ("succeeded", before["jobs"], before["embeddings"])
    assert after["metadata"] == {}


@pytest.mark.parametrize(
    "fields",
    [{"content": "The valve drips."}, {"content": [TEXT, "The valve drips."]}, {"title": "Valve"}, {"embed_instruction": "About machines"}],
    ids="-".join,
)
async def test_patch_of_the_text_makes_the_vectors_anew(sdk: AsyncJulep, raw: Client, owner: Owner, fields: Any) -> None:
    doc = await owner.add("Pump", TEXT, metadata={"a": 1})
    await indexed(sdk, doc)
    before = await stored(sdk, doc)
    told = await changed(raw, doc, **fields)
    (job_id,) = told["jobs"]
    assert [job_id] != before["jobs"]
    await indexed(sdk, doc)
    after = await stored(sdk, doc)
    assert after["embeddings"] != before["embeddings"]
    assert len(after["embeddings"]) == len(after["content"])
    assert after["metadata"] == {"a": 1}
    assert (await sdk.jobs.get(job_id)).state == "succeeded"


async def test_changed_text_is_found_by_its_new_words_at_once_and_no_longer_by_the_old(sdk: AsyncJulep, raw: Client, owner: Owner) -> None:
    doc = await owner.add("Pump", TEXT)
    await changed(raw, doc, content="A valve drips.")
    assert await owner.found("valve") == ["Pump"]
    assert await owner.found("cleaned") == []
    await changed(raw, doc, title="Tap")
    assert (await owner.found("tap"), await owner.found("pump")) == (["Tap"], [])


async def test_put_replaces_all_fields(sdk: AsyncJulep, raw: Client, owner: Owner) -> None:
    doc = await owner.add("Pump", TEXT, metadata={"a": 1}, embed_instruction="About machines")
    told = await changed(raw, doc, by="PUT", title="Robinet", content=["Le robinet de la cuisine ne ferme pas."])
    assert {name: told[name] for name in ("id", "title", "content", "metadata", "embed_instruction", "language")} == {
        "id": doc.id,
        "title": "Robinet",
        "content": ["Le robinet de la cuisine ne ferme pas."],
        "metadata": {},
        "embed_instruction": None,
        "language": "french",
    }
    assert (await raw.put(f"/docs/{doc.id}", json={"title": "no content"})).status_code == 422


async def test_patch_keeps_a_language_that_was_given_until_the_text_changes(raw: Client, owner: Owner) -> None:
    doc = (await raw.post(f"{owner.path}/docs", json={"title": "A", "content": "Gift", "language": "de"})).json()
    assert doc["language"] == "german"
    told = (await raw.patch(f"/docs/{doc['id']}", json={"title": "B"})).json()
    assert told["language"] == "german"
    told = (await raw.patch(f"/docs/{doc['id']}", json={"content": TEXT})).json()
    assert told["language"] == "english"
    told = (await raw.patch(f"/docs/{doc['id']}", json={"language": "fr-CA"})).json()
    assert told["language"] == "french"


async def test_change_to_what_another_doc_of_the_owner_holds_is_a_conflict_and_changes_nothing(
    sdk: AsyncJulep, raw: Client, owner: Owner
) -> None:
    await owner.add("Pump", TEXT)
    doc = await owner.add("Valve", TEXT)
    await indexed(sdk, doc)
    before = await stored(sdk, doc)
    for refused in (
        await raw.patch(f"/docs/{doc.id}", json={"title": "Pump"}),
        await raw.put(f"/docs/{doc.id}", json={"title": "Pump", "content": [TEXT]}),
    ):
        assert (refused.status_code, refused.headers["x-should-retry"]) == (409, "false")
    assert await stored(sdk, doc) == before


async def test_doc_is_changed_by_its_owners_path_and_by_no_others(sdk: AsyncJulep, raw: Client, owner: Owner) -> None:
    doc = await owner.add("Pump", TEXT)
    assert (await raw.patch(f"{owner.path}/docs/{doc.id}", json={"title": "Tap"})).json()["title"] == "Tap"
    told = await raw.put(f"{owner.path}/docs/{doc.id}", json={"title": "Valve", "content": "v"})
    assert told.json()["title"] == "Valve"
    for kind in ("agents", "users"):
        other = await new_owner(sdk, kind)
        for method in ("PATCH", "PUT"):
            refused = await raw.request(method, f"{other.path}/docs/{doc.id}", json={"title": "Mine", "content": "m"})
            assert refused.status_code == 404
    assert (await sdk.docs.get(doc.id)).title == "Valve"


async def test_patches_of_one_doc_at_once_lose_nothing_of_each_other(sdk: AsyncJulep, raw: Client, owner: Owner) -> None:
    doc = await owner.add("Pump", TEXT, metadata={"a": 0})
    await asyncio.gather(
        changed(raw, doc, title="Pumps"),
        changed(raw, doc, content="The valve must be oiled."),
        *[changed(raw, doc, metadata={f"m{number}": number}) for number in range(6)],
    )
    after = await stored(sdk, doc)
    assert (after["title"], after["content"]) == ("Pumps", ["The valve must be oiled."])
    assert after["metadata"] == {"a": 0, **{f"m{number}": number for number in range(6)}}
    assert await owner.found("valve") == ["Pumps"]


async def test_patch_refuses_nulls_and_limits_by_field(raw: Client, owner: Owner) -> None:
    doc = await owner.add("Pump", TEXT)
    for fields in ({"title": None}, {"content": None}, {"title": "t" * 801}, {"content": []}, {"content": ["c" * 30_001]}):
        assert (await raw.patch(f"/docs/{doc.id}", json=fields)).status_code == 422
