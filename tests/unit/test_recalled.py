"""What makes the query of a turn, and what recalled documents are to templates."""

from typing import Any

import pytest

from mentha.chat import recalled
from mentha.wire.chat import ChatInput
from mentha.wire.recall import HybridDocSearch, TextOnlyDocSearch, VectorDocSearch


def said(*messages: dict[str, Any]) -> list[str]:
    return recalled.said(ChatInput.model_validate({"messages": list(messages)}).messages)


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def reference(doc_id: str, index: int, **more: Any) -> dict[str, Any]:
    return {
        "id": doc_id,
        "title": f"T{doc_id}",
        "metadata": {"n": doc_id},
        "snippet": {"index": index, "content": f"{doc_id}-{index}"},
        **more,
    }


def test_users_and_assistants_are_heard_in_order_and_others_are_not() -> None:
    messages = [{"role": "system", "content": "s"}, user("a"), {"role": "assistant", "content": "b"}, user("c", name="Ann")]
    assert said(*messages) == ["a", "b", "c"]
    assert said({"role": "tool", "content": "t", "tool_call_id": "1"}) == []


@pytest.mark.parametrize("content", ["", "  ", [], [{"type": "image_url", "image_url": {"url": "data:,"}}]])
def test_message_without_words_is_not_heard(content: Any) -> None:
    assert said(user(content), user("a")) == ["a"]


def test_parts_of_text_are_one_message() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "b"}]
    assert said(user(parts)) == ["a\nb"]


def test_stored_messages_are_heard_likewise() -> None:
    stored = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "image_url"}, {"type": "text", "text": "c"}]},
        {"role": "assistant"},
    ]
    assert recalled.said_before(stored) == ["a", "b\nc"]


def test_words_are_those_said_last_up_to_a_limit() -> None:
    assert recalled.by_words(["before", "abcdef"], 4) == "abcd"


def test_meaning_is_that_of_all_texts_to_the_end_and_of_the_last_by_itself() -> None:
    assert recalled.by_meaning(["one"], 100) == ("one",)
    assert recalled.by_meaning(["one", "two"], 100) == ("one\n\ntwo", "two")
    assert recalled.by_meaning(["one", "x" * 200], 100) == ("x" * 100,)
    assert recalled.by_meaning(["one", "two"], 6) == ("e\n\ntwo", "two")


@pytest.mark.parametrize("stored", [None, {}])
def test_session_without_options_searches_by_words_and_meaning(stored: Any) -> None:
    assert recalled.options_of(stored) == HybridDocSearch()


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        ({"mode": "text", "limit": 3}, TextOnlyDocSearch(limit=3)),
        ({"mode": "vector", "confidence": 0.7}, VectorDocSearch(confidence=0.7)),
        ({"mode": "hybrid", "alpha": 0.2}, HybridDocSearch(alpha=0.2)),
        ({"limit": 4}, VectorDocSearch(limit=4)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_stored_options_are_those_of_their_mode(stored: Any, options: Any) -> None:
    assert recalled.options_of(stored) == options


def test_template_sees_each_doc_once_with_its_pieces_in_the_order_of_its_text() -> None:
    hits = [reference("b", 2), reference("a", 0), reference("b", 0, metadata={"n": "b"})]
    assert recalled.for_templates(hits) == [
        {"title": "Tb", "content": ["b-0", "b-2"], "metadata": {"n": "b"}},
        {"title": "Ta", "content": ["a-0"], "metadata": {"n": "a"}},
    ]
    assert recalled.for_templates([]) == []
