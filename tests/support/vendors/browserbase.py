"""Browserbase, with the part of GitHub from which extensions come."""

from tests.support.vendors.vendor import Vendor, json_of, parts_of, path_of, query_of, told
from tests.support.wild_server import Seen, answer

KEY = "bb_live_0123456789abcdef"
PROJECT = "b1946ac9-2492-4d23-8f5a-0123456789ab"
CONNECT = "wss://connect.browserbase.com/?signingKey=eyJhbGciOiJBMjU2S1ciLCJlbmMi"
SESSION = {"id": "s1", "createdAt": "2025-01-01T00:00:00Z", "projectId": PROJECT, "status": "RUNNING", "region": "us-west-2"}
ARCHIVE = b"PK\x03\x04 an extension"


def says(seen: Seen) -> bytes:
    path = path_of(seen)
    if path == "/browserbase.github/ann/blocker/archive/v1.zip":
        assert "x-bb-api-key" not in seen.headers
        return answer(body=ARCHIVE, content_type="application/zip")
    if seen.headers.get("x-bb-api-key") != KEY:
        return told({"statusCode": 401, "error": "Unauthorized", "message": "Invalid API key"}, 401)
    if seen.method == "POST":
        return _posted(seen, path)
    if path == "/browserbase/v1/sessions":
        return told([SESSION] if query_of(seen).get("status") in (None, "RUNNING") else [])
    if path == "/browserbase/v1/sessions/s2/downloads":
        return answer(body=ARCHIVE, content_type="application/zip")
    known = {
        "": {**SESSION, "connectUrl": CONNECT},
        "/debug": {"debuggerUrl": "https://www.browserbase.com/devtools/1", "wsUrl": "wss://x", "pages": []},
        "/logs": [{"method": "Page.navigate"}],
        "/recording": [{"type": 4}],
    }
    found = known.get(path.removeprefix("/browserbase/v1/sessions/s1"))
    if found is None:
        return told({"statusCode": 404, "error": "Not Found", "message": "Session not found"}, 404)
    return told(found)


def _posted(seen: Seen, path: str) -> bytes:
    if path == "/browserbase/v1/extensions":
        assert parts_of(seen) == {"file": ARCHIVE}
        return told({"id": "e1", "fileName": "blocker.zip", "projectId": PROJECT})
    body = json_of(seen)
    assert body.pop("projectId") == PROJECT
    if path == "/browserbase/v1/contexts":
        return told(
            {"id": "c1", "uploadUrl": "https://x", "publicKey": "k", "cipherAlgorithm": "AES-256-CBC", "initializationVectorSize": 16}, 201
        )
    if path == "/browserbase/v1/sessions/s1":
        assert body == {"status": "REQUEST_RELEASE"}
        return told({**SESSION, "status": "COMPLETED"})
    assert path == "/browserbase/v1/sessions"
    return told({**SESSION, "connectUrl": CONNECT, "asked": body}, 201)


VENDOR = Vendor(
    provider="browserbase",
    method="create_session",
    setup={"api_key": KEY, "project_id": PROJECT},
    arguments={"timeout": 5, "keepAlive": True, "proxies": True, "browserSettings": {"blockAds": True}},
    says=says,
    good={
        **SESSION,
        "connectUrl": CONNECT,
        "connect_url": CONNECT,
        "asked": {"timeout": 60, "keepAlive": True, "proxies": True, "browserSettings": {"blockAds": True}},
    },
    wrong={"api_key": "bb_live_wrong_9876543210"},
    named="api_key",
    bases=("github",),
)
