"""A page of a remote browser, spoken to in the Chrome DevTools Protocol: commands and their results, and one event to wait for.

Source: the protocol's reference, domains Target, Page, Input, Runtime, Emulation; the rest was seen with Chromium 150: the order of
`Target.getTargets` changes from call to call, and while a page shows a dialog, or waits for the first byte of another, it answers nothing
but what opens an address. A page that closes owes its answers for good.
"""

import asyncio
from collections.abc import Callable

from mentha.core.json import JsonInvalid, JsonObject, dumps, loads_hostile
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import answers
from mentha.tools.integrations.websocket import WebSocket

# A page may tell more than anybody asked for, without an end.
MESSAGES_MAX = 20_000
# How long a page may take to say that it can be steered.
READY_S = 3.0
# How often to look for a page where each is gone before it can be steered.
ATTACH_TRIES_MAX = 3
# So the browser refuses what is meant for a page that has closed.
GONE = ("Session with given id not found", "No target with given id found")
# True once the page has loaded.
LOADED = "document.readyState === 'complete' || new Promise((done) => addEventListener('load', () => done(true)))"
# Of what pages say in dialogs; more are closed without a word.
DIALOGS_MAX = 3


class PageClosed(Exception):
    """The page closed before it had answered; what it was told to do may be what closed it."""


class Page:
    """The page that is steered, a new one where there is none.

    Attributes:
        dialogs: what the page said in dialogs, in words; at most `DIALOGS_MAX`. Each was closed at once: nothing else goes on before.
    """

    def __init__(self, socket: WebSocket) -> None:
        self.dialogs: list[str] = []
        self._socket = socket
        self._session = ""
        self._id = 0
        self._tells_events = False

    async def attach(self) -> None:
        """Find the page.

        Raises:
            ToolFailed: there is none that stays; again later.
        """
        for _ in range(ATTACH_TRIES_MAX):
            try:
                return await self._attach()
            except PageClosed:
                self._session = ""
        raise ToolFailed("the pages of the browser close as soon as they are found", retry=True)

    async def _attach(self) -> None:
        target = steered(answers.objects((await self.call("Target.getTargets")).get("targetInfos")))
        if target is None:
            target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target.get("targetId"), flatten=True)
        self._session = answers.words(attached.get("sessionId"))
        # From then on it tells of loading and of dialogs. A page that hangs says nothing to this, and can be left all the same.
        try:
            async with asyncio.timeout(READY_S):
                await self.call("Page.enable")
            self._tells_events = True
        except TimeoutError:
            pass

    async def tell(self, method: str, **params: object) -> int:
        """Give a command without waiting for its result; gives its number."""
        self._id += 1
        command = {"id": self._id, "method": method, "params": params, **({"sessionId": self._session} if self._session else {})}
        await self._socket.send(dumps(command).decode())
        return self._id

    async def call(self, method: str, **params: object) -> JsonObject:
        """Give a command, and wait for its result.

        Raises:
            ToolFailed: the browser refuses it, or the page crashed.
            PageClosed: the page is gone.
            OutboundFailed: the browser is gone.
        """
        number = await self.tell(method, **params)
        answer = await self._until(lambda message: message.get("id") == number)
        if error := answers.member(answer, "error"):
            said = answers.words(error.get("message"))
            if said.startswith(GONE):
                raise PageClosed
            raise ToolFailed(f"the browser refused the action: {said[: answers.MESSAGE_CHARS_MAX]}")
        return answers.member(answer, "result")

    async def event(self, method: str) -> None:
        """Wait for an event of the page; of the browser as long as there is none."""
        await self._until(lambda message: message.get("method") == method and message.get("sessionId", "") == self._session)

    async def loaded(self) -> None:
        """Wait until what was opened has loaded. Of a page that crashed there are no events; its successor can be asked."""
        await (self.event("Page.loadEventFired") if self._tells_events else self.evaluate(LOADED, waits=True))

    async def evaluate(self, script: str, *, waits: bool = False) -> object:
        """The value of an expression of ours in the page; of a promise, where it waits."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=waits)
        return answers.member(answer, "result").get("value")

    async def _until(self, wanted: Callable[[JsonObject], bool]) -> JsonObject:
        for _ in range(MESSAGES_MAX):
            try:
                message = loads_hostile((await self._socket.receive()).encode("utf-8", "replace"), depth_max_levels=200)
            except JsonInvalid:
                raise answers.odd("remote_browser") from None
            if not isinstance(message, dict):
                continue
            if wanted(message):
                return message
            await self._note(message.get("method"), message.get("sessionId"), answers.member(message, "params"))
        raise ToolFailed("the browser says too much and does not answer", retry=True)

    async def _note(self, method: object, session: object, params: JsonObject) -> None:
        """React to an event that nobody waits for. Events of a page name its session, the end of a session is told by the browser."""
        if not self._session:
            return
        if method == "Target.detachedFromTarget" and params.get("sessionId") == self._session:
            raise PageClosed
        if method == "Inspector.targetCrashed" and session == self._session:
            raise ToolFailed("the page crashed; `navigate` leads out of it")
        if method == "Page.javascriptDialogOpening" and session == self._session:
            await self._close_dialog(params)

    async def _close_dialog(self, dialog: JsonObject) -> None:
        kind = answers.words(dialog.get("type"))
        # No to all that asks, except whether a page may be left: it is being left.
        await self.tell("Page.handleJavaScriptDialog", accept=kind == "beforeunload")
        if len(self.dialogs) < DIALOGS_MAX:
            said = answers.words(dialog.get("message"))[: answers.MESSAGE_CHARS_MAX]
            self.dialogs.append(f"the page showed a dialog ({kind or 'unknown'}), which was closed: {said}")


def steered(targets: list[JsonObject]) -> JsonObject | None:
    """The page to steer: the one that was opened last by a page that was opened last, and so on from the first. Pure.

    Whoever clicks on a link that opens another page means that page. Where several could be meant, it is the same one each time.
    """
    pages = {answers.words(each.get("targetId")): each for each in targets if _is_page(each)}
    opened: dict[str, list[str]] = {}
    for name, each in pages.items():
        opener = answers.words(each.get("openerId"))
        opened.setdefault(opener if opener in pages else "", []).append(name)
    name = ""
    # Each page once: what a browser tells could go in circles.
    for _ in pages:
        if name not in opened:
            break
        name = min(opened[name])
    return pages.get(name)


def _is_page(target: JsonObject) -> bool:
    # With a subtype it is one that is loaded beforehand, and that nobody sees.
    return target.get("type") == "page" and not target.get("subtype") and not answers.words(target.get("url")).startswith("devtools:")
