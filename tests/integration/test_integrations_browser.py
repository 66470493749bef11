"""The provider `remote_browser`, against a browser's end of its protocol. `test_integrations_chromium.py` has a real one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config
from mentha.core.errors import MenthaError, OutboundFailed, OutboundRefused
from mentha.tools import integrations
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import Means
from mentha.tools.integrations.devtools import steered
from mentha.tools.integrations.keys import key_of
from mentha.tools.outbound import Outbound
from tests.support.vendors.browser_server import KEY, PNG, BrowserServer, browser_server
from tests.support.wild_server import wild_server

CLOSED = {"method": "Target.detachedFromTarget", "params": {"sessionId": "S-p", "targetId": "p"}}


@pytest.fixture
async def browser() -> AsyncIterator[BrowserServer]:
    async with browser_server() as running:
        yield running


async def act(browser: BrowserServer, action: str, *, setup: Any = None, url: str = "", **given: Any) -> Any:
    async def none(*_: Any) -> dict[str, str]:
        return {}

    limits = {name: given.pop(name) for name in list(given) if name.startswith("outbound_")}
    settings = config.load(environ={}, flags={"outbound_allow": ("127.0.0.1",), **limits})
    arguments = {"action": action, "connect_url": url or f"ws://127.0.0.1:{browser.port}/?signingKey={KEY}", **given}
    spec = {"provider": "remote_browser", "setup": setup or {}}
    return await integrations.run(Means(settings, Outbound(settings), none), UUID(int=7), spec, arguments)


async def test_address_is_opened_and_waited_for_in_the_page_that_is_there(browser: BrowserServer) -> None:
    browser.noise = [{"method": "Target.targetCreated", "params": {}}, {"id": 77, "result": {}}]
    done = await act(browser, "navigate", text="example.com/tea", setup={"width": 800})
    assert done == {"output": "navigated to https://example.com/tea", "error": None, "base64_image": None, "system": None}
    assert browser.methods() == ["getTargets", "attachToTarget", "enable", "setDeviceMetricsOverride", "navigate"]
    assert browser.told[3][1] == {"width": 800, "height": 720, "deviceScaleFactor": 1, "mobile": False}
    assert (await act(browser, "refresh"))["output"] == "refreshed"


async def test_screenshot_is_a_picture_in_base64(browser: BrowserServer) -> None:
    assert (await act(browser, "screenshot"))["base64_image"] == PNG
    # Through the browser's own port, too.
    assert (await act(browser, "screenshot", url=f"http://127.0.0.1:{browser.port}/"))["base64_image"] == PNG


async def test_pointer_is_where_the_last_call_left_it(browser: BrowserServer) -> None:
    assert (await act(browser, "cursor_position"))["output"] == "X=0,Y=0"
    await act(browser, "mouse_move", coordinate=[30, 40.5])
    assert (await act(browser, "cursor_position"))["output"] == "X=30,Y=40"
    assert (await act(browser, "right_click"))["output"] == "clicked at 30, 40"
    await act(browser, "double_click", coordinate=[1, 2])
    assert (await act(browser, "left_click_drag", coordinate=[9, 9]))["output"] == "dragged from 1, 2 to 9, 9"
    mouse = [(given["type"], given["x"], given.get("button")) for method, given in browser.told if method == "Input.dispatchMouseEvent"]
    assert mouse[1:4] == [("mouseMoved", 30, None), ("mousePressed", 30, "right"), ("mouseReleased", 30, "right")]
    assert [kind for kind, *_ in mouse[4:9]] == ["mouseMoved", *["mousePressed", "mouseReleased"] * 2]
    # What a page makes of it is not believed.
    browser.pointer = ["<script>", -1]
    assert (await act(browser, "cursor_position"))["output"] == "X=0,Y=0"


async def test_text_is_typed_and_keys_are_pressed(browser: BrowserServer) -> None:
    await act(browser, "type", text="Grüße\n")
    assert browser.told[-1] == ("Input.insertText", {"text": "Grüße\n"})
    await act(browser, "key", text="Return")
    down = {"type": "keyDown", "key": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 0, "text": "\r"}
    assert browser.told[-2:] == [
        ("Input.dispatchKeyEvent", down),
        ("Input.dispatchKeyEvent", {"type": "keyUp", "key": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 0}),
    ]


@pytest.mark.parametrize(
    ("targets", "steered_to"),
    [
        ([], None),
        ([("worker", "", "service_worker")], None),
        ([("b", "", "page"), ("a", "", "page")], "a"),
        ([("c", "b", "page"), ("b", "a", "page"), ("a", "", "page")], "c"),
        ([("b", "gone", "page"), ("c", "b", "page")], "c"),
        # What a browser tells need not make sense.
        ([("a", "b", "page"), ("b", "a", "page")], None),
        ([("a", "a", "page"), ("c", "", "page")], "c"),
    ],
)
def test_page_that_was_opened_last_by_the_one_before_is_steered(targets: Any, steered_to: str | None) -> None:
    for told in (targets, targets[::-1]):
        found = steered([{"targetId": name, "openerId": opener, "type": kind, "url": "about:blank"} for name, opener, kind in told])
        assert (found or {}).get("targetId") == steered_to


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ctrl+s", ("s", 83, 2, "")),
        ("ctrl+shift+T", ("T", 84, 10, "")),
        ("shift+a", ("A", 65, 8, "A")),
        ("Page_Down", ("PageDown", 34, 0, "")),
        ("ctrl++", ("+", 0, 2, "")),
        ("+", ("+", 0, 0, "+")),
        ("F5", ("F5", 116, 0, "")),
        ("ü", ("ü", 0, 0, "ü")),
    ],
)
def test_key_by_its_name_is_the_key_of_the_web(text: str, told: Any) -> None:
    key = key_of(text)
    assert (key.key, key.code, key.modifiers, key.text) == told


@pytest.mark.parametrize("text", ["", "foo+", "Foo", "a+b", "x" * 1_000, "\n"])
def test_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ToolFailed):
        key_of(text)


@pytest.mark.parametrize(
    ("action", "given"),
    [
        ("navigate", {"text": "file:///etc/passwd"}),
        ("navigate", {"text": "javascript:alert(1)://"}),
        ("navigate", {"text": ""}),
        ("mouse_move", {"coordinate": [1]}),
        ("mouse_move", {"coordinate": [1, "x"]}),
        ("mouse_move", {}),
        ("left_click", {"coordinate": [-1, 70_000]}),
        ("type", {"text": ""}),
        ("dance", {}),
        ("screenshot", {"url": "file:///etc/passwd"}),
        ("screenshot", {"url": "ws://"}),
    ],
)
async def test_action_that_makes_no_sense_is_refused(browser: BrowserServer, action: str, given: dict[str, Any]) -> None:
    with pytest.raises((ToolFailed, OutboundRefused)):
        await act(browser, action, **given)


async def test_browser_that_is_not_there_refuses_or_hangs_up_is_told_of(browser: BrowserServer) -> None:
    async def fails(kind: type[Exception], **given: Any) -> Any:
        with pytest.raises(kind) as failed:
            await act(browser, "screenshot", **given)
        assert KEY not in repr(failed.value)
        return failed.value

    assert "401" in (await fails(OutboundFailed, url=f"ws://127.0.0.1:{browser.port}/?signingKey=wrong")).message
    assert (await fails(OutboundRefused, outbound_allow=())).rule == "address_not_public"
    browser.answers["Page.captureScreenshot"] = ValueError("Not attached to an active page")
    assert "Not attached" in (await fails(ToolFailed)).message
    browser.answers["Page.captureScreenshot"] = {"data": "x" * 5_000}
    await fails(MenthaError, outbound_response_bytes_max=2_000)
    browser.hangs_up_at = "attachToTarget"
    assert "closed" in (await fails(OutboundFailed)).message


async def test_browser_that_hangs_up_while_it_acts_may_have_acted(browser: BrowserServer) -> None:
    browser.hangs_up_at = "dispatchMouseEvent"
    with pytest.raises(ToolFailed, match="may have done `left_click`") as failed:
        await act(browser, "left_click", coordinate=[1, 2])
    assert not failed.value.retry


@pytest.mark.parametrize(("action", "at"), [("left_click", "mouseReleased"), ("double_click", "mousePressed"), ("key", "keyUp")])
async def test_page_that_an_action_closes_owes_no_answer(browser: BrowserServer, action: str, at: str) -> None:
    browser.instead = {at: CLOSED}
    done = await act(browser, action, coordinate=[1, 2], text="Return")
    assert done["output"] == f"the page closed during `{action}`"


async def test_page_that_closes_before_its_picture_is_taken_is_told_of_and_asked_again(browser: BrowserServer) -> None:
    browser.instead = {"Page.captureScreenshot": CLOSED}
    with pytest.raises(ToolFailed, match="closed during `screenshot`") as failed:
        await act(browser, "screenshot")
    assert failed.value.retry


async def test_page_that_closes_while_it_opens_an_address_is_told_of_and_not_asked_again(browser: BrowserServer) -> None:
    browser.instead = {"Page.navigate": CLOSED}
    with pytest.raises(ToolFailed, match="closed during `navigate`") as failed:
        await act(browser, "navigate", text="https://example.com/")
    assert not failed.value.retry


async def test_page_that_closes_as_it_is_found_is_looked_for_again(browser: BrowserServer) -> None:
    browser.instead = {"Page.enable": CLOSED}
    assert (await act(browser, "screenshot"))["base64_image"] == PNG
    assert browser.methods().count("attachToTarget") == 2
    browser.answers["Target.attachToTarget"] = ValueError("No target with given id found")
    with pytest.raises(ToolFailed, match="close as soon as") as failed:
        await act(browser, "screenshot")
    assert failed.value.retry


async def test_page_that_crashes_is_told_of_with_the_way_out(browser: BrowserServer) -> None:
    browser.noise = [{"method": "Inspector.targetCrashed", "params": {}, "sessionId": "S-other"}]
    browser.instead = {"Page.captureScreenshot": {"method": "Inspector.targetCrashed", "params": {}, "sessionId": "S-p"}}
    with pytest.raises(ToolFailed, match="crashed; `navigate`"):
        await act(browser, "screenshot")


async def test_browser_that_says_nothing_is_given_up_in_time() -> None:
    async def silent(*_: Any) -> None:
        await asyncio.Event().wait()

    async with wild_server(silent) as server:
        with pytest.raises(ToolFailed, match="in time") as failed:
            await act(BrowserServer(port=server.port), "left_click", outbound_timeout_s=0.2)
        assert not failed.value.retry


async def test_call_without_an_address_says_where_one_comes_from() -> None:
    async def none(*_: Any) -> dict[str, str]:
        return {}

    settings = config.load(environ={})
    with pytest.raises(ToolFailed, match="browserbase"):
        await integrations.run(
            Means(settings, Outbound(settings), none), UUID(int=7), {"provider": "remote_browser"}, {"action": "screenshot"}
        )
