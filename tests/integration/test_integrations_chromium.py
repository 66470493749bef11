"""The provider `remote_browser`, steering a real Chromium on loopback: all actions, and pages that don't do what they should."""

import asyncio
import base64
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config
from mentha.core.errors import OutboundRefused
from mentha.tools import integrations
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import Means, websocket
from mentha.tools.integrations.devtools import Page
from mentha.tools.outbound import Outbound
from tests.support import browser
from tests.support.wild_server import Seen, WildServer, answer, wild_server

pytest.importorskip("wsproto", reason="the package wsproto, which speaks WebSocket, is missing")
pytestmark = pytest.mark.skipif(browser.program() is None, reason="no Chromium on this machine")

# A page that tells the server, in order, of what is done to it. Requests go out one after another.
PAGE = """<!doctype html><meta charset=utf-8><style>* { margin: 0; padding: 0 } body > * { position: absolute; left: 0; width: 200px; height: 40px }</style>
<input id=field style="top: 0"><button id=button style="top: 50px">Press</button><a href=/second target=_blank style="top: 100px">Open</a>
<button style="top: 150px" onclick="tell('answer ' + confirm('Sure?'))">Ask</button>
<a href=/hangs style="top: 200px">Hang</a><button style="top: 250px" onclick="setTimeout(() => { fetch('/told', { method: 'POST', body: 'later' }); alert('late') }, 300)">Later</button>
<script>
let last = Promise.resolve()
function tell(what) { last = last.then(() => fetch('/told', { method: 'POST', body: what })) }
for (const kind of ['click', 'dblclick', 'contextmenu', 'auxclick', 'mousedown', 'mouseup'])
    button.addEventListener(kind, (event) => tell(`${kind} ${event.button} ${event.clientX},${event.clientY}`))
addEventListener('mousemove', (event) => tell(`move ${event.clientX},${event.clientY} ${event.buttons}`))
field.addEventListener('keydown', (event) => tell(`key ${event.key} ${event.ctrlKey}`))
field.addEventListener('input', () => tell(`value ${field.value}`))
addEventListener('hashchange', () => tell(`place ${location.hash}`))
addEventListener('load', () => (tell('loaded'), tell(`size ${innerWidth}x${innerHeight}`)))
</script>"""
# Never ends to load, and is ready all the same.
SLOW = "<!doctype html><script>fetch('/told', { method: 'POST', body: 'slow' })</script><img src=/hangs>"


