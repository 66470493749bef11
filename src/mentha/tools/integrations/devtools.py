"""A page of a remote browser, spoken to in the Chrome DevTools Protocol: commands and their results, and one event to wait for.

Source: the protocol's reference, domains Target, Page, Input, Runtime, Emulation.
"""

from collections.abc import Callable

from mentha.core.json import JsonInvalid, JsonObject, dumps, loads_hostile
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import answers
from mentha.tools.integrations.websocket import WebSocket

# A page may tell more than anybody asked for, without an end.
MESSAGES_MAX = 20_000


class Page:
    """The page that is steered: the first one there is, else a new one."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._session = ""
        self._id = 0

    async def attach(self) -> None:
        """Find the page."""
        found = answers.objects((await self.call("Target.getTargets")).get("targetInfos"))
        pages = [each for each in found if each.get("type") == "page" and not answers.words(each.get("url")).startswith("devtools:")]
        target = pages[0] if pages else await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target.get("targetId"), flatten=True)
        self._session = answers.words(attached.get("sessionId"))

    async def call(self, method: str, **params: object) -> JsonObject:
        """Give a command, and wait for its result.

        Raises:
            ToolFailed: the browser refuses it.
            OutboundFailed: the browser is gone.
        """
        self._id += 1
        command = {"id": self._id, "method": method, "params": params, **({"sessionId": self._session} if self._session else {})}
        await self._socket.send(dumps(command).decode())
        answer = await self._until(lambda message: message.get("id") == self._id)
        if error := answers.member(answer, "error"):
            raise ToolFailed(f"the browser refused the action: {answers.words(error.get('message'))[: answers.MESSAGE_CHARS_MAX]}")
        return answers.member(answer, "result")

    async def event(self, method: str) -> None:
        """Wait for an event of the page."""
        await self._until(lambda message: message.get("method") == method and message.get("sessionId") == self._session)

    async def evaluate(self, script: str) -> object:
        """The value of an expression of ours in the page."""
        return answers.member(await self.call("Runtime.evaluate", expression=script, returnByValue=True), "result").get("value")

    async def _until(self, wanted: Callable[[JsonObject], bool]) -> JsonObject:
        for _ in range(MESSAGES_MAX):
            try:
                message = loads_hostile((await self._socket.receive()).encode("utf-8", "replace"), depth_max_levels=200)
            except JsonInvalid:
                raise answers.odd("remote_browser") from None
            if isinstance(message, dict) and wanted(message):
                return message
        raise ToolFailed("the browser says too much and does not answer", retry=True)
