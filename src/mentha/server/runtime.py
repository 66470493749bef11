"""The runtime: every part of a server that lives as long as it does, made in order and closed in the opposite one."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mentha import observe
from mentha.api.identity import Identity
from mentha.auth.vault import Vault
from mentha.chat.gateway import Gateway
from mentha.chat.running import Turns
from mentha.chat.turn import Parts
from mentha.core.config import Settings
from mentha.observe import trace
from mentha.observe.events import EmbedderDiffers
from mentha.observe.metrics import Metrics
from mentha.providers.embedders import Embedders
from mentha.providers.service import Providers
from mentha.recall.index import Learned
from mentha.sandbox.expressions import Expressions
from mentha.sandbox.extract import Extractor
from mentha.sandbox.templates import Templates
from mentha.server import database as databases
from mentha.server import encryption, first_key, mcp_tools, system_ops
from mentha.server.database import Place
from mentha.server.first_key import FirstKey
from mentha.server.mcp import McpEndpoint
from mentha.server.secrets import Secrets
from mentha.store import embedded
from mentha.store import embedders as rows
from mentha.store.blobs import Blobs
from mentha.store.meter import Meter
from mentha.store.pool import Database
from mentha.tools.attachments import Attachments
from mentha.tools.mcp.servers import Servers
from mentha.tools.outbound import Outbound
from mentha.tools.run import Toolbox
from mentha.tools.system import Operation
from mentha.workflow import effects
from mentha.workflow.plans import Plans
from mentha.workflow.runs import Runs
from mentha.workflow.watch import Watch


@dataclass(frozen=True, slots=True)
class Runtime:
    """What handlers and commands work with."""

    settings: Settings
    place: Place
    database: Database
    identity: Identity
    providers: Providers
    embedders: Embedders
    learned: Learned
    templates: Templates
    expressions: Expressions
    attachments: Attachments
    vault: Vault
    secrets: Secrets
    turns: Turns
    meter: Meter
    gateway: Gateway
    plans: Plans
    watch: Watch
    runs: Runs
    metrics: Metrics
    mcp: McpEndpoint
    made_key: FirstKey | None

    @property
    def blobs(self) -> Blobs:
        """Where the bytes of files are."""
        return self.attachments.blobs


@asynccontextmanager
async def open_runtime(settings: Settings, *, serves: bool = True) -> AsyncGenerator[Runtime]:
    """Start all parts; close them, the embedded database last, when the block ends.

    Args:
        serves: whether requests will be served, for which there must be a key.

    Raises:
        ConfigInvalid: something is wrong that the operator can mend.
        Unavailable: an external database can't be reached.
    """
    if serves:
        first_key.check(settings)
    encryption.check(settings)
    async with AsyncExitStack() as stack:
        metrics = _metrics(stack, settings)
        place = await databases.find(settings)
        stack.push_async_callback(asyncio.to_thread, place.release)
        if place.server is not None:
            _background(stack, embedded.keep_alive(place.server))
        await databases.prepare_schema(place, settings)
        database = await databases.connect(place, settings)
        stack.push_async_callback(database.close)
        meter = _meter(stack, database)
        made_key = await first_key.ensure(settings, database) if serves else None
        vault = await encryption.open_vault(settings, database)
        secrets = _secrets(stack, settings, database, vault)
        providers = Providers(settings)
        stack.push_async_callback(providers.close)
        embedders = Embedders(settings, providers)
        stack.push_async_callback(embedders.close)
        stack.push_async_callback((templates := Templates(settings)).close)
        tools = _toolbox(stack, settings, operations := dict[str, Operation](), secrets)
        attachments = _attachments(stack, settings, database)
        turns = Turns(Parts(settings, database, providers, embedders, templates, secrets.provider_keys, tools, attachments, meter))
        watch = Watch(database)
        stack.callback(watch.close)
        plans = Plans()
        stack.push_async_callback((expressions := Expressions(settings)).aclose)
        doing = effects.Parts(settings, database, providers, expressions, tools, vault, secrets.provider_keys, attachments, meter)
        runs = Runs(settings, database, effects.Effects(doing), watch, plans)
        identity = Identity(settings, database)
        mcp = _endpoint(stack, settings, identity)
        await _tell_of_embedder(database, embedders)
        runtime = Runtime(
            settings,
            place,
            database,
            identity,
            providers,
            embedders,
            Learned(),
            templates,
            expressions,
            attachments,
            vault,
            secrets,
            turns,
            meter,
            Gateway(settings, providers, meter),
            plans,
            watch,
            runs,
            metrics,
            mcp,
            made_key,
        )
        # Tools can chat, and chats use tools: here the two meet.
        operations.update(system_ops.table(runtime))
        mcp.offer(mcp_tools.table(operations, watch))
        yield runtime


def _metrics(stack: AsyncExitStack, settings: Settings) -> Metrics:
    """The figures, which count from now on, and traces where they are wanted."""
    metrics = Metrics()
    observe.subscribe(metrics.subscribe)
    stack.callback(observe.unsubscribe, metrics.subscribe)
    if settings.otlp_endpoint:
        stack.callback(trace.install(settings.otlp_endpoint))
    return metrics


def _toolbox(stack: AsyncExitStack, settings: Settings, operations: Mapping[str, Operation], secrets: Secrets) -> Toolbox:
    outbound = Outbound(settings)
    servers = Servers(settings, outbound)
    stack.push_async_callback(servers.close)
    return Toolbox(settings, outbound, operations, secrets.values, secrets.unsealed, servers)


def _endpoint(stack: AsyncExitStack, settings: Settings, identity: Identity) -> McpEndpoint:
    endpoint = McpEndpoint(settings, identity)
    stack.push_async_callback(endpoint.close)
    return endpoint


def _attachments(stack: AsyncExitStack, settings: Settings, database: Database) -> Attachments:
    extractor = Extractor(settings)
    stack.push_async_callback(extractor.close)
    return Attachments(settings, database, Blobs(settings), extractor)


def _secrets(stack: AsyncExitStack, settings: Settings, database: Database, vault: Vault) -> Secrets:
    """Tenants' secrets, whose values no log line shows from now on."""
    secrets = Secrets(settings, database, vault)
    observe.redact_with(secrets.in_use.text)
    stack.callback(observe.redact_with, None)
    return secrets


def _meter(stack: AsyncExitStack, database: Database) -> Meter:
    meter = Meter(database)
    stack.push_async_callback(meter.close)
    return meter


async def _tell_of_embedder(database: Database, embedders: Embedders) -> None:
    """A changed setting does nothing by itself: the vectors that are there are another embedder's."""
    async with database.connection() as connection:
        active = next((row for row in await rows.list_(connection) if row.state == "active"), None)
    if active is not None and active.name != embedders.wanted:
        observe.emit(EmbedderDiffers(wanted=embedders.wanted, active=active.name))


def _background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)
