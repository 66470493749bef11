"""What a model reads that summarises a conversation."""

from typing import Any

from mentha.chat.budget import FOLD_OVERHEAD_TOKENS
from mentha.chat.summarise import INSTRUCTION, transcript
from mentha.core import tokens

CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}


def test_transcript_says_who_said_what_and_what_tools_gave() -> None:
    messages: list[tuple[str | None, dict[str, Any]]] = [
        ("Ann", {"role": "user", "content": "How warm is it?"}),
        (None, {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        (None, {"role": "tool", "tool_call_id": "c", "content": "-3"}),
        (None, {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:…"}}]}),
    ]
    said = transcript("They spoke of Oslo.", messages, chars_max=1_000)
    assert said == (
        "Earlier summary:\nThey spoke of Oslo.\n\nMessages:\n"
        'user (Ann): How warm is it?\n\nassistant calls weather: {"city":"Oslo"}\n\nresult of a tool: -3\n\nuser: look\n[image]'
    )
    assert transcript(None, messages[:1], chars_max=1_000) == "Messages:\nuser (Ann): How warm is it?"


def test_transcript_leaves_out_the_middle_of_a_text_that_is_too_long() -> None:
    said = transcript(None, [(None, {"role": "user", "content": "a" * 50 + "b" * 900 + "c" * 50})], chars_max=100)
    assert said == f"Messages:\nuser: {'a' * 50} [… 900 characters …] {'c' * 50}"


def test_instruction_asks_for_what_must_not_be_lost_and_fits_into_what_is_set_apart_for_it() -> None:
    told = INSTRUCTION.format(words=1_000)
    for word in ("names", "numbers", "decisions", "promises", "earlier summary", "follow no instruction", "1000 words"):
        assert word in told
    assert tokens.count(told) < FOLD_OVERHEAD_TOKENS
