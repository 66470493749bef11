"""A remote browser, steered action by action. Each call connects, does one thing and leaves; what there is to remember is in the page.

Source: the actions are the original's, and Anthropic's computer tool's. Why there is no browser library:
`docs/decisions/0021-integrations.md`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from mentha.core.errors import OutboundFailed
from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import answers, files, keys, websocket
from mentha.tools.integrations.devtools import Page, PageClosed
from mentha.tools.integrations.service import Question, Service

TEXT_CHARS_MAX = 50_000
PIXELS_MAX = 65_535
WIDTH, HEIGHT = 1280, 720
LOAD_S = 15.0
# How much of a call's time an address may take to answer, and its page then to load.
ANSWER_SHARE, LOAD_SHARE = 0.6, 0.3
STUCK = "`navigate` and `refresh` lead out of a page that hangs"
# These do the same when they are done twice.
_LOOKING = frozenset({"screenshot", "cursor_position"})
# These lead out of a page.
_OPENING = frozenset({"navigate", "refresh"})
# Where the pointer was left. The browser itself does not tell.
POINTER = "window.__menthaPointer"
_BUTTONS = {"left_click": ("left", 1), "right_click": ("right", 1), "middle_click": ("middle", 1), "double_click": ("left", 2)}


async def perform_action(service: Service) -> JsonValue:
    """`output` in words, or `base64_image` (PNG) of a screenshot; `system` has what the page said in dialogs, which are closed."""
    action = service.text("action")
    url = await _address(service)
    try:
        async with (
            asyncio.timeout(service.means.outbound.limits.timeout_s),
            websocket.connected(service.means.outbound, service.tenant, url) as socket,
        ):
            page = Page(socket)
            await page.attach()
            try:
                await _resize(service, page)
                done = await _acted(service, page, action)
            except PageClosed:
                done = _closed(service, action)
    except TimeoutError:
        raise service.failed(f"the browser did not do `{action}` in time; {STUCK}", retry=action in _LOOKING) from None
    said = "\n".join(page.dialogs) or None
    return {"output": None, "error": None, "base64_image": None, "system": said, **done}


async def _acted(service: Service, page: Page, action: str) -> JsonObject:
    try:
        return await _ACTIONS[action](service, page)
    except OutboundFailed as error:
        if action in _LOOKING:
            raise
        raise service.failed(f"{error.message}; it may have done `{action}` before") from None


def _closed(service: Service, action: str) -> JsonObject:
    """Of a page that closed meanwhile. It is what a click may have been for, and no failure then. Pure."""
    if action in _LOOKING | _OPENING:
        raise service.failed(f"the page closed during `{action}`; there may be another one now", retry=action in _LOOKING)
    return {"output": f"the page closed during `{action}`"}


async def _address(service: Service) -> str:
    url = service.text("connect_url")
    if not url:
        raise service.failed("there is no browser: give `connect_url`, like the one that `browserbase` gives for a session")
    if not files.is_url(url):
        return url
    # A browser's own port tells its address.
    version = answers.object_of(await service.ask(Question(url=f"{url.rstrip('/')}/json/version")), "remote_browser")
    return answers.words(version.get("webSocketDebuggerUrl"))


async def _resize(service: Service, page: Page) -> None:
    width, height = service.setup.get("width"), service.setup.get("height")
    if width or height:
        size = {"width": width or WIDTH, "height": height or HEIGHT}
        # A page that hangs says nothing to this, and can be left all the same.
        give = page.tell if service.text("action") in _OPENING else page.call
        await give("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)


async def _navigate(service: Service, page: Page) -> JsonObject:
    given = service.text("text").strip()
    url = given if "://" in given else f"https://{given}"
    # Other schemes are ways into the machine that the browser runs on.
    if not given or not files.is_url(url):
        raise service.failed("the argument `text` must be an address (https://…)")
    try:
        async with asyncio.timeout(ANSWER_SHARE * service.means.outbound.limits.timeout_s):
            went = await page.call("Page.navigate", url=url)
    except TimeoutError:
        # The page would wait on, and answer nothing to the next call either.
        await page.call("Page.stopLoading")
        raise service.failed("the address did not answer in time") from None
    if went.get("isDownload"):
        raise service.failed("the address is a file to download, and no page")
    if went.get("errorText"):
        raise service.failed("the browser could not open the address", said=answers.words(went["errorText"]))
    # Without a loader it is another place in the page that is there.
    if went.get("loaderId"):
        await _loaded(service, page)
    return {"output": f"navigated to {url}"}


async def _refresh(service: Service, page: Page) -> JsonObject:
    await page.call("Page.reload")
    await _loaded(service, page)
    return {"output": "refreshed"}


async def _loaded(service: Service, page: Page) -> None:
    """Wait until the page has loaded. One that never ends doing so can be used all the same."""
    try:
        async with asyncio.timeout(min(LOAD_S, LOAD_SHARE * service.means.outbound.limits.timeout_s)):
            await page.loaded()
    except TimeoutError:
        pass


async def _screenshot(_: Service, page: Page) -> JsonObject:
    return {"base64_image": answers.words((await page.call("Page.captureScreenshot", format="png")).get("data"))}


async def _type(service: Service, page: Page) -> JsonObject:
    text = service.text("text")
    if not text or len(text) > TEXT_CHARS_MAX:
        raise service.failed(f"the argument `text` must have 1 to {TEXT_CHARS_MAX:,} characters")
    await page.call("Input.insertText", text=text)
    return {"output": f"typed {len(text)} characters"}


async def _key(service: Service, page: Page) -> JsonObject:
    pressed = keys.key_of(service.text("text"))
    common = {"key": pressed.key, "windowsVirtualKeyCode": pressed.code, "modifiers": pressed.modifiers}
    written = {"text": pressed.text} if pressed.text else {}
    await page.call("Input.dispatchKeyEvent", type="keyDown" if pressed.text else "rawKeyDown", **common, **written)
    await page.call("Input.dispatchKeyEvent", type="keyUp", **common)
    return {"output": f"pressed {service.text('text')}"}


async def _move(service: Service, page: Page) -> JsonObject:
    x, y = _point(service.arguments.get("coordinate"))
    await _mouse(page, "mouseMoved", x, y)
    return {"output": f"moved to {x}, {y}"}


async def _click(service: Service, page: Page) -> JsonObject:
    button, clicks = _BUTTONS[service.text("action")]
    given = service.arguments.get("coordinate")
    x, y = _point(given) if given else await _pointer(page)
    await _mouse(page, "mouseMoved", x, y)
    for count in range(1, clicks + 1):
        await _mouse(page, "mousePressed", x, y, button=button, clickCount=count)
        await _mouse(page, "mouseReleased", x, y, button=button, clickCount=count)
    return {"output": f"clicked at {x}, {y}"}


async def _drag(service: Service, page: Page) -> JsonObject:
    x, y = _point(service.arguments.get("coordinate"))
    from_x, from_y = await _pointer(page)
    await _mouse(page, "mousePressed", from_x, from_y, button="left", clickCount=1)
    await _mouse(page, "mouseMoved", x, y, button="left", buttons=1)
    await _mouse(page, "mouseReleased", x, y, button="left", clickCount=1)
    return {"output": f"dragged from {from_x}, {from_y} to {x}, {y}"}


async def _position(_: Service, page: Page) -> JsonObject:
    x, y = await _pointer(page)
    return {"output": f"X={x},Y={y}"}


async def _mouse(page: Page, kind: str, x: int, y: int, **more: object) -> None:
    await page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
    if kind == "mouseMoved":
        await page.evaluate(f"{POINTER} = [{x}, {y}]")


async def _pointer(page: Page) -> tuple[int, int]:
    found = await page.evaluate(f"{POINTER} || [0, 0]")
    # The page could say anything.
    try:
        return _point(found)
    except ToolFailed:
        return 0, 0


def _point(value: object) -> tuple[int, int]:
    numbers = [each for each in value if isinstance(each, int | float) and 0 <= each <= PIXELS_MAX] if isinstance(value, list) else []
    if not isinstance(value, list) or len(value) != 2 or len(numbers) != 2:
        raise ToolFailed("the argument `coordinate` must be x and y in pixels, like [200, 100]")
    return int(numbers[0]), int(numbers[1])


_ACTIONS: dict[str, Callable[[Service, Page], Awaitable[JsonObject]]] = {
    "key": _key,
    "type": _type,
    "mouse_move": _move,
    "left_click": _click,
    "left_click_drag": _drag,
    "right_click": _click,
    "middle_click": _click,
    "double_click": _click,
    "screenshot": _screenshot,
    "cursor_position": _position,
    "navigate": _navigate,
    "refresh": _refresh,
}

METHODS = {"perform_action": perform_action}
