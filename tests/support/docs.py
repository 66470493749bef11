"""What the tests of documents share: owners, waiting for vectors, and what searches found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from julep import AsyncJulep

from tests.support.talk import until

OwnerKind = Literal["agents", "users"]


@dataclass(frozen=True, slots=True)
class Owner:
    """An agent or a user, and the SDK's methods for its docs.

    Attributes:
        kind: as paths have it.
        docs: `client.agents.docs` or `client.users.docs`.
    """

    kind: OwnerKind
    id: str
    docs: Any

    @property
    def path(self) -> str:
        """Where it is over HTTP."""
        return f"/{self.kind}/{self.id}"

    async def add(self, title: str, content: str | Sequence[str] = "", **more: Any) -> Any:
        """A new doc; a field that the SDK has no argument for goes into `extra_body`."""
        return await self.docs.create(self.id, title=title, content=content or title, **more)

    async def search(self, text: str | None = None, **options: Any) -> Any:
        """What the SDK gives for a search."""
        return await self.docs.search(self.id, **({} if text is None else {"text": text}), **options)

    async def found(self, text: str | None = None, **options: Any) -> list[str]:
        """The titles that a search finds, best first."""
        return [doc.title for doc in (await self.search(text, **options)).docs]

    async def delete(self, doc_id: str) -> Any:
        """Delete one doc by the owner's path."""
        return await self.docs.delete(doc_id, **{f"{self.kind[:-1]}_id": self.id})


async def new_owner(sdk: AsyncJulep, kind: OwnerKind = "agents") -> Owner:
    """A new agent or user without docs."""
    if kind == "agents":
        return Owner(kind, (await sdk.agents.create(name="Mia", model="gpt-x")).id, sdk.agents.docs)
    return Owner(kind, (await sdk.users.create(name="Ann")).id, sdk.users.docs)


async def indexed(sdk: AsyncJulep, *docs: Any) -> None:
    """Return once all of the docs have their vectors."""
    for doc in docs:
        await until_status(sdk, doc, "succeeded")


async def until_status(sdk: AsyncJulep, doc: Any, status: str) -> None:
    """Return once the vectors of a doc are in this state."""

    async def is_there() -> bool:
        return (await sdk.docs.get(doc.id, include_embeddings=False)).embedding_status == status  # type: ignore[attr-defined]  # ours

    await until(is_there)


async def vector_of(sdk: AsyncJulep, text: str) -> list[float]:
    """The vector of a text, by the embedder that searches use."""
    return (await sdk.docs.embed(text=text)).vectors[0]
