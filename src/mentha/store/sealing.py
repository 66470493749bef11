"""Secrets inside of tools of agents and of tasks, sealed: each stands in the row as a text with its ciphertext, bound to the tenant and the tool.

    sealed.<fingerprint of the key>.<base64url>

The text is safe in a URL, as `wire.masks.Change` asks. What is sealed is the JSON of the value.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from mentha.auth.vault import Sealed, Vault
from mentha.core.errors import SecretsUnavailable
from mentha.core.json import JsonObject, JsonValue, dumps, loads
from mentha.store import current_key
from mentha.store.pool import Tx
from mentha.store.tools import Seal, unsealed
from mentha.wire import masks
from mentha.wire.tools import TOOL_TYPES, CreateToolRequest, PatchToolRequest

_SEALED = re.compile(r"sealed\.([0-9a-f]{16})\.([A-Za-z0-9_-]+)")
# Of no key: what stands where a secret was given up together with its key.
NO_KEY_ID = "0" * 16
# Looked through at a time, for whether there is one at all.
LOOKED_AT_ROWS = 100
LOST = f"sealed.{NO_KEY_ID}.lost"


async def seal_for(tx: Tx, tenant: UUID, vault: Vault, tools: Iterable[CreateToolRequest | PatchToolRequest]) -> Seal:
    """What seals the secrets of these tools. Needs a transaction around it; holds off a change of the key until that ends.

    Raises:
        SecretsUnavailable: there are secrets among them, and this server has no key.
    """
    if not any(_has_secret(tool) for tool in tools):
        return unsealed
    return _seal_with(vault, tenant, await current_key.of(tx))


async def seal_for_task(tx: Tx, tenant: UUID, vault: Vault, tools: Iterable[JsonObject]) -> Seal:
    """As `seal_for`, for the tools of a task, which are JSON."""
    if not any(_is_fresh(tool["type"], tool[tool["type"]]) for tool in tools):
        return unsealed
    return _seal_with(vault, tenant, await current_key.of(tx))


def _seal_with(vault: Vault, tenant: UUID, key_id: str) -> Seal:
    def seal(tool_id: UUID, secret: JsonValue) -> JsonValue:
        return _written(vault.encrypt(tenant, tool_id, dumps(secret).decode(), key_id=key_id))

    return seal


def opened(vault: Vault, tenant: UUID, tool_id: UUID, stored: JsonValue) -> JsonValue:
    """A secret of a stored tool as it was given; what was stored before there was a seal is given as it is.

    Raises:
        SecretsUnavailable: this server has not the key, the row was changed, or the secret was given up.
    """
    if stored == LOST:
        raise SecretsUnavailable("a secret of this tool was given up together with its key", fix="send the tool again with its secrets")
    sealed = _read(tool_id, stored)
    return stored if sealed is None else loads(vault.decrypt(tenant, sealed))


@dataclass(frozen=True, slots=True)
class Row:
    """A tool of any tenant: its type and its member."""

    tenant: UUID
    id: UUID
    kind: str
    spec: JsonObject


OTHERS = r"""
SELECT x.tenant_id, x.id, x.type, x.spec FROM tools x
WHERE x.spec::text ~ ('sealed\.(?!' || $1 || '\.|0{16}\.)[0-9a-f]{16}\.') AND (x.tenant_id, x.id) > ($2, $3)
ORDER BY x.tenant_id, x.id LIMIT $4 FOR UPDATE
"""


async def others(tx: Tx, key_id: str, *, after: tuple[UUID, UUID], rows_max: int) -> list[Row]:
    """Tools with secrets under another key, by tenant and id from `after` on; locked until the transaction ends. None: there are no more."""
    while rows := await tx.fetch(OTHERS, key_id, *after, rows_max):
        after = (rows[-1]["tenant_id"], rows[-1]["id"])
        found = [Row(row["tenant_id"], row["id"], row["type"], row["spec"]) for row in rows]
        if sealed := [row for row in found if _is_of_another(row, key_id)]:
            return sealed
    return []


REPLACE = "UPDATE tools SET spec = $3 WHERE tenant_id = $1 AND id = $2"


async def move(tx: Tx, vault: Vault, row: Row, key_id: str) -> None:
    """Store the same secrets of a tool under another key; for its owner nothing has changed.

    Raises:
        SecretsUnavailable: one of them can't be decrypted.
    """
    await tx.execute(REPLACE, row.tenant, row.id, _anew(vault, row, key_id))


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A version of a task of any tenant, and its tools."""

    tenant: UUID
    task_id: UUID
    version: int
    tools: list[JsonObject]


OTHERS_OF_TASKS = r"""
SELECT x.tenant_id, x.task_id, x.version, x.tools FROM task_versions x
WHERE x.tools::text ~ ('sealed\.(?!' || $1 || '\.|0{16}\.)[0-9a-f]{16}\.') AND (x.tenant_id, x.task_id, x.version) > ($2, $3, $4)
ORDER BY x.tenant_id, x.task_id, x.version LIMIT $5 FOR UPDATE
"""


async def others_of_tasks(tx: Tx, key_id: str, *, after: tuple[UUID, UUID, int], rows_max: int) -> list[TaskRow]:
    """Versions of tasks with secrets under another key, from `after` on; locked until the transaction ends. None: there are no more."""
    while rows := await tx.fetch(OTHERS_OF_TASKS, key_id, *after, rows_max):
        after = (rows[-1]["tenant_id"], rows[-1]["task_id"], rows[-1]["version"])
        found = [TaskRow(row["tenant_id"], row["task_id"], row["version"], row["tools"]) for row in rows]
        if sealed := [row for row in found if any(_is_of_another(each, key_id) for each in _rows_of(row.tenant, row.tools))]:
            return sealed
    return []


