"""Every parser of foreign bytes, fed with whatever: it gives what it can, or refuses in its own words; nothing else ever comes out of it.

Base64 and ranges have laws of their own in `test_files.py`; PDFs that hurt a process on purpose are in `tests/integration/test_extract.py`.
"""

import asyncio
import base64
import json
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mentha.chat import messages as drafting
from mentha.chat.answer import Head
from mentha.chat.responses import items, shape
from mentha.core import clock, config
from mentha.core.errors import FileInvalid, MenthaError, OutboundError, ProviderRefused
from mentha.core.json import JsonInvalid, dumps, loads_hostile
from mentha.providers import answers, echo
from mentha.providers.answers import BadAnswer, ErrorAnswer
from mentha.providers.sse import Events
from mentha.sandbox import extract_worker
from mentha.tools import file_parts
from mentha.tools.calls import ToolFailed
from mentha.tools.mcp import answers as mcp_answers
from mentha.tools.mcp.client import connected
from mentha.tools.mcp.target import Target
from mentha.tools.outbound import Outbound
from mentha.wire import responses as wire
from mentha.wire.chat import Message
from mentha.wire.conversations import CreateItems
from mentha.wire.responses import CreateResponse
from tests.support import pdfs
from tests.support.wild_server import Seen, answer, saying, wild_server

SOME = settings(max_examples=100, deadline=None)
NUMBERS = (
    st.integers(-3, 3) | st.sampled_from([2**31, 2**53, 2**63, 2**64 - 1, -(2**63)]) | st.floats(allow_nan=False, allow_infinity=False)
)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=6)


def objects(*names: str, values: Any = None) -> Any:
    """JSON objects with some of these members, of whatever."""
    return st.dictionaries(st.sampled_from(names), ANY if values is None else values, max_size=len(names))


ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6
)


def outcome(work: Callable[[], Any]) -> tuple[Any, MenthaError | None]:
    """What work gives, or how it is refused."""
    try:
        return work(), None
    except MenthaError as error:
        return None, error


# --- providers: server-sent events, and the JSON in them

LINES = st.sampled_from([b"data: {}", b"data:x", b"data", b"event: e", b": c", b"", b"", b"id: 1", b"retry: 0", "data: hä".encode()])
STREAMS = st.lists(LINES | st.binary(max_size=8), max_size=12).map(b"\n".join) | st.lists(LINES, max_size=12).map(b"\r\n".join)


