"""Search by meaning and by both, by the official SDK, and what holds for every mode: filters, limits, owners."""

from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from julep import AsyncJulep, UnprocessableEntityError

from tests.support.docs import Owner, indexed, new_owner, vector_of
from tests.support.talk import Client

TOPICS = {
    "Rain": "Heavy rain and thunderstorms are expected tomorrow.",
    "Bread": "Knead the dough and let it rise before baking the bread.",
    "Chess": "The queen attacks the king and the bishop on the board.",
    "Taxes": "The tax return must be filed before the end of May.",
    "Dogs": "Walk the dog twice a day and brush its fur.",
}
MODES = ("text", "vector", "hybrid")


@pytest.fixture
async def owner(sdk: AsyncJulep) -> Owner:
    return await new_owner(sdk)


@pytest.fixture
async def topics(sdk: AsyncJulep, owner: Owner) -> Owner:
    """An agent with docs on different matters, and their vectors."""
    await indexed(sdk, *[await owner.add(title, content) for title, content in TOPICS.items()])
    return owner


def cosine(one: Any, other: Any) -> float:
    first, second = np.array(one), np.array(other)
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


async def by_mode(owner: Owner, mode: str, text: str, **options: Any) -> Any:
    """A search of a mode with nothing but text, which is ours."""
    return await owner.search(text, extra_body={"mode": mode, **options})


async def test_vector_search_gives_the_nearest_first_with_their_distance_and_confidence(sdk: AsyncJulep, topics: Owner) -> None:
    vector = await vector_of(sdk, "Will it be wet outside, with a storm?")
    found = (await topics.search(vector=vector, confidence=-1, mmr_strength=0)).docs
    assert found[0].title == "Rain"
    assert len(found) == len(TOPICS)
    distances = [hit.distance for hit in found]
    assert distances == sorted(distances)
    assert distances == pytest.approx([1 - cosine(vector, hit.snippet.embedding) for hit in found], abs=1e-3)
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert -1 <= scores[-1] <= scores[0] <= 1


async def test_confidence_keeps_away_what_is_not_related(sdk: AsyncJulep, topics: Owner) -> None:
    vector = await vector_of(sdk, "Will it be wet outside, with a storm?")
    assert [hit.title for hit in (await topics.search(vector=vector)).docs] == ["Rain"]
    assert (await topics.search(vector=vector, confidence=0.99)).docs == []
    everything = (await topics.search(vector=vector, confidence=-1)).docs
    least = everything[1].score
    kept = (await topics.search(vector=vector, confidence=least - 0.001)).docs
    assert [hit.title for hit in kept] == [hit.title for hit in everything[:2]]


async def test_vector_of_a_docs_own_text_finds_it_with_the_highest_confidence(sdk: AsyncJulep, topics: Owner) -> None:
    (hit, *_) = (await topics.search(vector=await vector_of(sdk, f"Chess\n{TOPICS['Chess']}"))).docs
    assert (hit.title, hit.score, hit.distance) == ("Chess", pytest.approx(1, abs=0.01), pytest.approx(0, abs=0.01))


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1e5, 1e200, 1e300])
async def test_length_of_a_vector_does_not_matter(sdk: AsyncJulep, topics: Owner, scale: float) -> None:
    vector = [number * scale for number in await vector_of(sdk, "bake a loaf of bread")]
    for options in ({}, {"text": "loaf"}):
        (hit, *_) = (await topics.search(vector=vector, **options)).docs
        assert hit.title == "Bread"


@pytest.mark.parametrize("vector", [[1.0] * 3, [1.0] * 513, [0.0] * 512, [0.0]], ids=["short", "long", "zeros", "short zeros"])
async def test_vector_that_does_not_fit_is_unprocessable_and_names_the_field(topics: Owner, vector: list[float]) -> None:
    for options in ({}, {"text": "bread"}):
        with pytest.raises(UnprocessableEntityError) as refused:
            await topics.search(vector=vector, **options)
        (fault,) = refused.value.response.json()["detail"]
        assert fault["loc"] == ["body", "vector"]


