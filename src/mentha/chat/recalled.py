"""What a turn recalls: which messages make the query, and what the documents found become. Pure; `recall.py` searches.

Source: section 4.7 of the behaviour spec. The query is what people said, in their own words: no roles, no templates, no keywords.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mentha.core.json import JsonObject
from mentha.wire.chat import Message, TextPart
from mentha.wire.recall import SHAPES, HybridDocSearch, TextOnlyDocSearch, VectorDocSearch

Options = VectorDocSearch | TextOnlyDocSearch | HybridDocSearch
_SAID_BY = ("user", "assistant")
# In a session without options, a document that is not near by meaning must have this much of the words: a chance word in common must not
# put it before the model. Measured on the retrieval set of the bench: from 0.1 to 0.4 nothing right is lost. A lone word that is misspelled
# scores some 0.2.
DEFAULT_WORDS_MIN = 0.18


@dataclass(frozen=True, slots=True)
class Recalled:
    """Documents for one turn.

    Attributes:
        references: as the answer shows them, best first.
        for_templates: as templates see them: one for each document, with its pieces in the order of its text.
        warnings: what could not be done.
    """

    references: list[JsonObject] = field(default_factory=list[JsonObject])
    for_templates: list[JsonObject] = field(default_factory=list[JsonObject])
    warnings: list[str] = field(default_factory=list[str])


def options_of(stored: JsonObject | None) -> Options:
    """The options of a session; one without any searches by meaning and by words, since meaning alone misses names, codes and typos."""
    if not stored:
        return HybridDocSearch.model_validate({})
    return SHAPES[stored.get("mode", "vector")].model_validate(stored)


def said(messages: Sequence[Message]) -> list[str]:
    """The texts of the new messages of users and assistants, in order; messages without text make none."""
    texts = [_text(message) for message in messages if message.role in _SAID_BY]
    return [text for text in texts if text.strip()]


def said_before(messages: Sequence[JsonObject]) -> list[str]:
    """The texts of stored messages, likewise."""
    texts = [_stored_text(message.get("content")) for message in messages]
    return [text for text in texts if text.strip()]


def by_words(texts: Sequence[str], chars_max: int) -> str:
    """What is searched for by words: the last thing that was said."""
    return texts[-1][:chars_max]


def by_meaning(texts: Sequence[str], chars_max: int) -> tuple[str, ...]:
    """What is embedded: the last things that were said, of a longer text the end; and once more, by itself, what was said last.

    Where the subject changes, the last words alone tell the new one; where it goes on ("and how often?"), those before them do.
    """
    together, last = "\n\n".join(texts)[-chars_max:], texts[-1][-chars_max:]
    return (together,) if together == last else (together, last)


def for_templates(references: Sequence[JsonObject]) -> list[JsonObject]:
    """References to pieces as the documents that templates print; the best document first."""
    docs: dict[str, JsonObject] = {}
    for reference in references:
        doc = docs.setdefault(str(reference["id"]), {"title": reference["title"], "metadata": reference["metadata"], "pieces": []})
        doc["pieces"].append((reference["snippet"]["index"], reference["snippet"]["content"]))
    return [
        {"title": doc["title"], "content": [text for _, text in sorted(doc["pieces"])], "metadata": doc["metadata"]}
        for doc in docs.values()
    ]


def _text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part if isinstance(part, str) else part.text for part in message.content if isinstance(part, str | TextPart))


def _stored_text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("type") == "text")
    return content if isinstance(content, str) else ""
