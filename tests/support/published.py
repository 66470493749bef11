"""The outside world of the published tasks: every service that they call, on one port of loopback, as a thread of its own.

A service is known by the first part of the path. Those of `vendors` answer as in their own tests; what the published definitions ask of
them is first put into the words that those know (a city, an index, a file), since a placeholder is no file. The others are of the tasks'
own `api_call` tools. Point a server at them by `integration_base_urls`, and a task by rewriting its hosts.
"""

import asyncio
import contextlib
import json
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.support import certificates, vendors
from tests.support.vendors import browserbase, google_sheets
from tests.support.vendors.browser_server import KEY as BROWSER_KEY
from tests.support.vendors.browser_server import browser_server
from tests.support.vendors.smtp_server import PASSWORD, USER, mail_server
from tests.support.vendors.vendor import json_of, told
from tests.support.wild_server import Seen, answer, saying, wild_server

START_LIMIT_S = 10.0
STORIES = {"1": 70, "2": 50, "3": 10}
PAGE = "Tea is a drink. It is made of leaves. People like it."


@dataclass(frozen=True)
class Services:
    """Where they are.

    Attributes:
        url: of those over HTTP, without a slash at the end.
        mail: how a tool is set up for the mail server, whose certificate nobody vouches for.
    """

    url: str
    mail: dict[str, Any]

    def base_urls(self) -> dict[str, str]:
        """The setting that makes integrations call them in place of the services' own addresses."""
        named = [vendors.named(name) for name in vendors.NAMES]
        names = [name for each in named for name in (each.provider, *(f"{each.provider}.{base}" for base in each.bases))]
        return {name: f"{self.url}/{name}" for name in names}

    def setups(self, tools: list[Any]) -> dict[str, Any]:
        """Keys that the services accept, for the tools of a task: what belongs under `x-integrations-setup` in its metadata."""
        specs = {tool["name"]: tool.get("integration", {}).get("provider", "").replace("-", "_") for tool in tools}
        known = {name: vendors.named(provider).setup for name, provider in specs.items() if provider in vendors.NAMES}
        return known | {name: self.mail for name, provider in specs.items() if provider == "email"}

    @staticmethod
    def setups_of(provider: str) -> dict[str, Any]:
        """The keys that a service accepts."""
        return vendors.named(provider).setup


@contextlib.contextmanager
def running_services() -> Generator[Services]:
    """All of them, in a thread with a loop of its own."""
    started, found = threading.Event(), deque[Services]()
    stop: deque[Callable[[], object]] = deque()

    async def run() -> None:
        ended = asyncio.Event()
        async with browser_server() as browser, mail_server(_unknown_certificate()) as mail:
            address = f"ws://127.0.0.1:{browser.port}/?signingKey={BROWSER_KEY}"
            async with wild_server(saying(lambda seen: _say(seen, address))) as server:
                loop = asyncio.get_running_loop()
                stop.append(lambda: loop.call_soon_threadsafe(ended.set))
                setup = {"host": "127.0.0.1", "port": mail.port, "user": USER, "password": PASSWORD}
                found.append(Services(server.url(target=""), setup))
                started.set()
                await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="services", daemon=True)
    thread.start()
    if not started.wait(START_LIMIT_S):
        raise TimeoutError("the services did not start")
    try:
        yield found[0]
    finally:
        stop[0]()
        thread.join(START_LIMIT_S)


def _unknown_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(certificates.make(Path(folder) / "one.pem", "localhost"))
    return context


def _say(seen: Seen, browser: str) -> bytes:
    name = urlsplit(seen.target).path.split("/")[1].partition(".")[0]
    if name == "jina":
        return told({"code": 200, "data": {"title": "Tea", "url": seen.target, "content": PAGE}})
    if name == "news":
        return told(_news(seen.target.rpartition("/")[2].removesuffix(".json")))
    if name == "google_sheets" and seen.method in ("GET", "PUT") and "/values/" in seen.target:
        return _cells(seen)
    if name not in vendors.NAMES:
        return answer("404 Not Found", b"nothing is here", content_type="text/plain")
    try:
        whole = vendors.named(name).says(_known(name, seen))
    except (AssertionError, KeyError) as error:
        # The vendor's own tests stop there; here the run is told.
        return told({"message": f"unexpected in {name}: {error!r} {seen.target}"}, 400)
    return _replaced(whole, browserbase.CONNECT, browser) if name == "browserbase" else whole


def _news(name: str) -> Any:
    """Hacker News: stories by score, each with one comment."""
    if name == "topstories":
        return list(map(int, STORIES))
    if name in STORIES:
        return {"id": int(name), "title": f"Tea {name}", "url": "https://example.com", "score": STORIES[name], "kids": [int(name) + 10]}
    return {"id": int(name), "text": f"comment {name}"}


def _cells(seen: Seen) -> bytes:
    """One range, read or written. The vendor's own knows a single one."""
    assert seen.headers["authorization"] == f"Bearer {google_sheets.TOKEN}"
    if seen.method == "GET":
        return told({"range": "Sheet1!A1:C10", "majorDimension": "ROWS", "values": [["Name", "Score"], ["Ann", 95]]})
    rows = json_of(seen)["values"]
    return told({"spreadsheetId": "s", "updatedRange": "Sheet1!A1:B2", "updatedRows": len(rows), "updatedColumns": 2, "updatedCells": 4})


def _known(name: str, seen: Seen) -> Seen:
    """The request with what the vendor knows in place of what it does not."""
    path, _, query = seen.target.partition("?")
    if name == "weather":
        query = urlencode({**{key: values[0] for key, values in parse_qs(query).items()}, "q": "Oslo"})
    elif name == "algolia":
        path = "/algolia/1/indexes/goods%2F1/query"
    elif name == "cloudinary":
        path = path.replace("/video/upload", "/auto/upload")
    elif name == "browserbase" and seen.method == "POST":
        seen = replace(seen, body=json.dumps({**json_of(seen), "projectId": browserbase.PROJECT}).encode())
    return replace(seen, target=f"{path}?{query}" if query else path)


def _replaced(whole: bytes, old: str, new: str) -> bytes:
    _, _, body = whole.partition(b"\r\n\r\n")
    return answer("200 OK", body.replace(old.encode(), new.encode()), content_type="application/json") if old.encode() in body else whole
