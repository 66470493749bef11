"""A real HTTP server that speaks OpenAI's chat and embeddings API and answers as it is told: for tests and the bench.

It is no mock: the code under test opens a socket, sends bytes and reads bytes. What it answers is *scripted*; without a script it
answers every chat request with ``ok: <text of the last user message>``, and every request to `/embeddings` with vectors made from the
words of each text (`embedding`): the same text has the same vector, and texts that share words are near each other.

Three forms, one vocabulary::

    async with ModelServer() as server:              # in the loop of the test
        server.script("gpt-x", text("hello", chunks=3), error(429, "slow down", headers={"retry-after": "7"}))
        ...
        assert server.requests[0].json["messages"][0]["content"] == "hi"

    with running_model_server() as server: ...       # in a thread of its own: for synchronous tests and TestClient
    with spawned_model_server() as server: ...       # in a process of its own: for tests of a server process, and the bench
                                                     # (python -m tests.support.model_server --port 0; ends when its stdin closes)

The last two give a `ModelServerHandle`; it has the methods of `ModelServer`, over HTTP. Point a provider at `server.base_url`.

Replies (all are values; options of `Reply` may be added by `replace`):

    text("hi", chunks=3)            an answer; streamed in that many pieces when the request asks for a stream
    tool_calls([("name", {...})])   an answer that calls tools
    error(429, "message")           an HTTP error in OpenAI's shape
    garbage()                       200 with a body that is no JSON (in a stream: an event that is no JSON)
    sse_error("message", chunks=2)  a stream that sends two pieces, then an error event (without stream: 200 with an error body)
    drop()                          the connection closes without an answer
    drop(after_chunks=1)            ... or after the first piece of a stream (without stream: in the middle of the body)
    raw(b"...", b"...")             these bytes as the body, each in a TCP write and an HTTP chunk of its own
    gated(reply)                    the answer waits for `release`
    slow(reply)                     each piece of the stream waits for `release` (one release, one piece)
    hang()                          `gated(text(...))` by another name: no answer until it is released

`script(None, ...)` is for chat requests of any model; a model's own queue goes first. A reply is used once. `script("/models", ...)` is
for lists of models, `script("/embeddings", ...)` for embeddings of any model: there `text`, `gated` and `hang` give the vectors, and the
others do as they do to chat. `error(200, {...})` answers with any JSON.

Two kinds of names have a meaning: a model `facts-…` answers with every sentence like `Fact 12: …` that it is given, each once; a model `…-x1.3`
reports the tokens of each prompt, 1.3 times Mentha's count of it (`prompt_tokens`), where others report what the reply says.

Waiting without sleeps: `until_arrived(n)` returns once n chat requests have come in, `until_embedded(n)` once n requests for embeddings
have, `until_held(n)` once n replies wait at a gate, `until_disconnected(n)` once n clients have hung up before their answer was complete. Counts run from the start or the last `reset`.
On a handle the same waits exist as `wait_arrived(n)` … (they block) and as `until_arrived(n)` … (a thread blocks). `release()` lets go
all that are held now; `release(3)` lets go the next three, also those that are not held yet.

The control surface of the process form: `POST /_script`, `GET /_requests`, `POST /_release`, `POST /_reset`, `POST /_models`,
`GET /_wait?what=arrived&n=3&timeout_s=10`, with `GET /_arrived?n=3` as a short form.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import http.client
import math
import re
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import orjson

from mentha.core import tokens

WAIT_S = 10.0
HEAD_BYTES_MAX = 64_000
BODY_BYTES_MAX = 200_000_000
DIMENSIONS = 64
FACT = re.compile(r"Fact \d+: [^.]*\.")
COUNTING = re.compile(r".*-x(\d+(?:\.\d+)?)")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One scripted answer. Make it with the functions below, change it with `dataclasses.replace`."""

    kind: str = "text"
    content: str | None = "ok"
    chunks: int = 1
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = "stop"
    usage: dict[str, int] | None = field(default_factory=lambda: {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
    model: str | None = None
    done: bool = True
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    after_chunks: int | None = None
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came in; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


def text(content: str, **options: Any) -> Reply:
    """An answer of `content`; options as in `Reply` (chunks, usage, finish_reason, model, done)."""
    return Reply(content=content, **options)


def tool_calls(calls: Sequence[tuple[str, Any]], **options: Any) -> Reply:
    """An answer that calls tools: pairs of a name and arguments (a JSON value, or the text to send as it is). Ids are call_0, call_1, …"""
    shaped = [
        {
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else orjson.dumps(given).decode()},
        }
        for index, (name, given) in enumerate(calls)
    ]
    return Reply(**{"content": None, "finish_reason": "tool_calls", **options, "calls": shaped})


def error(
    status: int, body: Any = "it failed", *, headers: dict[str, str] | None = None, kind: str = "api_error", code: Any = None
) -> Reply:
    """An HTTP error: a text is put in OpenAI's shape, any other JSON value is sent as it is."""
    shaped = {"error": {"message": body, "type": kind, "code": code, "param": None}} if isinstance(body, str) else body
    return Reply(kind="error", status=status, body=shaped, headers=headers or {})


def garbage() -> Reply:
    """An answer that is no JSON."""
    return Reply(kind="garbage")


def sse_error(message: str = "it failed", *, chunks: int = 1, code: Any = "server_error", kind: str = "server_error") -> Reply:
    """An error inside of an answer that began with 200."""
    return Reply(kind="sse_error", content="partial", chunks=chunks, body={"error": {"message": message, "type": kind, "code": code}})


def drop(*, after_chunks: int | None = None) -> Reply:
    """The connection breaks: at once, or after that many pieces."""
    return Reply(kind="drop", content="one two three four", chunks=4, after_chunks=after_chunks)


def raw(*pieces: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """A body of these bytes; `text/event-stream` unless `headers` say otherwise."""
    return Reply(kind="raw", status=status, headers=headers or {}, pieces=[base64.b64encode(piece).decode() for piece in pieces])


def gated(reply: Reply) -> Reply:
    """`reply`, once it is released."""
    return replace(reply, gate="start")


def slow(reply: Reply) -> Reply:
    """`reply`, each of its pieces once it is released."""
    return replace(reply, gate="chunks")


def hang() -> Reply:
    """No answer until it is released."""
    return gated(text("released"))


class ModelServer:
    """The server. An async context manager; everything here belongs to the loop that entered it.

    Args:
        models: what `GET /v1/models` lists.
        record: keep every request in `requests`; off for long benches.
    """

    def __init__(self, *, models: Sequence[str] = ("gpt-x", "gpt-y"), port: int = 0, record: bool = True) -> None:
        self.models: list[str] = list(models)
        self.url = ""
        self._port = port
        self._record = record
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self.reset()

    @property
    def base_url(self) -> str:
        """What a provider's `base_url` has to be."""
        return f"{self.url}/v1"

    def reset(self) -> None:
        """Forget scripts, requests and counts; let go what is held."""
        for gate in getattr(self, "_held", ()):
            gate.set()
        self.requests: list[Recorded] = []
        self._scripts: dict[str | None, deque[Reply]] = {}
        self._held: list[asyncio.Event] = []
        self._credit = 0
        self._counts = {"arrived": 0, "embedded": 0, "disconnected": 0, "connections": 0}

    def script(self, model: str | None, *replies: Reply) -> None:
        """Queue replies for requests of `model`, or of any model where it is `None`."""
        self._scripts.setdefault(model, deque()).extend(replies)

    def release(self, count: int | None = None) -> None:
        """Let go the `count` oldest held replies or pieces, waiting ones and coming ones; without a count, all that are held now."""
        if count is None:
            count = len(self._held)
        for _ in range(min(count, len(self._held))):
            self._held.pop(0).set()
            count -= 1
        self._credit += count

    async def until_arrived(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Return once `count` chat requests have come in."""
        await self._until(lambda: self._counts["arrived"] >= count, timeout_s)

    async def until_embedded(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Return once `count` requests for embeddings have come in."""
        await self._until(lambda: self._counts["embedded"] >= count, timeout_s)

    async def until_held(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Return once `count` replies wait at a gate."""
        await self._until(lambda: len(self._held) >= count, timeout_s)

    async def until_disconnected(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Return once `count` clients have hung up before their answer was complete."""
        await self._until(lambda: self._counts["disconnected"] >= count, timeout_s)

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return self._counts["connections"]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=HEAD_BYTES_MAX, backlog=1_024)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    # From here on: one connection, one request, one reply.

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._counts["connections"] += 1
        try:
            while (request := await _read_request(reader)) is not None:
                await self._serve(request, _Wire(reader, writer))
        except _Dropped:
            pass
        except (_HungUp, ConnectionError, asyncio.IncompleteReadError):
            self._counts["disconnected"] += 1
            self._notify()
        except asyncio.CancelledError:
            pass  # The server is closing; asyncio's stream callback would log the cancellation as an error.
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, request: Recorded, wire: "_Wire") -> None:
        path = urlsplit(request.path).path
        if path.startswith("/_"):
            await self._control(path, request, wire)
            return
        if self._record:
            self.requests.append(request)
        if path.endswith("/models"):
            queue = self._scripts.get("/models")
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
            await self._answer(queue.popleft() if queue else Reply(kind="error", status=200, body=listed), {}, wire)
        elif path.endswith("/chat/completions"):
            asked = orjson.loads(request.body)
            reply = _counted(self._next_reply(asked), asked)
            self._counts["arrived"] += 1
            await self._answer(reply, asked, wire)
        elif path.endswith("/embeddings"):
            asked = orjson.loads(request.body)
            reply = self._next_embedding_reply(asked)
            self._counts["embedded"] += 1
            await self._answer(reply, asked, wire)
        else:
            wire.send_json(404, {"error": {"message": f"no route {path}", "type": "invalid_request_error", "code": None}})

    def _next_reply(self, asked: dict[str, Any]) -> Reply:
        for queue in (self._scripts.get(asked.get("model")), self._scripts.get(None)):
            if queue:
                return queue.popleft()
        if str(asked.get("model")).startswith("facts-"):
            said = "\n".join(str(message.get("content")) for message in asked["messages"])
            return text("\n".join(dict.fromkeys(FACT.findall(said))) or "No facts.")
        return text(f"ok: {last_user_text(asked)}")

    def _next_embedding_reply(self, asked: dict[str, Any]) -> Reply:
        for queue in (self._scripts.get(asked.get("model")), self._scripts.get("/embeddings")):
            if queue:
                return queue.popleft()
        return text("")

    async def _answer(self, reply: Reply, asked: dict[str, Any], wire: "_Wire") -> None:
        if reply.gate == "start":
            await self._hold(wire)
        else:
            self._notify()
        if reply.kind == "error":
            wire.send_json(reply.status, reply.body, reply.headers)
        elif reply.kind == "drop" and reply.after_chunks is None:
            wire.abort()
        elif reply.kind == "raw":
            await self._stream([base64.b64decode(piece) for piece in reply.pieces], reply, wire)
        elif asked.get("stream"):
            await self._stream(stream_pieces(reply, asked), reply, wire)
        else:
            _answer_whole(reply, asked, wire)
        await wire.drain()

    async def _stream(self, pieces: list[bytes], reply: Reply, wire: "_Wire") -> None:
        wire.begin_stream(reply.status, reply.headers)
        for index, piece in enumerate(pieces):
            if reply.kind == "drop" and index == reply.after_chunks:
                await wire.drain()
                wire.abort()
            if reply.gate == "chunks":
                await self._hold(wire)
            wire.send_piece(piece)
            if index % 64 == 63:
                await wire.drain()
        wire.end_stream()

    async def _hold(self, wire: "_Wire") -> None:
        if self._credit:
            self._credit -= 1
            self._notify()
            return
        gate = asyncio.Event()
        self._held.append(gate)
        self._notify()
        try:
            await wire.wait(gate)
        finally:
            if gate in self._held:
                self._held.remove(gate)

    async def _control(self, path: str, request: Recorded, wire: "_Wire") -> None:
        given = orjson.loads(request.body) if request.body else {}
        query = {name: values[-1] for name, values in parse_qs(urlsplit(request.path).query).items()}
        answer: Any = {}
        if path == "/_script":
            self.script(given["model"], *(Reply(**reply) for reply in given["replies"]))
        elif path == "/_requests":
            answer = [{**asdict(recorded), "body": base64.b64encode(recorded.body).decode()} for recorded in self.requests]
        elif path == "/_release":
            self.release(given.get("count"))
        elif path == "/_reset":
            self.reset()
        elif path == "/_models":
            self.models = given["models"]
        elif path in ("/_wait", "/_arrived"):
            answer = await self._control_wait(query)
        elif path == "/_counts":
            answer = {**self._counts, "held": len(self._held)}
        wire.send_json(200, answer)
        await wire.drain()

    async def _control_wait(self, query: dict[str, str]) -> dict[str, bool]:
        wait = getattr(self, f"until_{query.get('what', 'arrived')}")
        try:
            await wait(int(query.get("n", "1")), timeout_s=float(query.get("timeout_s", str(WAIT_S))))
        except TimeoutError:
            return {"ok": False}
        return {"ok": True}

    async def _until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                await waiter

    def _notify(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class ModelServerHandle:
    """A server in another thread or process, by its control surface. Safe to use from any thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.base_url = f"{url}/v1"

    @property
    def requests(self) -> list[Recorded]:
        """Every request so far, oldest first."""
        return [Recorded(**{**row, "body": base64.b64decode(row["body"])}) for row in self._call("GET", "/_requests")]

    @property
    def connections(self) -> int:
        """How many connections were opened so far, those of this handle too."""
        return self._call("GET", "/_counts")["connections"]

    def script(self, model: str | None, *replies: Reply) -> None:
        """As `ModelServer.script`."""
        self._call("POST", "/_script", {"model": model, "replies": [asdict(reply) for reply in replies]})

    def release(self, count: int | None = None) -> None:
        """As `ModelServer.release`."""
        self._call("POST", "/_release", {"count": count})

    def reset(self) -> None:
        """As `ModelServer.reset`."""
        self._call("POST", "/_reset", {})

    def list_models(self, models: Sequence[str]) -> None:
        """From now on `GET /v1/models` lists these."""
        self._call("POST", "/_models", {"models": list(models)})

    def wait_arrived(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Block until `count` chat requests have come in."""
        self._wait("arrived", count, timeout_s)

    def wait_embedded(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Block until `count` requests for embeddings have come in."""
        self._wait("embedded", count, timeout_s)

    def wait_held(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Block until `count` replies wait at a gate."""
        self._wait("held", count, timeout_s)

    def wait_disconnected(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """Block until `count` clients have hung up before their answer was complete."""
        self._wait("disconnected", count, timeout_s)

    async def until_arrived(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """`wait_arrived` without holding the loop."""
        await asyncio.to_thread(self._wait, "arrived", count, timeout_s)

    async def until_embedded(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """`wait_embedded` without holding the loop."""
        await asyncio.to_thread(self._wait, "embedded", count, timeout_s)

    async def until_held(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """`wait_held` without holding the loop."""
        await asyncio.to_thread(self._wait, "held", count, timeout_s)

    async def until_disconnected(self, count: int = 1, *, timeout_s: float = WAIT_S) -> None:
        """`wait_disconnected` without holding the loop."""
        await asyncio.to_thread(self._wait, "disconnected", count, timeout_s)

    def _wait(self, what: str, count: int, timeout_s: float) -> None:
        if not self._call("GET", f"/_wait?what={what}&n={count}&timeout_s={timeout_s}", timeout_s=timeout_s + 5)["ok"]:
            raise TimeoutError(f"the model server still has fewer than {count} {what} after {timeout_s} s: {self._call('GET', '/_counts')}")

    def _call(self, method: str, path: str, body: Any = None, *, timeout_s: float = WAIT_S) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=timeout_s)
        try:
            connection.request(method, path, body=None if body is None else orjson.dumps(body))
            return orjson.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextlib.contextmanager
def running_model_server(**options: Any) -> Iterator[ModelServerHandle]:
    """A server in a thread of its own with a loop of its own; `options` as in `ModelServer`."""
    started, urls = threading.Event(), deque[str]()
    stop: deque[Callable[[], None]] = deque()

    async def run() -> None:
        ended = asyncio.Event()
        async with ModelServer(**options) as server:
            loop = asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(ended.set))
            urls.append(server.url)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="model-server", daemon=True)
    thread.start()
    if not started.wait(WAIT_S):
        raise TimeoutError("the model server did not start")
    try:
        yield ModelServerHandle(urls[0])
    finally:
        stop[0]()
        thread.join(WAIT_S)


@contextlib.contextmanager
def spawned_model_server(*arguments: str) -> Iterator[ModelServerHandle]:
    """A server in a process of its own; it ends with this block, and also when this process dies."""
    command = [sys.executable, "-m", "tests.support.model_server", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        if not url:
            raise RuntimeError("the model server did not start")
        yield ModelServerHandle(url)
    finally:
        process.stdin.close()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def last_user_text(asked: dict[str, Any]) -> str:
    """The text of the last message with the role `user`, text parts joined; empty where there is none."""
    for message in reversed(asked.get("messages") or []):
        if message.get("role") == "user":
            content = message.get("content") or ""
            return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return ""


def prompt_tokens(asked: dict[str, Any]) -> int:
    """The tokens of a chat request as the model that it asks counts them, tools, images and overheads included."""
    total = tokens.count(orjson.dumps(asked["tools"]).decode()) if asked.get("tools") else 0
    for message in asked["messages"]:
        content = message.get("content") or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        said = "\n".join(part["text"] for part in parts if part["type"] == "text")
        calls = "\n".join(f"{call['function']['name']}\n{call['function']['arguments']}" for call in message.get("tool_calls") or ())
        total += 3 + tokens.count(f"{said}\n{calls}" if calls else said) + 85 * sum(part["type"] == "image_url" for part in parts)
    factor = COUNTING.fullmatch(asked["model"])
    return math.ceil(round((total + 3) * (float(factor[1]) if factor else 1.0), 6))


def _counted(reply: Reply, asked: dict[str, Any]) -> Reply:
    """The reply with the usage of a model that counts."""
    if not COUNTING.fullmatch(str(asked.get("model"))) or reply.kind != "text":
        return reply
    prompt, said = prompt_tokens(asked), tokens.count(reply.content or "") if reply.content else 0
    return replace(reply, usage={"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said})


def stream_pieces(reply: Reply, asked: dict[str, Any]) -> list[bytes]:
    """The events of a streamed answer, each as the bytes that go over the wire."""
    if reply.kind == "garbage":
        return [b"data: {this is no JSON\n\n"]
    deltas = _content_deltas(reply) + _call_deltas(reply)
    events = [_chunk(reply, asked, delta={"role": "assistant", "content": ""})]
    events += [_chunk(reply, asked, delta=delta) for delta in deltas]
    if reply.kind == "sse_error":
        return [_sse(event) for event in [*events, reply.body]]
    if reply.finish_reason is not None:
        events.append(_chunk(reply, asked, delta={}, finish_reason=reply.finish_reason))
    if reply.usage and (asked.get("stream_options") or {}).get("include_usage"):
        events.append({**_chunk(reply, asked, delta={}), "choices": [], "usage": reply.usage})
    return [_sse(event) for event in events] + ([b"data: [DONE]\n\n"] if reply.done else [])


def _content_deltas(reply: Reply) -> list[dict[str, Any]]:
    if reply.content is None:
        return []
    count = max(1, min(reply.chunks, len(reply.content)))
    size = -(-len(reply.content) // count)
    return [{"content": reply.content[at : at + size]} for at in range(0, len(reply.content), max(size, 1))]


def _call_deltas(reply: Reply) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = []
    for index, call in enumerate(reply.calls):
        arguments = call["function"]["arguments"]
        head = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        half = len(arguments) // 2
        parts = [{"index": index, "function": {"arguments": part}} for part in (arguments[:half], arguments[half:]) if part]
        deltas += [{"tool_calls": [entry]} for entry in [head, *parts]]
    return deltas


def _chunk(reply: Reply, asked: dict[str, Any], *, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": reply.model or asked.get("model"),
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        "usage": None,
    }


def _sse(event: Any) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _answer_whole(reply: Reply, asked: dict[str, Any], wire: "_Wire") -> None:
    if reply.kind == "garbage":
        wire.send(200, b"<html>this is no JSON</html>", {"content-type": "application/json"})
        return
    if reply.kind == "sse_error":
        wire.send_json(200, reply.body)
        return
    answer = embeddings_answer(asked) if "input" in asked else _chat_answer(reply, asked)
    if reply.kind == "drop":
        wire.send_half(orjson.dumps(answer))
    wire.send_json(200, answer, reply.headers)


def embedding(said: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of a text: the sum of a direction for each of its words, at length 1."""
    total = [0.0] * dimensions
    for word in re.findall(r"\w+", said.lower()) or [said]:
        direction = struct.unpack(f"<{dimensions}h", hashlib.shake_256(word.encode()).digest(2 * dimensions))
        total = [sum(pair) for pair in zip(total, direction, strict=True)]
    length = math.sqrt(math.fsum(number * number for number in total)) or 1.0
    return [number / length for number in total]


def embeddings_answer(asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request for embeddings, in OpenAI's shape; `dimensions` and `encoding_format` are honoured."""
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    vectors: list[Any] = [embedding(said, asked.get("dimensions") or DIMENSIONS) for said in texts]
    if asked.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() for vector in vectors]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    tokens = sum(len(said.split()) for said in texts)
    return {"object": "list", "data": data, "model": asked.get("model"), "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _chat_answer(reply: Reply, asked: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.calls:
        message["tool_calls"] = reply.calls
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": reply.model or asked.get("model"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}],
        "usage": reply.usage,
    }


class _HungUp(Exception):
    """The client left."""


class _Dropped(Exception):
    """The script says that the server breaks the connection off."""


class _Wire:
    """Writes one HTTP/1.1 answer, and notices when the client leaves."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, orjson.dumps(value), {"content-type": "application/json", **(headers or {})})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._writer.write(_head(status, {**headers, "content-length": str(len(body))}) + body)

    def send_half(self, body: bytes) -> None:
        self._writer.write(_head(200, {"content-type": "application/json", "content-length": str(len(body))}) + body[: len(body) // 2])
        self.abort()

    def begin_stream(self, status: int, headers: dict[str, str]) -> None:
        self._writer.write(_head(status, {"content-type": "text/event-stream", **headers, "transfer-encoding": "chunked"}))

    def send_piece(self, piece: bytes) -> None:
        if self._writer.transport.is_closing():
            raise _HungUp
        self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end_stream(self) -> None:
        self._writer.write(b"0\r\n\r\n")

    def abort(self) -> None:
        self._writer.close()
        raise _Dropped

    async def drain(self) -> None:
        await self._writer.drain()

    async def wait(self, gate: asyncio.Event) -> None:
        """Wait for the gate; a client that hangs up meanwhile is noticed, because nothing else may come from it now."""
        waits = [asyncio.ensure_future(gate.wait()), asyncio.ensure_future(self._reader.read(1))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if waits[1].done():
                raise _HungUp
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {http.client.responses.get(status, 'Status')}\r\n{lines}\r\n".encode("latin-1")


async def _read_request(reader: asyncio.StreamReader) -> Recorded | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    length = int(headers.get("content-length", "0"))
    if length > BODY_BYTES_MAX:
        raise ConnectionError("body too large")
    body = await reader.readexactly(length) if length else b""
    return Recorded(method, path, headers, body)


async def _run(port: int, *, record: bool) -> None:
    """Serve until stdin closes; the first line of stdout is the URL."""
    async with ModelServer(port=port, record=record) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.buffer.read)


def main() -> None:
    """`python -m tests.support.model_server --port 0 [--no-record]`."""
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="do not keep the requests: for long benches")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(given.port, record=not given.no_record))


if __name__ == "__main__":
    main()
