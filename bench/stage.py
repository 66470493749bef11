"""What the parts work with: a server with its database and its model servers, and the requests that are sent to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from bench import client, seed
from bench.client import Load
from bench.floor import Cost
from bench.processes import KEY, Server
from mentha.chat.prompt import DEFAULT_SYSTEM_TEMPLATE
from mentha.store.pool import Database
from tests.support.model_server import ModelServer, ModelServerHandle

MODEL = "gpt-bench"


@dataclass(slots=True)
class Stage:
    """What parts work with.

    Attributes:
        models: the fake model server in a process of its own.
        own_models: another one in this process, for parts that let each piece of a stream go at its time.
        sessions: young sessions, filled by `create`.
        floor: filled by `__main__` before the parts that compare with it.
    """

    home: Path
    environ: dict[str, str]
    server: Server
    database: Database
    models: ModelServerHandle
    own_models: ModelServer
    agent: str
    sessions: list[str] = field(default_factory=list)
    floor: dict[str, Cost] = field(default_factory=dict)

    async def measured(self, requests: Iterable[bytes], *, at_once: int = 1, keep: bool = False) -> tuple[Load, float]:
        """A run of requests and the server's CPU time for each, in ms."""
        before = self.server.cpu_s()
        load = await client.run(self.server.port, requests, at_once=at_once, keep=keep)
        return load, (self.server.cpu_s() - before) / max(load.count, 1) * 1000

    async def sessions_with(self, messages: int, *, count: int, **fields: Any) -> list[str]:
        """New sessions with a history; `fields` are more of theirs."""
        load = await client.run(self.server.port, [create_request(self.agent, **fields)] * count, keep=True)
        if load.errors:
            raise RuntimeError(f"no sessions: {load.bodies}")
        made = [orjson.loads(body)["id"] for body in load.bodies]
        for session in made:
            await seed.history(self.database, UUID(session), messages)
        # As autovacuum would have done by the time that a session has so many messages.
        async with self.database.connection() as connection:
            await connection.execute("ANALYZE entries")
        return made


def create_request(agent: str, **fields: Any) -> bytes:
    """Make a session; `fields` are more of its own."""
    return client.request("POST", "/sessions", session_body(agent) | fields, key=KEY)


def session_body(agent: str) -> dict[str, Any]:
    """The body of the request that makes a session."""
    return {"agent": agent, "situation": "A friendly talk about the figures of the quarter.", "metadata": {"source": "bench", "round": 1}}


def turn_request(session: str, **more: Any) -> bytes:
    """Say something in a session."""
    return client.request("POST", f"/sessions/{session}/chat", turn_body() | more, key=KEY)


def turn_body() -> dict[str, Any]:
    """The body of the request of a turn."""
    return {"messages": [{"role": "user", "content": f"{seed.SAID} this month?"}]}


def provider_body(messages: int) -> dict[str, Any]:
    """What a provider gets for a turn with that many earlier messages."""
    system = {"role": "system", "content": DEFAULT_SYSTEM_TEMPLATE[:600]}
    return {"model": MODEL, "messages": [system, *(seed.message(number) for number in range(messages)), *turn_body()["messages"]]}


def history_request(session: str) -> bytes:
    """Read the history of a session."""
    return client.request("GET", f"/sessions/{session}/history", key=KEY)