class Site:
    """A web server, and what its pages told it."""

    def __init__(self) -> None:
        self.server = WildServer()
        self.told: list[str] = []
        self.came = asyncio.Condition()

    def url(self, path: str) -> str:
        return self.server.url(target=path)

    async def serve(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target == "/hangs":
            await asyncio.Event().wait()
        if seen.target == "/told":
            self.told.append(seen.body.decode())
            async with self.came:
                self.came.notify_all()
        writer.write(WEB.get(seen.target, answer(body=PAGE.encode(), content_type="text/html")))
        await writer.drain()

    async def heard(self, *wanted: str) -> list[str]:
        """All that was told since the last time, once these came, in this order."""
        async with asyncio.timeout(browser.WAIT_S), self.came:
            await self.came.wait_for(lambda: _in_order(wanted, self.told))
        told, self.told = self.told, []
        return told


WEB = {
    "/slow": answer(body=SLOW.encode(), content_type="text/html"),
    "/second": answer(
        body=b"<script>tell = (what) => fetch('/told', { method: 'POST', body: what }); tell('second')\n"
        b"onclick = (event) => { if (event.clientX > 100) close(); else tell('first') }; onkeydown = () => close()</script>",
        content_type="text/html",
    ),
    "/file": answer(body=b"x", content_type="application/octet-stream", content_disposition="attachment"),
    "/away": answer("302 Found", location="file:///etc/passwd"),
    "/told": answer("204 No Content"),
    "/alerts": answer(
        body=b"<script>alert('Hello')\nalert('again')\nfetch('/told', { method: 'POST', body: 'alerted' })</script>",
        content_type="text/html",
    ),
    "/stays": answer(
        body=b"<button style='position: absolute'>B</button><script>onbeforeunload = (event) => event.preventDefault()</script>",
        content_type="text/html",
    ),
}


def _in_order(wanted: tuple[str, ...], told: list[str]) -> bool:
    rest = iter(told)
    return all(each in rest for each in wanted)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with wild_server(made.serve) as made.server:
        yield made


@pytest.fixture
def chromium() -> Iterator[str]:
    with browser.listening() as address:
        yield address


async def act(address: str, action: str, *, setup: Any = None, allow: tuple[str, ...] = ("127.0.0.1",), **given: Any) -> Any:
    async def none(*_: Any) -> dict[str, str]:
        return {}

    limits = {name: given.pop(name) for name in list(given) if name.startswith("outbound_")}
    settings = config.load(environ={}, flags={"outbound_allow": allow, "outbound_timeout_s": 60.0, **limits})
    spec = {"provider": "remote_browser", "setup": {"connect_url": address, **(setup or {})}}
    return await integrations.run(Means(settings, Outbound(settings), none), UUID(int=7), spec, {"action": action, **given})


@asynccontextmanager
async def browser_of(address: str) -> AsyncIterator[Page]:
    """The browser itself, beside whoever steers its page."""
    async with websocket.connected(
        Outbound(config.load(environ={}, flags={"outbound_allow": ("127.0.0.1",)})), UUID(int=7), address
    ) as socket:
        yield Page(socket)


async def closing(address: str, action: str, **given: Any) -> None:
    """Do what closes the page, and wait until it is gone: the answer may come before."""
    async with asyncio.timeout(browser.WAIT_S), browser_of(address) as root:
        await root.call("Target.setDiscoverTargets", discover=True)
        await act(address, action, **given)
        await root.event("Target.targetDestroyed")


async def refusal(address: str, action: str, kind: type[Exception] = ToolFailed, **given: Any) -> str:
    with pytest.raises(kind) as failed:
        await act(address, action, **given)
    return str(failed.value)


def size(done: Any) -> tuple[int, int]:
    """Of the picture, in pixels."""
    picture = base64.b64decode(done["base64_image"])
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", picture[16:24])


async def test_chromium_opens_an_address_and_reloads_it(chromium: str, site: Site) -> None:
    done = await act(chromium, "navigate", text=site.url("/"))
    assert done == {"output": f"navigated to {site.url('/')}", "error": None, "base64_image": None, "system": None}
    assert (await act(chromium, "refresh"))["output"] == "refreshed"
    # Another place in the page that is there: nothing is loaded.
    pages = len([seen for seen in site.server.seen if seen.target == "/"])
    await act(chromium, "navigate", text=site.url("/#place"), outbound_timeout_s=600.0)
    await site.heard("place #place")
    assert len([seen for seen in site.server.seen if seen.target == "/"]) == pages == 2


async def test_chromium_clicks_with_every_button_where_it_is_told_to(chromium: str, site: Site) -> None:
    await act(chromium, "navigate", text=site.url("/"))
    assert (await act(chromium, "cursor_position"))["output"] == "X=0,Y=0"
    assert (await act(chromium, "mouse_move", coordinate=[20, 60]))["output"] == "moved to 20, 60"
    await site.heard("move 20,60 0")
    assert (await act(chromium, "cursor_position"))["output"] == "X=20,Y=60"
    assert (await act(chromium, "left_click"))["output"] == "clicked at 20, 60"
    await site.heard("mousedown 0 20,60", "mouseup 0 20,60", "click 0 20,60")
    await act(chromium, "right_click", coordinate=[30, 70])
    await site.heard("mousedown 2 30,70", "contextmenu 2 30,70", "mouseup 2 30,70")
    await act(chromium, "middle_click", coordinate=[31, 71])
    await site.heard("mousedown 1 31,71", "mouseup 1 31,71", "auxclick 1 31,71")
    await act(chromium, "double_click", coordinate=[32, 72])
    assert (await site.heard("click 0 32,72", "dblclick 0 32,72")).count("click 0 32,72") == 2
    assert (await act(chromium, "left_click_drag", coordinate=[99, 80]))["output"] == "dragged from 32, 72 to 99, 80"
    await site.heard("mousedown 0 32,72", "move 99,80 1", "mouseup 0 99,80")


async def test_chromium_types_and_presses_keys(chromium: str, site: Site) -> None:
    await act(chromium, "navigate", text=site.url("/"))
    await act(chromium, "left_click", coordinate=[10, 10])
    assert (await act(chromium, "type", text="Grüße 🍵"))["output"] == "typed 7 characters"
    await site.heard("value Grüße 🍵")
    await act(chromium, "key", text="BackSpace")
    await site.heard("key Backspace false", "value Grüße ")
    await act(chromium, "key", text="ctrl+a")
    await site.heard("key a true")
    await act(chromium, "key", text="shift+x")
    await site.heard("key X false", "value X")
    for name, told in (
        ("Return", "Enter"),
        ("Page_Down", "PageDown"),
        ("F5", "F5"),
        ("Left", "ArrowLeft"),
        ("Escape", "Escape"),
        ("Tab", "Tab"),
    ):
        await act(chromium, "key", text=name)
        await site.heard(f"key {told} false")


async def test_chromium_shows_its_page_in_the_size_of_the_setup(chromium: str, site: Site) -> None:
    await act(chromium, "navigate", text=site.url("/"), setup={"width": 400, "height": 300})
    await site.heard("size 400x300")
    assert size(await act(chromium, "screenshot", setup={"width": 400, "height": 300})) == (400, 300)
    # Through the browser's own port, and with one of the two.
    port = chromium.split("/")[2]
    assert size(await act(f"http://{port}/", "screenshot", setup={"width": 500})) == (500, 720)
    assert size(await act(chromium, "screenshot"))[0] > 0


async def test_address_that_chromium_can_not_open_is_told_with_its_reason(chromium: str, site: Site) -> None:
    async def fails(url: str) -> str:
        return await refusal(chromium, "navigate", text=url)

    with socket.socket() as taken:
        # Nobody listens there.
        taken.bind(("127.0.0.1", 0))
        assert "net::ERR_CONNECTION_REFUSED" in await fails(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert "net::ERR_UNSAFE_REDIRECT" in await fails(site.url("/away"))
    assert "file to download" in await fails(site.url("/file"))
    assert "invalid URL" in await fails("https://about:blank")
    assert "net::ERR_UNSAFE_PORT" in await fails("http://127.0.0.1:1/")
    # And it can be used as before.
    await act(chromium, "navigate", text=site.url("/"))


async def test_page_that_never_loads_can_be_used_and_address_that_never_answers_can_be_left(chromium: str, site: Site) -> None:
    assert (await act(chromium, "navigate", text=site.url("/slow"), outbound_timeout_s=8.0))["output"].startswith("navigated")
    await site.heard("slow")
    await act(chromium, "screenshot")
    assert "did not answer in time" in await refusal(chromium, "navigate", text=site.url("/hangs"), outbound_timeout_s=8.0)
    # The page before is still there.
    assert (await act(chromium, "mouse_move", coordinate=[1, 2]))["output"] == "moved to 1, 2"
    await act(chromium, "navigate", text=site.url("/"))
    await act(chromium, "left_click", coordinate=[10, 210])
    await act(chromium, "navigate", text=site.url("/#after"))
    await act(chromium, "left_click", coordinate=[10, 60])
    await site.heard("click 0 10,60")


async def test_dialogs_of_pages_are_closed_and_told_of(chromium: str, site: Site) -> None:
    done = await act(chromium, "navigate", text=site.url("/alerts"))
    await site.heard("alerted")
    assert done["system"].split("\n") == [f"the page showed a dialog (alert), which was closed: {said}" for said in ("Hello", "again")]
    await act(chromium, "navigate", text=site.url("/"))
    done = await act(chromium, "left_click", coordinate=[10, 160])
    assert "dialog (confirm), which was closed: Sure?" in done["system"]
    await site.heard("answer false")
    # A page that asks whether it may be left.
    await act(chromium, "navigate", text=site.url("/stays"))
    await act(chromium, "left_click", coordinate=[5, 5])
    done = await act(chromium, "navigate", text=site.url("/"))
    assert "beforeunload" in done["system"]
    assert done["output"] == f"navigated to {site.url('/')}"


async def test_page_with_a_dialog_that_nobody_saw_open_can_be_left(chromium: str, site: Site) -> None:
    await act(chromium, "navigate", text=site.url("/"))
    await act(chromium, "left_click", coordinate=[10, 260])
    await site.heard("loaded", "later")
    assert (await act(chromium, "refresh"))["output"] == "refreshed"
    await site.heard("loaded")


async def test_page_that_a_click_opens_is_steered_until_it_closes(chromium: str, site: Site) -> None:
    await act(chromium, "navigate", text=site.url("/"))
    await act(chromium, "left_click", coordinate=[10, 110])
    await site.heard("second")
    await act(chromium, "left_click", coordinate=[10, 60])
    await site.heard("first")
    await closing(chromium, "left_click", coordinate=[110, 60])
    await act(chromium, "left_click", coordinate=[10, 60])
    await site.heard("click 0 10,60")


@pytest.mark.parametrize(
    ("action", "given"),
    [("double_click", {"coordinate": [110, 60]}), ("key", {"text": "Return"}), ("left_click_drag", {"coordinate": [110, 60]})],
)
async def test_action_that_closes_its_page_is_done_and_told_of(chromium: str, site: Site, action: str, given: Any) -> None:
    await act(chromium, "navigate", text=site.url("/"))
    await act(chromium, "left_click", coordinate=[10, 110])
    await site.heard("second")
    await act(chromium, "mouse_move", coordinate=[110, 70])
    await closing(chromium, action, **given)
    # The next call is for the page that is left.
    await act(chromium, "left_click", coordinate=[10, 60])
    await site.heard("click 0 10,60")


async def test_page_that_crashes_is_told_of_and_can_be_left(chromium: str, site: Site) -> None:
    await act(chromium, "navigate", text=site.url("/"))
    opened = asyncio.create_task(refusal(chromium, "navigate", text=site.url("/slow")))
    await site.heard("slow")
    async with browser_of(chromium) as other:
        await other.attach()
        await other.tell("Page.crash")
        assert "crashed" in await opened
    await act(chromium, "navigate", text=site.url("/"))
    await site.heard("loaded")


async def test_browser_of_an_address_that_is_not_allowed_is_not_reached(chromium: str) -> None:
    assert "not" in await refusal(chromium, "screenshot", OutboundRefused, allow=())
    # Nor is one whose page shows more than may be read.
    assert "characters" in await refusal(chromium, "screenshot", OutboundRefused, outbound_response_bytes_max=1_000)