async def test_mmr_leaves_out_what_repeats_a_better_hit(sdk: AsyncJulep, owner: Owner) -> None:
    for number in range(3):
        await owner.add(f"Rain {number}", "Heavy rain is expected tomorrow in the north.")
    last = await owner.add("Umbrella", "Take an umbrella when it rains.")
    await indexed(sdk, last, *(await owner.docs.list(owner.id)).items)
    vector = await vector_of(sdk, "heavy rain tomorrow")
    options: dict[str, Any] = {"vector": vector, "confidence": -1, "limit": 2}
    plain = (await owner.search(**options, mmr_strength=0)).docs
    varied = (await owner.search(**options, mmr_strength=0.7)).docs
    assert "Umbrella" not in [hit.title for hit in plain]
    assert [hit.title for hit in varied] == [plain[0].title, "Umbrella"]
    # Whether vectors are shown changes nothing.
    bare = (await owner.search(**options, mmr_strength=0.7, include_embeddings=False)).docs
    assert [hit.title for hit in bare] == [hit.title for hit in varied]


async def test_hybrid_search_takes_the_clients_vector_or_makes_its_own(sdk: AsyncJulep, topics: Owner) -> None:
    text = "storm and bishop"
    given = (await topics.search(text, vector=await vector_of(sdk, text), mmr_strength=0)).docs
    made = (await by_mode(topics, "hybrid", text, mmr_strength=0)).docs
    assert {hit.title for hit in given[:2]} == {"Rain", "Chess"}
    assert [(hit.title, hit.score) for hit in made] == [(hit.title, pytest.approx(hit.score, abs=1e-3)) for hit in given]
    assert all(0 <= hit.score <= 1 and hit.distance == pytest.approx(1 - hit.score) for hit in given)
    assert [hit.score for hit in given] == sorted((hit.score for hit in given), reverse=True)


async def test_hybrid_search_finds_by_words_what_has_no_near_vector_and_the_other_way_round(sdk: AsyncJulep, topics: Owner) -> None:
    vector = await vector_of(sdk, "wet weather with thunder")
    found = [hit.title for hit in (await topics.search("bishop", vector=vector)).docs]
    assert set(found) == {"Chess", "Rain"}


async def test_alpha_of_zero_is_the_text_search_and_of_one_the_vector_search(sdk: AsyncJulep, topics: Owner) -> None:
    text, vector = "the queen files her tax", await vector_of(sdk, "wet weather")
    words = [hit.title for hit in (await topics.search(text)).docs]
    meaning = [hit.title for hit in (await topics.search(vector=vector, confidence=-1)).docs]
    assert [hit.title for hit in (await topics.search(text, vector=vector, alpha=0)).docs] == words
    assert [hit.title for hit in (await topics.search(text, vector=vector, alpha=1, confidence=-1)).docs] == meaning


async def test_vector_search_by_text_is_that_by_the_texts_vector(sdk: AsyncJulep, topics: Owner) -> None:
    text = "a game with a queen"
    own = (await by_mode(topics, "vector", text)).docs
    given = (await topics.search(vector=await vector_of(sdk, text))).docs
    assert [(hit.title, hit.distance) for hit in own] == [(hit.title, pytest.approx(hit.distance, abs=1e-3)) for hit in given]
    assert own[0].title == "Chess"
    # Both given: the vector is what is looked for.
    both = await by_mode(topics, "vector", text, vector=await vector_of(sdk, "wet weather"))
    assert both.docs[0].title == "Rain"


