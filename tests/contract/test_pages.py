"""The pages for people: complete in themselves, strict about what they may load, and usable by hand and by keyboard."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import httpx2
import pytest

from mentha.api import pages
from tests.support import browser
from tests.support.browser import Page, browsing
from tests.support.databases import Cluster
from tests.support.server import KEY, ServerProcess, running

CHAT = "chat_sessions__session_id__chat_post"
READY = "document.querySelectorAll('.operation').length > 30 && document.querySelector('#version').textContent !== ''"
STATIC = files("mentha.api").joinpath("static")


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with cluster.cloned() as dsn, running(home=tmp_path_factory.mktemp("home"), dsn=dsn) as started:
        yield started


@pytest.fixture
def page() -> Iterator[Page]:
    if browser.program() is None:
        pytest.skip("no Chromium on this machine")
    with browsing() as opened:
        yield opened


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags_of(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    return parser.found


@pytest.mark.parametrize("path", ["/docs", "/swagger", "/api/docs", "/api/swagger"])
def test_reference_is_served_without_key(server: ServerProcess, path: str) -> None:
    response = httpx2.get(server.url + path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/docs", *(f"/static/{name}" for name in pages.ASSETS)])
def test_every_page_allows_only_its_own_server(server: ServerProcess, path: str) -> None:
    policy = httpx2.get(server.url + path).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    for directive in policy.split("; "):
        assert re.fullmatch(r"[a-z-]+ '(none|self)'", directive), directive


def test_page_again_with_its_etag_is_not_sent_again(server: ServerProcess) -> None:
    first = httpx2.get(server.url + "/docs")
    again = httpx2.get(server.url + "/docs", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["no.js", "..%2fpages.py", "%2e%2e%2fpages.py", "reference.html%00"])
def test_static_gives_nothing_but_its_files(server: ServerProcess, name: str) -> None:
    assert httpx2.get(f"{server.url}/static/{name}").status_code == 404


def test_page_has_no_inline_script_or_style_and_no_address_of_another_host() -> None:
    for tag, attributes in tags_of(STATIC.joinpath(pages.PAGE).read_text(encoding="utf-8")):
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for address in (attributes.get("src"), attributes.get("href")):
            assert address is None or not re.match(r"[a-z]*:?//|/", address), address


@pytest.mark.parametrize("name", sorted(pages.ASSETS))
def test_asset_names_no_other_host_and_stores_nothing(name: str) -> None:
    text = STATIC.joinpath(name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|localStorage|sessionStorage|indexedDB|document\.cookie|innerHTML|\beval\(", text)


def test_every_file_of_the_folder_is_served() -> None:
    assert {file.name for file in STATIC.iterdir()} == {*pages.ASSETS, pages.PAGE}


def test_every_input_of_the_page_has_a_label() -> None:
    found = tags_of(STATIC.joinpath(pages.PAGE).read_text(encoding="utf-8"))
    labelled = {attributes.get("for") for tag, attributes in found if tag == "label"}
    assert {attributes.get("id") for tag, attributes in found if tag == "input"} <= labelled


def test_root_names_the_product_and_its_pages(server: ServerProcess) -> None:
    body = httpx2.get(server.url + "/").json()
    assert (body["name"], body["docs"], body["openapi"]) == ("mentha", "/docs", "/openapi.json")


@pytest.mark.parametrize("path", ["/", "/api/"])
def test_root_leads_a_browser_to_the_reference(server: ServerProcess, path: str) -> None:
    answer = httpx2.get(server.url + path, headers={"Accept": "text/html,*/*;q=0.8"}, follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, path + "docs")
    assert "reference" in answer.text


def test_reference_in_browser_shows_every_operation(server: ServerProcess, page: Page) -> None:
    paths = httpx2.get(server.url + "/openapi.json").json()["paths"]
    page.open(server.url + "/docs")
    page.until(READY)
    assert page.run("document.querySelectorAll('.operation').length") == sum(len(methods) for methods in paths.values())
    assert page.errors == []
    assert {address for address in page.asked if not address.startswith(server.url)} == set()


def test_reference_in_browser_opens_every_operation_without_error(server: ServerProcess, page: Page) -> None:
    page.open(server.url + "/docs")
    page.until(READY)
    page.run("for (const each of document.querySelectorAll('.operation')) each.show()")
    # Recursive schemas stay folded, so opening all of one level more must end as well.
    page.run("for (const each of document.querySelectorAll('.content details')) each.show()")
    assert page.run("document.querySelectorAll('.operation form').length") == page.run("document.querySelectorAll('.operation').length")
    assert page.run("document.querySelectorAll('.content input:not([id]), .content textarea:not([id])').length") == 0
    assert page.run("[...document.querySelectorAll('.content input, .content textarea')].every((each) => each.labels.length === 1)")
    assert page.errors == []


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_reference_in_browser_chats_from_agent_to_answer(server: ServerProcess, page: Page, prefix: str) -> None:
    page.open(f"{server.url}{prefix}/docs")
    page.until(READY)
    page.run("document.querySelector('#key').focus()")
    page.write(KEY)
    for operation in ("create_agent_agents_post", "create_session_sessions_post", CHAT):
        assert send(page, operation).startswith("201")
    assert "You said: «Hello!»" in page.run(f"document.querySelector('#{CHAT} .answer pre').textContent")
    assert all("/api/" in address for address in page.asked if "chat" in address) is (prefix == "/api")


def test_reference_in_browser_fills_a_new_id_into_forms_that_are_open(server: ServerProcess, page: Page) -> None:
    page.open(server.url + "/docs")
    page.until(READY)
    page.run(f"document.querySelector('#key').value = {KEY!r}")
    for operation in ("create_session_sessions_post", "get_agent_agents__agent_id__get"):
        page.run(f"document.querySelector('#{operation}').show()")
    send(page, "create_agent_agents_post")
    agent = page.run("JSON.parse(document.querySelector('#create_agent_agents_post .answer pre').textContent).id")
    assert page.run("document.querySelector('#get_agent_agents__agent_id__get input').value") == agent
    assert agent in page.run("document.querySelector('#create_session_sessions_post textarea').value")
    assert agent in page.run("document.querySelector('#create_session_sessions_post .curl').textContent")


def test_reference_in_browser_shows_a_stream(server: ServerProcess, page: Page) -> None:
    page.open(server.url + "/docs")
    page.until(READY)
    page.run(f"document.querySelector('#key').value = {KEY!r}")
    send(page, "create_agent_agents_post")
    send(page, "create_session_sessions_post")
    status = send(page, CHAT, body='{"stream": true, "messages": [{"role": "user", "content": "Hi"}]}')
    assert status.startswith("201")
    shown = page.run(f"document.querySelector('#{CHAT} .answer pre').textContent")
    assert shown.count("data: {") > 1
    assert '"finish_reason":"stop"' in shown


def test_reference_in_browser_without_key_asks_for_it_and_sends_nothing(server: ServerProcess, page: Page) -> None:
    page.open(server.url + "/docs")
    page.until(READY)
    assert send(page, "create_agent_agents_post") == "Enter the API key at the top of the page first."
    assert not [address for address in page.asked if address.endswith("/agents")]


def test_reference_in_browser_keeps_the_key_out_of_storage_address_and_curl(server: ServerProcess, page: Page) -> None:
    page.open(server.url + "/docs")
    page.until(READY)
    page.run(f"document.querySelector('#key').value = {KEY!r}")
    send(page, "create_agent_agents_post")
    kept = page.run("JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, document.cookie, document.body.innerText])")
    assert KEY not in kept
    assert "$MENTHA_API_KEY" in kept


def test_reference_in_browser_search_leaves_what_matches(server: ServerProcess, page: Page) -> None:
    page.open(server.url + "/docs")
    page.until(READY)
    page.run("document.querySelector('#search').focus()")
    page.write("length_penalty")
    shown = page.run("[...document.querySelectorAll('.operation')].filter((each) => each.checkVisibility()).map((each) => each.id)")
    assert sorted(shown) == sorted([CHAT, "render_sessions__session_id__render_post"])
    assert page.run("document.querySelector('#found').textContent").startswith("2 of ")


def test_reference_in_browser_works_by_keyboard_alone(server: ServerProcess, page: Page) -> None:
    page.open(server.url + "/docs")
    page.until(READY)
    for _ in range(60):
        page.press("Tab")
        if page.run("document.activeElement.tagName") == "SUMMARY":
            break
    page.press("Enter")
    assert page.until("document.activeElement.parentElement.open && document.activeElement.parentElement.querySelector('form') !== null")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.parametrize("dark", [False, True])
def test_reference_on_phone_fits_its_width_and_keeps_contrast(server: ServerProcess, page: Page, dark: bool) -> None:
    page.open(server.url + "/docs", width=390, height=844, dark=dark)
    page.until(READY)
    page.run(f"document.querySelector('#{CHAT}').show()")
    assert page.run("document.documentElement.scrollWidth") <= 390
    colours = page.run(
        "['h1', 'h1 span', '.summary', '.get', '.post', '.put', '.patch', '.delete', '.mark.required', '.good', '.bad', 'button.primary', 'a']"
        ".map((name) => { const style = getComputedStyle(document.querySelector(name));"
        " let behind = document.querySelector(name); while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;"
        " return [name, style.color, getComputedStyle(behind).backgroundColor] })"
    )
    for name, ink, paper in colours:
        assert contrast(ink, paper) >= 4.5, (name, ink, paper)


def send(page: Page, operation: str, *, body: str | None = None) -> str:
    """Open an operation, send its form as it stands, wait for the answer; gives the line with its status."""
    page.run(f"document.querySelector('#{operation}').show()")
    if body is not None:
        page.run(f"document.querySelector('#{operation} textarea').value = {body!r}")
    page.run(f"document.querySelector('#{operation} form button.primary').click()")
    line = f"document.querySelector('#{operation} .answer .status')?.textContent"
    return page.until(f"document.querySelector('#{operation} form button.primary').disabled === false && {line} !== 'Sending…' && {line}")


def contrast(ink: Any, paper: Any) -> float:
    """Source: WCAG 2.2, definition of contrast ratio."""
    lights = sorted(luminance(colour) for colour in (ink, paper))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
