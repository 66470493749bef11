"""The retrieval set: passages and questions on which recall is measured.

A passage is what agents are given to keep: a paragraph of a manual, a policy, a recipe, a leaflet, minutes, or a fact about a person.
A question names the passages that answer it. The others on its topic are made to mislead: the same product with another fault, the same
policy at another office, the person with nearly the same name, the error code with two digits swapped, and the same topic in other
languages. No passage beside the `relevant` ones answers a question; to check that, the passages nearest to each question by an embedder
were gone through. The set is fixed: whoever changes it must measure again every figure that was taken on it.

All of it was written for this project, by a language model at its maintainers' order and not by native speakers of each language. Products,
firms, places and persons are invented, save for well-known history and geography. Its licence is the project's own, Apache-2.0.

    language  passages  questions
    en             193        100
    de              26         13
    es              26         11
    pt              26         12
    fr              25         12
    it              24         11
    zh              24         12
    ja              22         11
    ru               6          4
    th               6          3

    kind        questions  what it asks
    paraphrase         84  in other words than the answer's
    typo               29  with one or two words misspelled that matter
    keyword            27  three to five words, no sentence
    name               17  what is known about a person
    exact              16  a code, a number or a rare word
    cross              16  in another language than the answer's
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["paraphrase", "keyword", "typo", "exact", "cross", "name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One document. `lang` is a code of ISO 639-1, `text` has 80 to 700 characters, and `topic` is the same word in all languages."""

    id: str
    lang: str
    topic: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One search. `relevant` has the ids of one to three passages, the best first; no others answer it."""

    id: str
    lang: str
    kind: Kind
    text: str
    relevant: tuple[str, ...]


def load() -> tuple[list[Passage], list[Question]]:
    """All passages and all questions, in the order of their ids. Reads two files beside this module."""
    return [Passage(**line) for line in _lines("passages")], [_question(**line) for line in _lines("questions")]


def _question(*, relevant: list[str], **rest: Any) -> Question:
    return Question(relevant=tuple(relevant), **rest)


def _lines(name: str) -> list[dict[str, Any]]:
    text = Path(__file__).with_name(f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]
