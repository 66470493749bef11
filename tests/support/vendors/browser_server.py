"""A browser's end of the Chrome DevTools Protocol for tests: a WebSocket, and pages that remember what was done to them."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest

wsproto: Any = pytest.importorskip("wsproto", reason="the package wsproto, which speaks WebSocket, is missing")
from wsproto.events import AcceptConnection, Ping, RejectConnection, Request, TextMessage  # noqa: E402

PNG = base64.b64encode(b"\x89PNG of a page").decode()
KEY = "signing-key-0123456789"


@dataclass
class BrowserServer:
    """What it was told, in order. `answers` are results in place of the usual ones; an Exception's text is an error."""

    port: int = 0
    told: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    pointer: Any = None
    # Sent before the first answer, as a page that talks does.
    noise: list[Any] = field(default_factory=list[Any])
    hangs_up_at: str = ""
    # What a method, or the `type` of an input, is answered with alone, once.
    instead: dict[str, Any] = field(default_factory=dict[str, Any])

    def methods(self) -> list[str]:
        return [method.partition(".")[2] for method, _ in self.told]

    def result(self, method: str, params: Any) -> Any:
        if method in self.answers:
            return self.answers[method]
        if method == "Target.getTargets":
            return {"targetInfos": [{"targetId": "w", "type": "service_worker"}, {"targetId": "p", "type": "page", "url": "about:blank"}]}
        if method == "Target.attachToTarget":
            return {"sessionId": f"S-{params['targetId']}"}
        if method == "Page.navigate":
            return {"frameId": "f", "loaderId": "l"}
        if method == "Page.captureScreenshot":
            return {"data": PNG}
        if method == "Runtime.evaluate":
            _, sign, value = params["expression"].partition(" = ")
            if sign:
                self.pointer = json.loads(value)
            return {"result": {"type": "object", "value": self.pointer or [0, 0]}}
        return {}


@contextlib.asynccontextmanager
async def browser_server() -> AsyncGenerator[BrowserServer]:
    """A running one."""
    server = BrowserServer()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await _talk(server, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _talk(server: BrowserServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    while data := await reader.read(65_536):
        if data.startswith(b"GET /json/version"):
            body = json.dumps({"webSocketDebuggerUrl": f"ws://127.0.0.1:{server.port}/?signingKey={KEY}"}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            return
        protocol.receive_data(data)
        for event in protocol.events():
            if isinstance(event, Request):
                is_known = KEY in event.target
                writer.write(protocol.send(AcceptConnection() if is_known else RejectConnection(status_code=401)))
            elif isinstance(event, TextMessage):
                for piece in _answer(server, json.loads(event.data)):
                    writer.write(protocol.send(piece))
                if server.hangs_up_at and server.hangs_up_at in server.methods():
                    return
        await writer.drain()


def _answer(server: BrowserServer, message: Any) -> list[Any]:
    method, params = message["method"], message["params"]
    server.told.append((method, params))
    if method.split(".")[0] != "Target":
        assert message["sessionId"] == "S-p"
    for name in (method, params.get("type")):
        if event := server.instead.pop(name, None):
            return [TextMessage(json.dumps(event))]
    result = server.result(method, params)
    told = {"error": {"code": -32000, "message": str(result)}} if isinstance(result, Exception) else {"result": result}
    pieces = [Ping(b"x")] + [TextMessage(json.dumps(each)) for each in server.noise]
    server.noise = []
    whole = json.dumps({"id": message["id"], **told})
    # In two frames of one message.
    pieces += [TextMessage(whole[:5], message_finished=False), TextMessage(whole[5:])]
    if method in ("Page.navigate", "Page.reload"):
        pieces.append(TextMessage(json.dumps({"method": "Page.loadEventFired", "params": {}, "sessionId": "S-p"})))
    return pieces
