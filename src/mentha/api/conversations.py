"""OpenAI's Conversations over HTTP: sessions and their entries under other names."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from mentha.api.body import Route
from mentha.api.deps import RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.chat import messages as drafting
from mentha.chat import save
from mentha.chat.responses import items, shape
from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps
from mentha.store import responses, sessions, turns
from mentha.wire import responses as wire
from mentha.wire.chat import Message
from mentha.wire.conversations import Conversation, CreateConversation, CreateItems, DeletedConversation, UpdateConversation
from mentha.wire.responses import ItemList

router = APIRouter(tags=["conversations"], route_class=Route)

Order = Literal["asc", "desc"]


@router.post("/conversations", responses=errors(400, 422))
async def create_conversation(body: CreateConversation, tenant: TenantId, runtime: RuntimeOf) -> Conversation:
    """Create a conversation"""
    said = items.messages_of(wire.items(body.items or [], "items"), "items")
    entries = await _entries(said)
    session_id, agent_id = new_id(), shape.made_agent(tenant)
    async with runtime.database.transaction() as tx:
        await responses.make_agent(tx, tenant, agent_id)
        await responses.put_session(tx, tenant, session_id, overflow=None, metadata=body.metadata)
        await responses.put_agent(tx, tenant, session_id, agent_id)
        if entries:
            await turns.add(tx, tenant, session_id, entries)
        return _shown(await responses.conversation(tx, tenant, session_id))


@router.get("/conversations/{conversation_id}", responses=errors(404))
async def get_conversation(conversation_id: str, tenant: TenantId, tx: Statement) -> Conversation:
    """Get a conversation: any session is one"""
    return _shown(await responses.conversation(tx, tenant, _id(conversation_id)))


@router.post("/conversations/{conversation_id}", responses=errors(404, 422))
async def update_conversation(conversation_id: str, body: UpdateConversation, tenant: TenantId, tx: Statement) -> Conversation:
    """Replace the metadata of a conversation"""
    return _shown(await responses.update_conversation(tx, tenant, _id(conversation_id), body.metadata or {}))


@router.delete("/conversations/{conversation_id}", responses=errors(404))
async def delete_conversation(conversation_id: str, tenant: TenantId, tx: Statement) -> DeletedConversation:
    """Delete a conversation with its items and responses"""
    await sessions.delete(tx, tenant, _id(conversation_id))
    return DeletedConversation(id=conversation_id)


@router.post("/conversations/{conversation_id}/items", response_model=ItemList, responses=errors(400, 404, 422))
async def create_items(conversation_id: str, body: CreateItems, tenant: TenantId, runtime: RuntimeOf) -> Response:
    """Put items at the end of a conversation, without asking a model"""
    said = items.messages_of(wire.items(body.items, "items"), "items")
    entries = await _entries(said)
    async with runtime.database.transaction() as tx:
        await turns.add(tx, tenant, _id(conversation_id), entries)
    made = [(entry.id, message) for entry, message in zip(entries, said, strict=True)]
    return _page([item for entry_id, message in made for item in items.items_of(entry_id, message.model_dump(mode="json"))], more=False)


@router.get("/conversations/{conversation_id}/items", response_model=ItemList, responses=errors(404))
async def list_items(
    conversation_id: str,
    tenant: TenantId,
    tx: Tx,
    after: Annotated[str | None, Query(description="The item before the page")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Order, Query(description="By default the newest first")] = "desc",
) -> Response:
    """The items of a conversation"""
    session_id, newest_first = _id(conversation_id), order == "desc"
    await responses.conversation(tx, tenant, session_id)
    at = _entry(after) if after is not None else None
    # Each message is one item or more; that of `after` may have some that come after it, or none.
    found = await responses.messages(tx, tenant, session_id, at=at, limit=limit + 2, newest_first=newest_first)
    listed: list[JsonObject] = []
    for each in found:
        made = items.items_of(each.id, each.message)
        listed += reversed(made) if newest_first else made
    places = [place for place, item in enumerate(listed) if item["id"] == after]
    if after is not None and not places:
        raise NotFound("Item not found")
    listed = listed[places[0] + 1 :] if places else listed
    return _page(listed[:limit], more=len(listed) > limit)


@router.get("/conversations/{conversation_id}/items/{item_id}", responses=errors(404))
async def get_item(conversation_id: str, item_id: str, tenant: TenantId, tx: Tx) -> dict[str, Any]:
    """Get an item of a conversation"""
    found = await responses.messages(tx, tenant, _id(conversation_id), at=_entry(item_id), limit=1, newest_first=False)
    made = [item for each in found for item in items.items_of(each.id, each.message) if item["id"] == item_id]
    if not made:
        raise NotFound("Item not found")
    return made[0]


@router.delete("/conversations/{conversation_id}/items/{item_id}", responses=errors(404))
async def delete_item(conversation_id: str, item_id: str, tenant: TenantId, tx: Tx) -> Conversation:
    """Delete an item; calls of functions go with all that belongs to them"""
    session_id = _id(conversation_id)
    await responses.delete_message(tx, tenant, session_id, _entry(item_id))
    return _shown(await responses.conversation(tx, tenant, session_id))


async def _entries(said: list[Message]) -> list[turns.NewEntry]:
    return await save.rows_of(drafting.drafts(said, ()), model="")


def _shown(row: Any) -> Conversation:
    return Conversation(id=f"conv_{row['id'].hex}", created_at=int(row["created_at"].timestamp()), metadata=row["metadata"])


def _page(listed: list[JsonObject], *, more: bool) -> Response:
    first, last = (listed[0]["id"], listed[-1]["id"]) if listed else (None, None)
    body = {"object": "list", "data": listed, "first_id": first, "last_id": last, "has_more": more}
    return Response(dumps(body), media_type="application/json")


def _id(shown: str) -> UUID:
    found = items.id_of(shown)
    if found is None:
        raise NotFound("Conversation not found")
    return found


def _entry(shown: str) -> UUID:
    found = items.entry_of(shown)
    if found is None:
        raise NotFound("Item not found")
    return found
