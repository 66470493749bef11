"""Executions with the real effects: the interpreter, a runtime over a real database, and servers of ours; the log in memory."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from mentha.core import config
from mentha.core.ids import new_id
from mentha.core.json import dumps
from mentha.sandbox.expressions import Expressions
from mentha.server.runtime import Runtime, open_runtime
from mentha.store import agents, secrets
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.secrets import CreateSecretRequest
from mentha.workflow.context import RunContext
from mentha.workflow.effects import Effects, Parts
from mentha.workflow.interpreter import Command, ended, following
from mentha.workflow.moves import Done, Fail
from mentha.workflow.names import Surroundings
from mentha.workflow.state import Row, State, apply, start
from tests.support.vaults import KEY_TEXT

# As hosts of outbound calls: every server of ours listens there.
ALLOWED = ("127.0.0.1",)


@dataclass
class World:
    """A process with everything that effects need."""

    runtime: Runtime
    effects: Effects
    parts: Parts

    async def tenant(self, **named: str) -> UUID:
        """A new tenant with these secrets."""
        tenant = new_id()
        async with self.runtime.database.transaction() as tx:
            await tx.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, f"t{tenant.hex}")
            for name, value in named.items():
                wanted = CreateSecretRequest(name=name, value=SecretStr(value), description=None)
                await secrets.create(tx, tenant, wanted, vault=self.runtime.vault)
        return tenant

    async def agent(self, tenant: UUID, **members: Any) -> dict[str, Any]:
        """A new agent, as expressions see it."""
        async with self.runtime.database.transaction() as tx:
            made = await agents.create(tx, tenant, CreateAgentRequest.model_validate({"name": "Mia", "model": "gpt-x", **members}))
        return made.model_dump(mode="json")

    async def run(self, plan: dict[str, Any], given: Any = None, **members: Any) -> "Running":
        """An execution, run until it ends or waits."""
        return await (await self.begin(plan, given, **members)).go()

    async def begin(
        self,
        plan: dict[str, Any],
        given: Any = None,
        *,
        tenant: UUID | None = None,
        agent: dict[str, Any] | None = None,
        task: dict[str, Any] | None = None,
        execution_id: UUID | None = None,
    ) -> "Running":
        """An execution before its first row."""
        tenant = tenant or await self.tenant()
        agent = agent or {"id": str(new_id()), "name": "Mia", "model": "gpt-x", "default_settings": None, "metadata": None}
        around = Surroundings(agent, task or {}, {}, str(tenant))
        run = RunContext(tenant, execution_id or new_id(), plan, around)
        return Running(self, run, start(plan, run.execution_id, given))


@dataclass
class Running:
    """One execution and its log. The clock of retries and sleeps moves only when nothing else does."""

    world: World
    context: RunContext
    state: State
    log: list[Row] = field(default_factory=list)
    ahead_s: float = 0.0
    last: Done | Fail | None = None

    async def go(self) -> "Running":
        while True:
            after = following(self.state, self._now())
            if after.rows:
                self._commit(after.rows)
            elif after.commands:
                results = await asyncio.gather(*(self.world.effects.run(self.context, self.state, one) for one in after.commands))
                for command, self.last in zip(after.commands, results, strict=True):
                    self._commit(ended(self.state, command, self.last, self._now()))
            elif after.due is not None:
                self.ahead_s += max(after.due - self._now(), 0)
            else:
                return self

    async def resume(self, given: Any) -> "Running":
        """Answer the oldest wait."""
        frame = next(frame for frame in self.state.frames.values() if frame.wait == "open")
        self._commit([Row("resume", frame.key[1], frame.pc, frame.key[0], given, at=self._now())])
        return await self.go()

    def commands(self) -> list[Command]:
        """What is to be done now, for tests that do it themselves."""
        while rows := following(self.state, self._now()).rows:
            self._commit(rows)
        return following(self.state, self._now()).commands

    @property
    def output(self) -> Any:
        assert self.state.ended == "succeeded", (self.state.ended, self.state.output)
        return self.state.output

    @property
    def error(self) -> str:
        assert self.state.ended == "failed", (self.state.ended, self.state.output)
        assert self.state.error is not None
        return self.state.error

    @property
    def written(self) -> str:
        """Everything that would stand in rows."""
        return dumps([[row.output, row.metadata, row.label] for row in self.log]).decode()

    def _now(self) -> float:
        return time.time() + self.ahead_s

    def _commit(self, rows: list[Row]) -> None:
        for row in rows:
            self.log.append(row)
            apply(self.state, row)


@asynccontextmanager
async def open_world(dsn: str, home: Path, models_url: str, **settings: Any) -> AsyncGenerator[World]:
    """A world whose provider is at `models_url`, and whose tenants may call servers of ours."""
    environ = {"OPENAI_BASE_URL": models_url, "OPENAI_API_KEY": "sk-operator", "DATABASE_URL": dsn, "MENTHA_ENCRYPTION_KEY": KEY_TEXT}
    flags = {"home": home, "outbound_allow": ALLOWED, **settings}
    loaded = config.load(environ=environ, flags=flags)
    async with open_runtime(loaded, serves=False) as runtime:
        expressions = Expressions(loaded)
        chat = runtime.turns._parts  # pyright: ignore[reportPrivateUsage] - the runtime has no other way to its tools
        parts = Parts(
            loaded,
            runtime.database,
            runtime.providers,
            expressions,
            chat.tools,
            runtime.vault,
            chat.provider_keys,
            chat.attachments,
            runtime.meter,
        )
        try:
            yield World(runtime, Effects(parts), parts)
        finally:
            await expressions.aclose()