@SOME
@given(stream=STREAMS, cuts=st.lists(st.integers(0, 120), max_size=6))
def test_stream_of_events_is_the_same_however_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    def split(places: list[int]) -> list[bytes]:
        events, bounds = Events(1_000), [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
        found = [data for begin, end in zip(bounds, bounds[1:], strict=False) for data in events.feed(stream[begin:end])]
        return [*found, *events.end()]

    assert split(cuts) == split([]) == split(list(range(len(stream))))


CALLS = st.lists(objects("id", "index", "type", "function", values=ANY | objects("name", "arguments")) | ANY, max_size=3)
MESSAGES = objects("role", "content", "tool_calls", "refusal", values=ANY | CALLS)
CHOICES = st.lists(objects("message", "delta", "finish_reason", "index", "logprobs", values=MESSAGES | ANY) | ANY, max_size=2)
COUNTS = objects("prompt_tokens", "completion_tokens", "total_tokens", values=LEAVES)
PAYLOADS = objects("choices", "usage", "model", "error", "data", values=CHOICES | COUNTS | ANY) | ANY


@settings(max_examples=200, deadline=None)
@given(payloads=st.lists(PAYLOADS, max_size=3))
def test_answer_of_a_provider_has_its_form_or_is_a_bad_answer(payloads: list[Any]) -> None:
    stream = answers.Chunks()
    for payload in payloads:
        for read in (lambda each: answers.completion(each, "m"), stream.delta, answers.chunk, answers.model_names):
            try:
                found: Any = read(loads_hostile(orjson.dumps(payload)))
            except (BadAnswer, ErrorAnswer):
                continue
            usage = getattr(found, "usage", None)
            assert usage is None or all(0 <= count <= 2 * answers.TOKENS_MAX for count in (usage.prompt_tokens, usage.completion_tokens))
            for call in getattr(found, "tool_calls", None) or ():
                assert isinstance(call, dict)
            assert isinstance(getattr(found, "content", None), str | None)


ASKED = objects("role", "content", values=st.lists(objects("type", "text") | ANY, max_size=2) | st.just("call:f") | ANY)


@SOME
@given(asked=objects("messages", "tools", "stream", values=st.lists(ASKED | objects("function", "type"), max_size=3) | ANY))
@example({"messages": [{"role": "user", "content": [1]}]})
@example({"messages": [{"role": "user", "content": "call:f"}], "tools": [3]})
def test_model_that_calls_nobody_answers_any_request_or_refuses_it(asked: Any) -> None:
    async def work() -> list[bytes]:
        return await echo.events(orjson.dumps(asked))

    events, refusal = outcome(lambda: asyncio.run(work()))
    assert isinstance(refusal, ProviderRefused) if refusal else events


# --- MCP: what servers say, and the stream in which they say it

MCP = objects("name", "description", "inputSchema", "content", "contents", "messages", "arguments", "uri", "type", "text", "isError")


@SOME
@given(told=objects("content", "contents", "messages", "structuredContent", values=st.lists(MCP, max_size=3) | ANY) | MCP)
def test_result_of_an_mcp_server_is_shown_whatever_it_is(told: Any) -> None:
    for read in (mcp_answers.tool_of, mcp_answers.resource_of, mcp_answers.prompt_of, mcp_answers.contents_of, mcp_answers.messages_of):
        dumps(read(told))
    dumps(mcp_answers.for_model(mcp_answers.result_of(told)))


GREETING = json.dumps({"jsonrpc": "2.0", "id": 0, "result": {}}).encode()
MCP_STREAMS = (
    b"data: {}\n\n",
    b"event: message\ndata: \n\n",
    b"event: message\ndata: " + GREETING + b"\n\n",
    b"event: endpoint\ndata: http://10.0.0.1/\n\n",
    b"event: endpoint\ndata: \xff\n\n",
    b"id: \0\nevent: \xff\xfe\ndata: [1,\ndata: 2\n\n",
    b"data: " + b"[" * 50_000 + b"\n\n",
    b"data: " + b"x" * 200_000,
    b"\r\r\n\n\r:" + bytes(range(256)),
)


@asynccontextmanager
async def wild_mcp(stream: bytes) -> AsyncGenerator[str]:
    """The address of a server that answers every request with this stream."""

    def told(_: Seen) -> bytes:
        return answer(body=stream, content_type="text/event-stream")

    async with wild_server(saying(told)) as server:
        yield server.url(target="/mcp")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:Unclosed <MemoryObject:ResourceWarning")
async def test_stream_of_an_mcp_server_that_makes_no_sense_is_a_failed_connection() -> None:
    """A dozen streams by hand and not thousands by chance: each is a connection by the SDK, whose parser it is."""
    outbound = Outbound(config.load(environ={}, flags={"outbound_allow": ("127.0.0.1",)}))

    async def ends(stream: bytes, transport: Any) -> None:
        async with wild_mcp(stream) as url:
            with pytest.raises((ToolFailed, OutboundError)):
                await connected(UUID(int=7), Target(transport, url=url), outbound, lambda: None, timeout_s=0.5)

    await asyncio.gather(*(ends(stream, transport) for stream in MCP_STREAMS for transport in ("http", "sse")))


# --- clients: bodies


@SOME
@given(raw=st.binary(max_size=40) | ANY.map(orjson.dumps) | st.integers(1, 200).map(lambda depth: b"[" * depth + b"]" * depth))
@example(b'{"a\\u0000":["\\u0000"]}')
@example(b'"\\ud800"')
@example(b"[" * 66 + b"]" * 66)
@example(b"1e999")
def test_body_is_json_of_limited_depth_without_nul_or_refused(raw: bytes) -> None:
    try:
        value = loads_hostile(raw, depth_max_levels=64)
    except JsonInvalid:
        return
    assert b"\\u0000" not in orjson.dumps(value)
    # The limit counts what is inside of the value.
    assert depth(value) <= 65


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


KINDS = st.sampled_from(
    ["message", "function_call", "function_call_output", "input_text", "output_text", "input_image", "refusal", "function"]
)
URLS = st.sampled_from(["mentha://files/x", f"mentha://files/{UUID(int=1)}", "https://example.com/a.png", "data:image/png;base64,AA=="])
PART = st.fixed_dictionaries({"type": KINDS | ANY}, optional={"text": st.text(max_size=3) | ANY, "image_url": URLS | ANY, "refusal": ANY})
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool"]) | ANY
ITEM = st.fixed_dictionaries(
    {"type": KINDS | ANY},
    optional={
        "role": ROLES,
        "content": st.lists(PART, max_size=2) | ANY,
        "call_id": LEAVES,
        "name": LEAVES,
        "arguments": LEAVES,
        "output": ANY,
    },
)
TOOL = st.fixed_dictionaries({"type": KINDS | ANY}, optional={"name": st.sampled_from(["f", ""]) | ANY, "parameters": ANY})
RESPONSE = st.fixed_dictionaries(
    {"input": st.text(max_size=3) | st.lists(ITEM, max_size=3) | ANY},
    optional={
        "model": st.sampled_from(["m", "agent:a"]) | LEAVES,
        "tools": st.lists(TOOL, max_size=2) | ANY,
        "tool_choice": TOOL | ANY,
        "text": objects("format", "verbosity", values=objects("type", "schema", "name") | ANY),
        "reasoning": objects("effort", "summary"),
        "metadata": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2) | ANY,
        "conversation": st.just(f"conv_{UUID(int=1).hex}") | objects("id") | ANY,
        "previous_response_id": LEAVES,
        "include": ANY,
    },
)


