"""A client for tests of server processes: requests with the test key, conversations, and what their histories must be."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.support.server import KEY, clean_environ

DEADLINE_S = 30.0
COMMAND_LIMIT_S = 90.0
# The pause of a client between two attempts: it polls for the server's recovery, and waits for nothing else.
RETRY_PAUSE_S = 0.02

Client = httpx2.AsyncClient


@asynccontextmanager
async def talking(url: str, *, key: str = KEY) -> AsyncIterator[Client]:
    """A client of the server at `url`."""
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    async with Client(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=DEADLINE_S, limits=limits, trust_env=False
    ) as client:
        yield client


async def new_session(client: Client, *, model: str = "gpt-x") -> str:
    """The id of a new session with a new agent; messages go to the model as they are."""
    agent = (await client.post("/agents", json={"name": "Mia", "model": model})).raise_for_status().json()
    return (await client.post("/sessions", json={"agent": agent["id"]})).raise_for_status().json()["id"]


async def say(client: Client, session: str, text: str, *, retry: int = 0, **more: Any) -> httpx2.Response:
    """One turn; `retry` is how often this request was sent before, told the way the official clients tell it."""
    body = {"messages": [{"role": "user", "content": text}], **more}
    headers = {"x-stainless-retry-count": str(retry)} if retry else {}
    return await client.post(f"/sessions/{session}/chat", json=body, headers=headers)


async def history(client: Client, session: str) -> list[tuple[str, str]]:
    """Role and text of every entry, in order."""
    entries = (await client.get(f"/sessions/{session}/history")).raise_for_status().json()["entries"]
    return [(entry["role"], entry["content"][0]["text"]) for entry in entries]


def assert_whole_turns(said: list[tuple[str, str]]) -> None:
    """Every question stands right before its answer, and none twice."""
    questions, answers = said[0::2], said[1::2]
    assert [("assistant", f"ok: {text}") for _, text in questions] == answers
    assert {role for role, _ in questions} <= {"user"}
    twice = [text for text, count in Counter(text for _, text in questions).items() if count > 1]
    assert twice == []


@dataclass
class Talkers:
    """Clients that talk at once until they are told to stop; each remembers what was acknowledged.

    Attributes:
        acknowledged: texts whose answer came, by session.
        sent: how often each text was sent, those without an answer included.
        refused: status and headers of every answer that was no turn.
        broken: how many requests ended without an answer.
    """

    sessions: list[str]
    acknowledged: dict[str, set[str]] = field(default_factory=dict)
    sent: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    broken: int = 0
    _stop: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Acknowledged turns so far."""
        return sum(map(len, self.acknowledged.values()))

    def start(self, client: Client, *, each: int, retry: bool) -> None:
        """`each` talkers a session; with `retry` a request is sent again until it is answered, else it is given up."""
        for session in self.sessions:
            self.acknowledged.setdefault(session, set())
            self._tasks += [asyncio.create_task(self._talk(client, session, f"{session[-4:]}-{number}", retry)) for number in range(each)]

    async def until(self, count: int) -> None:
        """Return once `count` turns were acknowledged in all."""
        await until(lambda: self.count >= count or all(task.done() for task in self._tasks))
        assert self.count >= count, self.refused[-3:]

    async def stop(self) -> None:
        """Let the running requests end, then stop."""
        self._stop = True
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*self._tasks)

    async def _talk(self, client: Client, session: str, name: str, retry: bool) -> None:
        number = 0
        while not self._stop:
            number += 1
            await self.deliver(client, session, f"{name}-{number}", retry=retry)

    async def deliver(self, client: Client, session: str, text: str, *, retry: bool) -> None:
        """Send one text, again and again where `retry` says so."""
        until_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < until_s:
            before = self.sent.get((session, text), 0)
            self.sent[session, text] = before + 1
            try:
                answer = await say(client, session, text, retry=before)
            except httpx2.TransportError:
                self.broken += 1
            else:
                if answer.status_code == 201:
                    self.acknowledged[session].add(text)
                    return
                self.refused.append((answer.status_code, answer.headers))
            if not retry:
                return
            await asyncio.sleep(RETRY_PAUSE_S)
        raise AssertionError(f"{text} was never answered: {self.refused[-3:]}")


async def until(condition: Callable[[], bool | Awaitable[bool]], *, limit_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; it may be a coroutine function."""
    until_s = time.monotonic() + limit_s
    while True:
        holds = condition()
        if isinstance(holds, Awaitable):
            holds = await holds
        if holds:
            return
        assert time.monotonic() < until_s, "it did not come true in time"
        await asyncio.sleep(0.01)


def mentha(*arguments: str, home: Path, dsn: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `environ` adds variables as they are."""
    database = {"DATABASE_URL": dsn} if dsn else {}
    return subprocess.run(
        [sys.executable, "-m", "mentha", *arguments],
        env={**clean_environ(), "MENTHA_HOME": str(home), **database, **environ},
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )


def postmasters(home: Path) -> list[psutil.Process]:
    """The PostgreSQL servers of a home folder; those that ended and wait to be collected don't count."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "-D" in words and f"{home}/" in " ".join(words) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    # A process that a server has just begun for a connection has no name of its own yet.
    servers = {process.pid for process in found}
    return [process for process in found if _parent_of(process) not in servers]


def _parent_of(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def end_leftovers(home: Path) -> list[int]:
    """End PostgreSQL servers that a failed test left; returns their numbers."""
    left = postmasters(home)
    for process in left:
        os.kill(process.pid, signal.SIGQUIT)
    psutil.wait_procs(left, DEADLINE_S)
    return [process.pid for process in left]