@pytest.mark.parametrize("mode", MODES)
async def test_metadata_filter_never_loses_a_match(sdk: AsyncJulep, owner: Owner, mode: str) -> None:
    near = [await owner.add(f"Rain {number}", "Rain, rain and more rain tomorrow.", metadata={"kind": "near"}) for number in range(12)]
    far = await owner.add(
        "Far", "Rain was one of the things that nobody spoke about at the fair.", metadata={"kind": "far", "tags": ["a", 1]}
    )
    await indexed(sdk, far, *near)
    for wanted in ({"kind": "far"}, {"tags": "a"}, {"tags": ["a", 1]}, {"kind": "far", "tags": "1"}):
        found = (await by_mode(owner, mode, "rain tomorrow", metadata_filter=wanted, limit=3, confidence=-1)).docs
        assert [hit.title for hit in found] == ["Far"]
        assert found[0].metadata == {"kind": "far", "tags": ["a", 1]}
    assert (await by_mode(owner, mode, "rain", metadata_filter={"kind": "none"}, confidence=-1)).docs == []
    everything = (await by_mode(owner, mode, "rain", metadata_filter={"kind": "near"}, limit=50, confidence=-1)).docs
    assert len(everything) == 12
    assert len((await by_mode(owner, mode, "rain", confidence=-1)).docs) == 10


@pytest.mark.parametrize("mode", MODES)
async def test_embeddings_of_hits_are_shown_unless_they_are_not_wanted(topics: Owner, mode: str) -> None:
    shown = (await by_mode(topics, mode, "queen and king")).docs
    hidden = (await by_mode(topics, mode, "queen and king", include_embeddings=False)).docs
    assert [len(hit.snippet.embedding) for hit in shown] == [512] * len(shown)
    assert [hit.snippet.embedding for hit in hidden] == [None] * len(shown)
    assert [hit.id for hit in hidden] == [hit.id for hit in shown]


@pytest.mark.parametrize("mode", MODES)
async def test_search_sees_only_the_docs_of_its_owner(sdk: AsyncJulep, stranger: AsyncJulep, topics: Owner, mode: str) -> None:
    others = [await new_owner(client, kind) for client in (sdk, stranger) for kind in ("agents", "users")]
    for other in others:
        await indexed(sdk if other in others[:2] else stranger, await other.add("Theirs", "The queen attacks the king, and it rains."))
    for foreign in (
        Owner("agents", others[2].id, sdk.agents.docs),
        Owner("users", topics.id, sdk.users.docs),
        Owner("agents", str(uuid4()), sdk.agents.docs),
    ):
        answer = await by_mode(foreign, mode, "queen", confidence=-1)
        assert (answer.docs, answer.warnings) == ([], [])
    found = (await by_mode(topics, mode, "queen and rain", confidence=-1)).docs
    assert "Theirs" not in {hit.title for hit in found}
    for other in others:
        (hit,) = (await by_mode(other, mode, "queen and rain", confidence=-1)).docs
        assert (hit.title, hit.owner.id, hit.owner.role) == ("Theirs", other.id, other.kind[:-1])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"text": None}, None),
        ({"mode": "fuzzy", "text": "a"}, None),
        ({"text": "a" * 10_001}, "text"),
        ({"text": "a", "limit": 0}, "limit"),
        ({"text": "a", "limit": 51}, "limit"),
        ({"text": "a", "lang": "not a tag"}, "lang"),
        ({"text": "a", "trigram_similarity_threshold": 1.5}, "trigram_similarity_threshold"),
        ({"text": "a", "metadata_filter": []}, "metadata_filter"),
        ({"text": "a", "include_embeddings": "no"}, "include_embeddings"),
        ({"vector": []}, "vector"),
        ({"vector": [1.0] * 4_001}, "vector"),
        ({"vector": ["x"]}, "vector"),
        ({"vector": [1.0], "confidence": 1.1}, "confidence"),
        ({"vector": [1.0], "mmr_strength": 1}, "mmr_strength"),
        ({"text": "a", "vector": [1.0], "alpha": -0.1}, "alpha"),
        ({"text": "a", "vector": [1.0], "k_multiplier": 0}, "k_multiplier"),
        ({"text": "a", "vector": [1.0], "k_multiplier": 11}, "k_multiplier"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_search_beyond_a_limit_is_unprocessable_and_names_the_field(raw: Client, owner: Owner, body: Any, field: str | None) -> None:
    refused = await raw.post(f"{owner.path}/search", json=body)
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"][:2] == (["body", field] if field else ["body"])
