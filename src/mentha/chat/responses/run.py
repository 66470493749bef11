"""A response as a turn: where it stands, and what is stored with it.

place   a session of its own; the session of the response that it follows, or a copy of that; a conversation
store   with the turn: the response, unless it was cancelled
failed  what a client may know of stays as failed; of all else nothing does
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from mentha.chat.answer import Head
from mentha.chat.responses.events import Events
from mentha.chat.responses.shape import Asked, error_of, made_agent, unstored_session
from mentha.core.errors import BadRequest, Conflict, MenthaError, ParticipantInvalid
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, loads
from mentha.store import responses
from mentha.store.pool import Database, Tx
from mentha.store.responses import NewResponse


class ResponseForm:
    """The form (`chat/form.py`) of one response.

    Attributes:
        placed: set once the response can be asked for.
    """

    kind = "response"

    def __init__(self, tenant: UUID, head: Head, asked: Asked, database: Database) -> None:
        self.system = asked.system
        self.options = asked.options
        self.ids = asked.ids
        self.placed = asyncio.Event()
        self._tenant = tenant
        self._id = head.id
        self._asked = asked
        self._database = database
        self._first_id = new_id()
        self._session_id: UUID | None = None
        self._agent_id: UUID | None = None
        # Of this response alone: it goes where nothing comes of it.
        self._made_session = False
        self._row = self._stored = False
        self._events: Events | None = None

    @property
    def answer_id(self) -> UUID:
        """Of the answer's entry."""
        return self._events.entry_id if self._events else self._first_id

    @property
    def round_ids(self) -> Sequence[UUID]:
        """Of the messages whose calls the server ran."""
        return self._events.round_ids if self._events else ()

    @property
    def skeleton(self) -> JsonObject:
        """The response until it is complete."""
        return self._asked.skeleton

    async def place(self, database: Database) -> UUID:
        """Make what the response stands on, and its row; gives the session.

        Raises:
            NotFound: no such previous response or conversation.
            BadRequest: no such agent, or a previous response that is not complete.
        """
        for retry in (False, True):
            try:
                self._session_id = await self._place(database, make=retry)
                break
            except ParticipantInvalid:
                # The agent for this was never made, or deleted.
                if retry:
                    raise
        self.placed.set()
        if self._session_id is None:
            raise RuntimeError("a response has no session")
        self._stands_in(self._session_id)
        return self._session_id

    def writer(self, head: Head, docs: bytes) -> Events:
        """How the response is written."""
        del head  # the skeleton has it
        self._events = Events(self.skeleton, self._first_id, new_id, docs, streamed=self._asked.streamed)
        return self._events

    async def store(self, tx: Tx, answer: bytes) -> None:
        """Store the response with its turn.

        Raises:
            Conflict: it was cancelled, or deleted, meanwhile.
        """
        body = loads(answer)
        if self._row and not await responses.finish(tx, self._tenant, self._id, body["status"], body):
            raise Conflict("the response was cancelled")
        if self._made_session and not self._row and self._session_id is not None and self._agent_id is not None:
            # Its answer is kept for a client that sends its request again; its session is not.
            kept_in = unstored_session(self._agent_id, self._asked.overflow)
            await responses.put_session(tx, self._tenant, kept_in, overflow=self._asked.overflow)
            await responses.move_turn(tx, self._tenant, self._id, kept_in)
            await responses.drop_session(tx, self._tenant, self._session_id)
        self._stored = True

    async def failed(self, error: BaseException) -> None:
        """Leave a response that a client may know of as failed or cancelled, and nothing of any other."""
        if self._session_id is None or self._stored:
            return
        is_known = self._asked.background or (self._events is not None and self._events.begun)
        try:
            async with self._database.transaction() as tx:
                if self._row and is_known:
                    await responses.end(tx, self._tenant, self._id, *_end(error))
                elif self._made_session:
                    # Its row goes with it.
                    await responses.drop_session(tx, self._tenant, self._session_id)
                elif self._row:
                    await responses.delete(tx, self._tenant, self._id)
        except MenthaError:
            # The database is away: the row stays, and is shown as failed once it is too old to be true.
            return

    def broke_off(self, error: JsonObject) -> bytes:
        """The end of a stream whose turn failed after its first event."""
        return self._events.failed(error) if self._events else b""

    async def _place(self, database: Database, *, make: bool) -> UUID:
        asked, tenant = self._asked, self._tenant
        async with database.transaction() as tx:
            self._agent_id = agent_id = await self._agent(tx, make=make)
            if asked.conversation is not None:
                await responses.conversation(tx, tenant, asked.conversation)
                await responses.put_agent(tx, tenant, asked.conversation, agent_id)
                self._asked.chat.agent = agent_id
                await self._begin(tx, asked.conversation)
                return asked.conversation
            if asked.previous is not None:
                return await self._follow(tx, asked.previous, agent_id)
            if not asked.stored:
                return await self._unstored(tx, agent_id)
            session_id = new_id()
            await responses.begin_new(tx, tenant, self._new(session_id), agent_id, overflow=asked.overflow)
            self._row = self._made_session = True
            return session_id

    async def _unstored(self, tx: Tx, agent_id: UUID) -> UUID:
        """The one session of all responses that are not stored; where somebody has talked in it, one that goes with this response."""
        session_id = unstored_session(agent_id, self._asked.overflow)
        is_empty = await responses.is_empty(tx, self._tenant, session_id, agent_id)
        if is_empty:
            return session_id
        if is_empty is False:
            session_id, self._made_session = new_id(), True
        await responses.put_session(tx, self._tenant, session_id, overflow=self._asked.overflow)
        await responses.put_agent(tx, self._tenant, session_id, agent_id)
        return session_id

    async def _agent(self, tx: Tx, *, make: bool) -> UUID:
        name = self._asked.agent
        if name is not None:
            found = await responses.find_agent(tx, self._tenant, name)
            if found is None:
                raise BadRequest("no agent has this id or canonical name", fix="name one of `GET /agents`")
            return found
        agent_id = made_agent(self._tenant)
        if make:
            await responses.make_agent(tx, self._tenant, agent_id)
        return agent_id

    async def _follow(self, tx: Tx, previous_id: UUID, agent_id: UUID) -> UUID:
        """Go on in the session of a response, where nothing else has; in a copy of it otherwise."""
        before = await responses.previous(tx, self._tenant, previous_id)
        if before.last_seq is None:
            raise BadRequest("the previous response is not complete", fix="wait until its status is `completed`")
        session_id = before.session_id
        goes_on = self._asked.stored and before.is_last and not before.conversation
        if not goes_on or not await self._begin(tx, session_id, continues=previous_id):
            session_id = new_id()
            await responses.fork(tx, self._tenant, before.session_id, session_id, last_seq=before.last_seq)
            self._made_session = True
            await self._begin(tx, session_id)
        await responses.put_agent(tx, self._tenant, session_id, agent_id)
        self._asked.chat.agent = agent_id
        return session_id

    async def _begin(self, tx: Tx, session_id: UUID, *, continues: UUID | None = None) -> bool:
        """Store the row of a response that is to be stored; False where another one was first."""
        if self._asked.stored:
            self._row = await responses.begin(tx, self._tenant, self._new(session_id), continues=continues)
            return self._row
        return True

    def _stands_in(self, session_id: UUID) -> None:
        self.skeleton["mentha"] = {"session_id": str(session_id)}

    def _new(self, session_id: UUID) -> NewResponse:
        asked = self._asked
        self._stands_in(session_id)
        return NewResponse(self._id, session_id, asked.conversation is not None, asked.background, asked.skeleton, asked.input)


def _end(error: BaseException) -> tuple[str, JsonObject]:
    """How a response ended, and what of it changes."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", {"status": "cancelled"}
    known = isinstance(error, MenthaError)
    message = error.message if known else "something went wrong in the server"
    return "failed", {"status": "failed", "error": error_of(error.status if known else 500, message)}
