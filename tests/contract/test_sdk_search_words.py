"""Search by words, by the official SDK. Section 5.4 of the behaviour spec, with what is to be done better."""

from typing import Any

import pytest
from julep import AsyncJulep

from tests.support.docs import Owner, indexed, new_owner

MACHINE = {
    "Descaling": "To remove limescale, fill the tank with water and vinegar and hold the steam button.",
    "Grinder": "The grinder has twelve steps. Finer coffee takes longer to run through.",
    "Warranty": "The warranty lasts two years from the day of purchase. Keep the receipt.",
    "Café au lait": "Heat the milk to sixty degrees. Señor Nuñez prefers crème brûlée with it.",
}


@pytest.fixture
async def owner(sdk: AsyncJulep) -> Owner:
    return await new_owner(sdk)


@pytest.fixture
async def machine(owner: Owner) -> Owner:
    """An agent with some docs, whose vectors nobody waited for."""
    for title, content in MACHINE.items():
        await owner.add(title, content)
    return owner


def assert_best_first(docs: list[Any]) -> None:
    """Scores fall, and distances tell the same."""
    scores = [doc.score for doc in docs]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert [doc.distance for doc in docs] == pytest.approx([1 - score for score in scores])


async def test_question_in_natural_words_finds_the_doc_that_has_some_of_them(machine: Owner) -> None:
    found = (await machine.search("How can I get rid of the limescale inside my espresso machine?")).docs
    assert [doc.title for doc in found] == ["Descaling"]
    assert (found[0].owner.id, found[0].owner.role) == (machine.id, "agent")
    assert (found[0].snippet.index, found[0].snippet.content) == (0, MACHINE["Descaling"])
    assert_best_first(found)


async def test_words_are_searched_before_there_are_vectors(owner: Owner) -> None:
    await owner.add("Descaling", MACHINE["Descaling"])
    assert await owner.found("limescale") == ["Descaling"]


async def test_doc_with_more_of_the_words_comes_first_and_with_the_phrase_before_all(owner: Owner) -> None:
    await owner.add("one", "A green bicycle for sale, with a bell and two baskets.")
    await owner.add("apart", "The bicycle has a bell, and its colour is of a very dark green.")
    await owner.add("phrase", "A bell, two baskets: the dark green bicycle is for sale here.")
    await owner.add("other", "A tricycle for small children.")
    found = (await owner.search("dark green bicycle")).docs
    assert [doc.title for doc in found] == ["phrase", "apart", "one"]
    assert_best_first(found)


async def test_rare_word_counts_more_than_one_that_most_docs_have(owner: Owner) -> None:
    for number in range(8):
        await owner.add(f"Report {number}", f"The report of quarter {number} about sales.")
    await owner.add("Whales", "A note about whales.")
    assert (await owner.found("report on whales"))[0] == "Whales"


async def test_word_in_the_title_counts_more_than_in_the_text(owner: Owner) -> None:
    await owner.add("Notes", "There is something about penguins here.")
    await owner.add("Penguins", "There is something about them here.")
    assert await owner.found("penguins") == ["Penguins", "Notes"]


@pytest.mark.parametrize("text", ["cafe", "CAFÉ", "senor nunez", "Creme Brulee", "crème BRÛLÉE"])
async def test_accents_and_case_do_not_matter(machine: Owner, text: str) -> None:
    assert await machine.found(text) == ["Café au lait"]


async def test_beginning_of_a_word_finds_it_where_no_doc_has_it_as_a_word(machine: Owner) -> None:
    assert await machine.found("limesc") == ["Descaling"]
    await machine.add("Limes", "Limes are green.")
    assert await machine.found("limes") == ["Limes"]


async def test_misspelled_word_is_found_but_never_before_one_that_is_there(sdk: AsyncJulep, owner: Owner) -> None:
    docs = [
        await owner.add("Kettle", "Kettle. The kettle boils: a kettle for the kitchen."),
        await owner.add(
            "Long", "Somewhere in a very long text about many other things there is also mention of a toaster, among much else."
        ),
    ]
    await indexed(sdk, *docs)
    assert await owner.found("kettel") == ["Kettle"]
    found = (await owner.search("kettel ktetle ketttle kettlle toaster")).docs
    assert [doc.title for doc in found] == ["Long", "Kettle"]
    assert_best_first(found)
    assert await owner.found("kettel ktetle ketttle kettlle toaster", limit=1) == ["Long"]
    # The order of words is also that of a hybrid search that goes by words alone.
    assert await owner.found("kettel ktetle ketttle kettlle toaster", limit=1, extra_body={"mode": "hybrid", "alpha": 0}) == ["Long"]


