"""Laws of Responses over generated turns: the order of events, the whole against its pieces, and items against messages."""

import uuid
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.chat.answer import NO_NOTES
from mentha.chat.responses import items
from mentha.chat.responses.events import Events, replayed
from mentha.providers.types import Completion, Usage
from mentha.wire import responses as wire

texts = st.text(max_size=12)
names = st.sampled_from(("f", "get-weather"))
calls = st.lists(st.tuples(names, texts), max_size=3)
# What a model says and calls in each round that the server runs, then what it ends with.
rounds = st.lists(st.tuples(st.lists(texts, max_size=3), st.lists(names, min_size=1, max_size=2)), max_size=3)
FRESH: Any = {"object": "response", "status": "in_progress", "output": [], "mentha": {}}


def shaped(made: list[tuple[str, str]], **more: Any) -> list[Any]:
    return [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}, **more}
        for place, (name, arguments) in enumerate(made)
    ]


def parsed(stream: bytes) -> list[Any]:
    """The events of a stream; each is named like its type."""
    found = []
    for event in stream.split(b"\n\n")[:-1]:
        name, data = event.split(b"\n", 1)
        found.append(orjson.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    return found


def told(output: list[Any]) -> list[tuple[str, Any]]:
    return [
        (item["name"], item["arguments"]) if item["type"] == "function_call" else ("text", item["content"][0]["text"]) for item in output
    ]


@settings(max_examples=60, deadline=None)
@given(rounds, st.lists(texts, max_size=4), calls, st.sampled_from(("stop", "length", "content_filter")))
def test_events_of_any_turn_keep_their_order_and_say_what_the_whole_says(
    before: list[Any], said: list[str], asked: list[Any], finish: Any
) -> None:
    completion = Completion("assistant", "".join(said) or None, shaped(asked), finish, None, Usage(1, 2, 3), "gpt-x")
    streamed = Events(dict(FRESH), uuid.uuid4(), uuid.uuid4, streamed=True)
    pieces: list[bytes] = []
    for words, names_of in before:
        pieces += [streamed.text(piece) for piece in words if piece]
        pieces.append(streamed.tool_calls(shaped([(name, "{}") for name in names_of], auto_run=True)))
    pieces += [streamed.text(piece) for piece in said if piece]
    if asked:
        pieces.append(streamed.tool_calls(completion.tool_calls))
    whole = orjson.loads(streamed.whole(completion, [], [], NO_NOTES))
    pieces.append(streamed.last(finish, None, []))
    events = parsed(b"".join(pieces))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == f"response.{whole['status']}"
    assert events[-1]["response"] == whole
    assert_items(events[2:-1], whole["output"])
    unstreamed = Events(dict(FRESH), uuid.uuid4(), uuid.uuid4, streamed=False)
    at_once = orjson.loads(unstreamed.whole(completion, ["".join(words) for words, _ in before], [], NO_NOTES))
    assert (told(at_once["output"]), at_once["status"]) == (told(whole["output"]), whole["status"])
    again = parsed(b"".join(replayed(orjson.dumps(whole))))
    assert again[-1]["response"] == whole
    assert_items(again[2:-1], whole["output"])


def assert_items(events: list[Any], output: list[Any]) -> None:
    """Each item is added, filled and done before the next one, in its place; its pieces make what it is."""
    runs: list[list[Any]] = []
    for event in events:
        if event["type"] == "response.output_item.added":
            runs.append([])
        runs[-1].append(event)
    assert [run[-1]["item"] for run in runs] == output
    for place, (run, item) in enumerate(zip(runs, output, strict=True)):
        assert {event["output_index"] for event in run} == {place}
        assert {event.get("item_id", item["id"]) for event in run} == {item["id"]}
        assert (run[0]["item"]["status"], run[-1]["type"]) == ("in_progress", "response.output_item.done")
        deltas = "".join(event["delta"] for event in run if event["type"].endswith(".delta"))
        assert deltas == (item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"])
        kinds = [event["type"] for event in run]
        assert all(not (one.endswith(".done") and other.endswith(".delta")) for one, other in pairwise(kinds))


words = st.text(min_size=1, max_size=8)
message = st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(("user", "system", "assistant")), words)
call = st.builds(lambda name, text: {"type": "function_call", "call_id": name, "name": "f", "arguments": text}, words, words)
output = st.builds(lambda name, text: {"type": "function_call_output", "call_id": name, "output": text}, words, words)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(message, call, output), max_size=8))
def test_items_of_the_messages_that_items_make_are_the_same_items(given_items: list[Any]) -> None:
    messages = items.messages_of(wire.items(given_items))
    shown = [item for each in messages for item in items.items_of(uuid.uuid4(), each.model_dump(mode="json"))]
    fields = ("role", "call_id", "name", "arguments", "output")

    def plain(item: Any) -> Any:
        content = item.get("content")
        text = content[0]["text"] if isinstance(content, list) else content
        return ({name: item[name] for name in fields if name in item}, text)

    assert [plain(item) for item in shown] == [plain(item) for item in given_items]
    assert len({item["id"] for item in shown}) == len(shown)
    assert all(items.entry_of(item["id"]) for item in shown)