@settings(max_examples=200, deadline=None)
@given(body=RESPONSE)
def test_request_for_a_response_makes_a_turn_or_is_refused_in_words(body: Any) -> None:
    try:
        request = CreateResponse.model_validate(body)
    except ValidationError:
        return
    asked, refusal = outcome(lambda: shape.asked(request, Head(uuid4(), clock.now())))
    if refusal:
        assert refusal.status in (400, 404, 422)
        assert len(refusal.message) < 1_000
        return
    assert [items.entry_of(item["id"]) for item in asked.input]
    orjson.dumps(asked.skeleton)


@settings(max_examples=200, deadline=None)
@given(body=objects("items", "metadata", values=st.lists(ITEM, max_size=3)))
def test_items_for_a_conversation_are_messages_or_refused_in_words(body: Any) -> None:
    try:
        request = CreateItems.model_validate(body)
    except ValidationError:
        return
    made, refusal = outcome(lambda: items.messages_of(wire.items(request.items, "items"), "items"))
    assert "input[" not in refusal.message if refusal else len(made) <= len(request.items)


MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
CHAT_PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "tool_result"])},
    optional={
        "text": st.text(max_size=3),
        "image_url": st.fixed_dictionaries({"url": URLS}),
        "file": st.just({"file_id": str(UUID(int=1))}),
        "tool_use_id": st.just("c"),
        "content": st.just([{"type": "text", "text": "x"}]),
    },
)
CHAT = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"])},
    optional={
        "content": st.text(max_size=3) | st.lists(CHAT_PART | st.text(max_size=3), max_size=3),
        "tool_call_id": st.just("c"),
        "tool_calls": st.just([{"function": {"name": "f"}}]),
    },
)


@settings(max_examples=200, deadline=None)
@given(message=CHAT)
def test_every_message_of_a_chat_is_items_of_a_conversation(message: Any) -> None:
    try:
        checked = MESSAGE.validate_python(message)
    except ValidationError:
        return
    for draft in drafting.drafts([checked], ()):
        entry_id = uuid4()
        made = items.items_of(entry_id, draft.message)
        assert made
        assert {items.entry_of(item["id"]) for item in made} == {entry_id}
        orjson.dumps(made)


# --- files: what they are, and what is in them

HEADS = st.sampled_from(
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"GIF8",
        b"RIFF1234WEBP",
        b"RIFF",
        b"%PDF-1.7",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
    ]
)


@settings(max_examples=200, deadline=None)
@given(head=HEADS, rest=st.binary(max_size=30) | st.text(max_size=10).map(str.encode), whole=st.booleans())
@example(b"\xff\xfe", b"\x00", True)
@example(b"\xff\xfe", b"\x00\xd8\x41\x00", True)
def test_file_of_any_bytes_is_an_image_a_pdf_or_text_or_refused(head: bytes, rest: bytes, whole: bool) -> None:
    raw = head + rest
    kind = file_parts.kind_of(raw[: file_parts.HEAD_BYTES])
    assert (kind == "image") == (file_parts.image_type(raw) is not None)
    if kind == "image":
        media, coded = file_parts.image_part(raw, "auto")["image_url"]["url"].removeprefix("data:").split(";base64,")
        assert media.startswith("image/")
        assert base64.b64decode(coded) == raw
        return
    text, refusal = outcome(lambda: file_parts.text_of(raw, name="a\nb", whole=whole))
    if refusal:
        assert isinstance(refusal, FileInvalid)
        assert "\n" not in refusal.message
        return
    assert "\0" not in text
    text.encode()
    orjson.dumps(file_parts.text_part("a\nb", text, 5))


WHOLE = pdfs.pdf(["One (1)", "Two"], compress=False)
PACKED = pdfs.pdf(["One (1)", "Two"])
WORDS = st.sampled_from(
    [b"<<", b">>", b"[", b"]", b"(", b"R", b"obj", b"stream\n", b"/Length -1", b"/Kids", b"/Filter /LZWDecode", b"2 0 R", b"Tj", b"\xff"]
)
CHANGES = st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 12), WORDS | st.binary(max_size=4)), min_size=1, max_size=6)


# The same examples each time: one that takes a process its whole time is for the tests of processes.
@settings(max_examples=150, deadline=None, derandomize=True)
@given(raw=st.sampled_from([WHOLE, PACKED]), changes=CHANGES)
def test_pdf_with_any_damage_gives_text_or_a_known_fault(raw: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    for at, count, put in changes:
        raw = raw[:at] + put + raw[at + count :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = extract_worker.extracted(raw, 1_000)
    assert found.get("failed") in ("encrypted", "broken") or isinstance(found["text"], str)
    json.dumps(found, ensure_ascii=False).encode()