REPLACE_OF_TASK = "UPDATE task_versions SET tools = $4 WHERE tenant_id = $1 AND task_id = $2 AND version = $3"


async def move_task(tx: Tx, vault: Vault, row: TaskRow, key_id: str) -> None:
    """Store the same secrets of a task's tools under another key.

    Raises:
        SecretsUnavailable: one of them can't be decrypted.
    """
    await tx.execute(REPLACE_OF_TASK, row.tenant, row.task_id, row.version, tools_anew(vault, row.tenant, row.tools, key_id))


def tools_anew(vault: Vault, tenant: UUID, tools: Iterable[JsonObject], key_id: str) -> list[JsonObject]:
    """Tools as they stand in a task or in a plan, with the same secrets under another key.

    Raises:
        SecretsUnavailable: one of them can't be decrypted.
    """
    given = list(tools)
    return [{**tool, row.kind: _anew(vault, row, key_id)} for tool, row in zip(given, _rows_of(tenant, given), strict=True)]


async def is_any_left(tx: Tx, key_id: str) -> bool:
    """Whether a tool of an agent, or of any version of a task, has a secret under another key."""
    nobody = UUID(int=0)
    if await others(tx, key_id, after=(nobody, nobody), rows_max=LOOKED_AT_ROWS):
        return True
    return bool(await others_of_tasks(tx, key_id, after=(nobody, nobody, 0), rows_max=LOOKED_AT_ROWS))


def _anew(vault: Vault, row: Row, key_id: str) -> JsonObject:
    def change(stored: JsonValue) -> JsonValue:
        sealed = _read(row.id, stored)
        if sealed is None or sealed.key_id == NO_KEY_ID:
            return stored
        return _written(vault.encrypt(row.tenant, row.id, vault.decrypt(row.tenant, sealed), key_id=key_id))

    return masks.each_secret(row.kind, row.spec, change)


async def give_up(tx: Tx, *, rows_max: int = 500) -> int:
    """Take the sealed secrets of all tools for lost, for who has lost the key: calls of these tools fail until they are sent again.

    Returns:
        How many tools of agents, and versions of tasks, had some.
    """
    nobody, count = UUID(int=0), 0
    after = (nobody, nobody)
    while rows := await others(tx, NO_KEY_ID, after=after, rows_max=rows_max):
        after, count = (rows[-1].tenant, rows[-1].id), count + len(rows)
        for row in rows:
            await tx.execute(REPLACE, row.tenant, row.id, _lost(row))
    begin = (nobody, nobody, 0)
    while found := await others_of_tasks(tx, NO_KEY_ID, after=begin, rows_max=rows_max):
        begin, count = (found[-1].tenant, found[-1].task_id, found[-1].version), count + len(found)
        for row in found:
            pairs = zip(row.tools, _rows_of(row.tenant, row.tools), strict=True)
            tools = [{**tool, each.kind: _lost(each)} for tool, each in pairs]
            await tx.execute(REPLACE_OF_TASK, row.tenant, row.task_id, row.version, tools)
    return count


def _lost(row: Row) -> JsonObject:
    return masks.each_secret(row.kind, row.spec, lambda stored: LOST if _key_of(stored) else stored)


def _rows_of(tenant: UUID, tools: Iterable[JsonObject]) -> list[Row]:
    """The tools of a task one by one."""
    return [Row(tenant, UUID(tool["id"]), tool["type"], tool[tool["type"]]) for tool in tools]


def _is_of_another(row: Row, key_id: str) -> bool:
    # A tenant can write what looks like a sealed secret where none is.
    return any(key not in (key_id, NO_KEY_ID) for key in _keys_of(row))


def _keys_of(row: Row) -> set[str]:
    """The keys that the secrets of a tool are sealed with."""
    found: set[str] = set()

    def note(stored: JsonValue) -> JsonValue:
        found.update(key for key in (_key_of(stored),) if key)
        return stored

    masks.each_secret(row.kind, row.spec, note)
    return found


def _key_of(stored: JsonValue) -> str | None:
    parts = _SEALED.fullmatch(stored) if isinstance(stored, str) else None
    return parts[1] if parts else None


def _has_secret(tool: CreateToolRequest | PatchToolRequest) -> bool:
    for kind in TOOL_TYPES:
        member = getattr(tool, kind)
        if member is not None:
            spec = member if isinstance(member, dict) else member.model_dump(mode="json", by_alias=True, exclude_none=True)
            if _is_fresh(kind, spec):
                return True
    return False


def _is_fresh(kind: str, spec: JsonObject) -> bool:
    """Whether there is a secret in a member that is not stored yet."""
    found: list[JsonValue] = []
    masks.each_secret(kind, spec, lambda value: found.append(value) or value)
    return any(value != masks.MARKER for value in found)


def _written(sealed: Sealed) -> str:
    return f"sealed.{sealed.key_id}.{base64.urlsafe_b64encode(sealed.data).decode().rstrip('=')}"


def _read(tool_id: UUID, stored: JsonValue) -> Sealed | None:
    parts = _SEALED.fullmatch(stored) if isinstance(stored, str) else None
    if parts is None:
        return None
    return Sealed(tool_id, parts[1], base64.urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4)))