async def test_trigram_threshold_says_how_alike_words_must_be_and_one_switches_typos_off(sdk: AsyncJulep, owner: Owner) -> None:
    await indexed(sdk, await owner.add("Kettle", "The kettle boils."))
    for threshold, found in ((1.0, []), (0.9, []), (0.3, ["Kettle"]), (0.0, ["Kettle"]), (None, ["Kettle"])):
        assert await owner.found("kettel", trigram_similarity_threshold=threshold) == found, threshold
    assert await owner.found("kettle", trigram_similarity_threshold=1.0) == ["Kettle"]


STEMMED = [
    ("german", "Die Häuser am Ufer werden im Sommer gestrichen.", "streichen haus", "de-DE"),
    ("german", "Die Katzen schlafen in der Sonne und sie träumen.", "katze", "en-US"),
    ("french", "Les chevaux galopaient dans les prairies avec nous.", "galoper cheval prairie", "fr"),
    ("spanish", "Los niños cantaban canciones en el jardín de la escuela.", "cantar niño", "es-MX"),
    ("english", "The children were running through the gardens of the school.", "run garden", "en-US"),
]
SPACELESS = [
    ("chinese", "北京大学图书馆每天早上八点开门。", "图书馆", "zh-CN"),
    ("chinese", "北京大学图书馆每天早上八点开门。", "京", "zh"),
    ("japanese", "この電車は東京駅に七時に着きます。", "東京駅", "ja"),
    ("thai", "ห้องสมุดเปิดทุกวันตั้งแต่แปดโมงเช้า", "ห้องสมุด", "th-TH"),
]


@pytest.mark.parametrize(("language", "text", "query", "lang"), STEMMED + SPACELESS)
async def test_text_is_searched_by_the_rules_of_its_language(owner: Owner, language: str, text: str, query: str, lang: str) -> None:
    doc = await owner.add("-", text)
    await owner.add("other", "Nothing of it / 无关 / 無関係")
    assert doc.language == language
    assert await owner.found(query, lang=lang) == ["-"]


async def test_languages_live_side_by_side_in_one_owner(owner: Owner) -> None:
    for _, text, *_ in (STEMMED[0], STEMMED[3], STEMMED[4], SPACELESS[0]):
        await owner.add(text[:5], text)
    for _, text, query, lang in (STEMMED[0], STEMMED[3], STEMMED[4], SPACELESS[0]):
        assert (await owner.found(query, lang=lang))[0] == text[:5]


async def test_language_that_is_given_decides_how_words_are_reduced(owner: Owner) -> None:
    await owner.add("G", "Häuser", extra_body={"language": "de"})
    await owner.add("E", "Häuser", extra_body={"language": "en-GB"})
    assert await owner.found("Haus", lang="de") == ["G"]
    assert sorted(await owner.found("Häuser")) == ["E", "G"]


@pytest.mark.parametrize("text", ["", "   ", "?!", "the of and", "🤷", "\0"])
async def test_query_without_a_word_that_tells_something_finds_nothing(machine: Owner, text: str) -> None:
    answer = await machine.search(text)
    assert answer.docs == []
    assert answer.time > 0


@pytest.mark.parametrize(
    "text",
    [
        "limescale'); DROP TABLE docs; --",
        "limescale:* & !water | <-> 'x' \\",
        '"limescale" -water (OR) NOT',
        "#limescale @limescale limescale/limescale",
        "limescale\0",
        "l\u00ec\u0301mescale " + "\u0301" * 500,
        "limescale " + "x" * 9_000,
        "limescale " + "word " * 1_000,
        "limescale 'a''b' \\' ''",
    ],
    ids=range(9),
)
async def test_query_may_hold_any_characters(machine: Owner, text: str) -> None:
    assert (await machine.found(text, limit=1)) == ["Descaling"]


async def test_owner_is_no_word_that_a_query_could_name(machine: Owner) -> None:
    tag = f"a{machine.id.replace('-', '')}"
    for text in (tag, f"#{tag}", f"'#{tag}'", machine.id):
        assert await machine.found(text) == []


async def test_misspelled_word_in_a_query_of_many_words_is_looked_for_only_where_the_caller_says_how_alike(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="a")
    await sdk.agents.docs.create(agent.id, title="kettle", content="How to descale a kettle")
    many = "dscale " + " ".join(
        f"{word}ish" for word in ("green", "blue", "red", "tall", "small", "round", "square", "cold", "warm", "soft", "hard", "old", "new")
    )
    plain = await sdk.agents.docs.search(agent.id, text=many)
    asked = await sdk.agents.docs.search(agent.id, text=many, trigram_similarity_threshold=0.3)
    assert [len(plain.docs), len(asked.docs)] == [0, 1]
