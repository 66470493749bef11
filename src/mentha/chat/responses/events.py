"""A response as it comes: its events in OpenAI's order, and the whole of it, from one state. Pure.

    created → in_progress → (item added → part added → text deltas → text done → part done → item done
                            | item added → arguments delta → arguments done → item done)* → completed | incomplete | failed

Laws: events are numbered from 0 without a gap; an item is done before the next one is added; what the last event holds is what the deltas
said. Rounds that the server runs end an item and show nothing of their calls: a client would take them for its own to run.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from mentha.chat.answer import NO_NOTES, Notes
from mentha.chat.responses import items
from mentha.core.json import JsonObject, dumps, loads
from mentha.providers.types import Completion, Usage

# Why an answer is not complete, by the provider's reason to finish.
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Events:
    """Writes one response.

    Args:
        skeleton: the response without output, `in_progress`.
        entry_id: of the message that the model says first.
        streamed: the pieces are fed as they come; otherwise `whole` feeds them.

    Attributes:
        entry_id: of the message that the model says now; of the answer, once that is complete.
        round_ids: of the messages before it, whose calls the server ran.
    """

    def __init__(self, skeleton: JsonObject, entry_id: UUID, new_id: Callable[[], UUID], docs: bytes = b"[]", *, streamed: bool) -> None:
        self.entry_id = entry_id
        self.round_ids: list[UUID] = []
        self._response = skeleton
        self._new_id = new_id
        self._docs = docs
        self._streamed = streamed
        self._number = 0
        self._output: list[JsonObject] = []
        self._item_id = ""
        self._texts: list[str] = []
        self._delta = b""
        self._pending = b""

    @property
    def begun(self) -> bool:
        """Whether an event was written."""
        return self._number > 0

    def text(self, content: str) -> bytes:
        """A piece of text. Built from bytes: this is the hot path of a stream."""
        opening = b"" if self._item_id else self._begin_text(items.message_id(self.entry_id))
        self._texts.append(content)
        self._number += 1
        return b'%b%b%b,"sequence_number":%d}\n\n' % (opening, self._delta, dumps(content), self._number - 1)

    def tool_calls(self, calls: Sequence[JsonObject]) -> bytes:
        """The calls of a round, whole. Those of the server's own end what was said before them."""
        ended = self._end_text("completed")
        if any(call.get("auto_run") for call in calls):
            self._next_entry()
            return ended
        events = [self._opening(), ended]
        for place, call in enumerate(calls):
            events.append(self._call(items.function_call(items.call_item_id(self.entry_id, place), call)))
        return b"".join(events)

    def whole(self, completion: Completion, rounds: Sequence[str], warnings: Sequence[str], notes: Notes) -> bytes:
        """The response as it is stored."""
        if not self._streamed:
            for said in rounds:
                if said:
                    self.text(said)
                self._end_text("completed")
                self._next_entry()
            if completion.content:
                self.text(completion.content)
            if completion.tool_calls:
                self.tool_calls(completion.tool_calls)
        if not self._output and not self._item_id:
            # A response has something said, if only nothing.
            self._pending = self._begin_text(items.message_id(self.entry_id))
        reason = _CUT.get(completion.finish_reason)
        self._pending += self._end_text("incomplete" if reason else "completed")
        told = {"warnings": list(warnings), "docs": loads(self._docs), "context": notes.context, "jobs": list(notes.jobs)}
        self._response |= {
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "model": completion.model,
            "output": self._output,
            "usage": usage_of(completion.usage),
            "mentha": {**self._response["mentha"], **told},
        }
        return dumps(self._response)

    def last(self, finish_reason: str, usage: Usage | None, warnings: Sequence[str], notes: Notes = NO_NOTES) -> bytes:
        """The end of a stream, after `whole`."""
        del finish_reason, usage, warnings, notes  # `whole` knows them
        return self._opening() + self._pending + self._event(f"response.{self._response['status']}", {"response": self._response})

    def failed(self, error: JsonObject) -> bytes:
        """The end of a stream whose turn failed; nothing of it is stored."""
        self._response |= {"status": "failed", "error": error}
        return self._opening() + self._event("response.failed", {"response": self._response})

    def again(self, response: JsonObject) -> list[bytes]:
        """The events of a response that is complete."""
        events = [self._opening()]
        for item in response["output"]:
            if item["type"] == "function_call":
                events.append(self._call(item))
            else:
                events += [self._begin_text(item["id"]), self.text(item["content"][0]["text"]), self._end_text(item["status"])]
        return [*events, self._event(f"response.{response['status']}", {"response": response})]

    def _opening(self) -> bytes:
        if self.begun:
            return b""
        return self._event("response.created", {"response": self._response}) + self._event(
            "response.in_progress", {"response": self._response}
        )

    def _next_entry(self) -> None:
        self.round_ids.append(self.entry_id)
        self.entry_id = self._new_id()

    def _begin_text(self, item_id: str) -> bytes:
        opening = self._opening()
        place = len(self._output)
        self._item_id, self._texts = item_id, []
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        # What each delta repeats, up to its text.
        head = {"type": "response.output_text.delta", "item_id": item_id, "output_index": place, "content_index": 0, "logprobs": []}
        self._delta = b"event: response.output_text.delta\ndata: " + dumps(head)[:-1] + b',"delta":'
        added = self._event("response.output_item.added", {"output_index": place, "item": item})
        return opening + added + self._event("response.content_part.added", {**self._place(), "part": items.output_text("")})

    def _end_text(self, status: str) -> bytes:
        if not self._item_id:
            return b""
        text, place = "".join(self._texts), self._place()
        item = items.output_message(self._item_id, text, status)
        said = self._event("response.output_text.done", {**place, "text": text, "logprobs": []})
        part = self._event("response.content_part.done", {**place, "part": items.output_text(text)})
        self._item_id, self._texts = "", []
        return said + part + self._done(item)

    def _call(self, item: JsonObject) -> bytes:
        place = {"item_id": item["id"], "output_index": len(self._output)}
        begun = {**item, "arguments": "", "status": "in_progress"}
        return (
            self._event("response.output_item.added", {"output_index": len(self._output), "item": begun})
            + self._event("response.function_call_arguments.delta", {**place, "delta": item["arguments"]})
            + self._event("response.function_call_arguments.done", {**place, "name": item["name"], "arguments": item["arguments"]})
            + self._done(item)
        )

    def _done(self, item: JsonObject) -> bytes:
        self._output.append(item)
        return self._event("response.output_item.done", {"output_index": len(self._output) - 1, "item": item})

    def _place(self) -> JsonObject:
        return {"item_id": self._item_id, "output_index": len(self._output), "content_index": 0}

    def _event(self, kind: str, fields: JsonObject) -> bytes:
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + dumps({"type": kind, **fields, "sequence_number": self._number - 1}) + b"\n\n"


def replayed(body: bytes) -> list[bytes]:
    """A kept response as a stream."""
    response = loads(body)
    skeleton = {**response, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    return Events(skeleton, UUID(int=0), lambda: UUID(int=0), streamed=True).again(response)


def usage_of(usage: Usage | None) -> JsonObject | None:
    """Tokens in the form of Responses."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }
