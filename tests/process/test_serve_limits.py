"""What comes over the wire that should not: too large, too deep, odd characters, odd headers, odd paths. Every answer is in our shape."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support.databases import Cluster
from tests.support.server import KEY, ServerProcess, running
from tests.support.talk import DEADLINE_S, Client, new_session, talking, until

BODY_BYTES_MAX = 20_000
SOME_ID = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
AUTHORIZED = f"Authorization: Bearer {KEY}\r\n"


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with cluster.cloned() as dsn, running(home=tmp_path_factory.mktemp("home"), dsn=dsn, body_bytes_max=str(BODY_BYTES_MAX)) as process:
        yield process


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    async with talking(server.url) as talked:
        yield talked


@pytest.fixture(autouse=True)
async def nothing_broke(server: ServerProcess) -> AsyncIterator[None]:
    """After each test the server runs, and no fault of ours is in its log."""
    before = len(server.log)
    yield
    async with talking(server.url) as talked:
        assert (await talked.get("/readyz")).status_code == 200
    assert [line for line in server.log[before:] if "traceback" in line] == []


async def raw(server: ServerProcess, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to these bytes; the connection is read to its end, status 0 where it just ends."""
    parts = urlsplit(server.url)
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(sent)
        try:
            answer = await reader.read()
        except ConnectionError:
            answer = b""
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return (
        int(first.split(" ")[1]) if first else 0,
        {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)},
        body,
    )


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    """The error of an answer, which must be in our shape."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert {"message", "code", "type"} <= error.keys()
    return error


# --- bodies


async def test_body_that_is_declared_too_large_is_413_and_not_read(server: ServerProcess) -> None:
    head = f"POST /users HTTP/1.1\r\nHost: x\r\n{AUTHORIZED}Content-Length: {BODY_BYTES_MAX + 1}\r\n\r\n"
    status, headers, body = await raw(server, head.encode())
    assert status == 413
    assert json.loads(body)["error"]["reason"] == "body_too_large"
    assert headers["x-should-retry"] == "false"
    assert headers["connection"] == "close"
    assert headers["access-control-allow-origin"]


@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_client_that_sends_too_large_a_body_gets_the_413_and_no_broken_connection(client: Client, size: int, chunked: bool) -> None:
    """A client that sees a broken connection sends everything again."""

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, size, 1_000):
            yield b"x" * min(1_000, size - begin)

    answer = await client.post("/users", content=chunks() if chunked else b"x" * size)
    assert answer.status_code == 413
    assert error_of(answer)["reason"] == "body_too_large"
    assert answer.headers["x-should-retry"] == "false"
    assert (await client.get("/users")).status_code == 200


async def test_body_without_a_key_is_not_parsed(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=DEADLINE_S) as nobody:
        answer = await nobody.post("/users", content=b"{no json", headers={"Content-Type": "application/json"})
        assert answer.status_code == 403
        by_token = await nobody.post("/executions", params={"task_token": "x"}, content=b"{no json")
        assert by_token.status_code == 422


async def test_body_as_large_as_allowed_is_taken(client: Client) -> None:
    body = json.dumps({"about": ""}).encode()
    padded = body.replace(b'""', b'"' + b"x" * (BODY_BYTES_MAX - len(body)) + b'"')
    assert len(padded) == BODY_BYTES_MAX
    answer = await client.post("/users", content=padded)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{} {}",
        b'{"name": 1e999}',
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"metadata": {"\\udfff": 1}}',
        b'{"metadata": ' + b'{"a":' * 65 + b"1" + b"}" * 66,
        b'{"metadata": {"a": ' + b"[" * 2_000 + b"]" * 2_000 + b"}}",
        b'{"a":' * 3_000,
    ],
)
async def test_body_that_is_no_fitting_json_is_422_in_both_shapes(client: Client, body: bytes) -> None:
    answer = await client.post("/users", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"
    assert answer.headers["x-should-retry"] == "false"
    assert all(fault.keys() == {"loc", "msg", "type"} for fault in answer.json()["detail"])
    assert answer.json()["detail"]


async def test_body_just_within_the_depth_is_taken(client: Client) -> None:
    metadata: Any = {}
    for _ in range(62):
        metadata = {"a": metadata}
    answer = await client.post("/users", json={"metadata": metadata})
    assert answer.status_code == 201
    assert answer.json()["metadata"] == metadata


async def test_nul_characters_are_removed_from_texts_and_keys(client: Client) -> None:
    made = await client.post("/users", json={"name": "An\x00n", "about": "\x00", "metadata": {"a\x00b": ["\x00c"]}})
    assert made.status_code == 201
    user = (await client.get(f"/users/{made.json()['id']}")).json()
    assert (user["name"], user["about"], user["metadata"]) == ("Ann", "", {"ab": ["c"]})
    session = await new_session(client, model="mentha/echo")
    said = await client.post(f"/sessions/{session}/chat", json={"messages": [{"role": "user", "content": "a\x00b"}]})
    assert said.status_code == 201
    entries = (await client.get(f"/sessions/{session}/history")).json()["entries"]
    assert entries[0]["content"] == [{"type": "text", "text": "ab"}]


@pytest.mark.parametrize("number", [2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 10**300])
async def test_number_that_is_huge_is_stored_or_refused_and_never_a_fault(client: Client, number: int) -> None:
    session = await new_session(client, model="mentha/echo")
    answers = [
        await client.patch(f"/sessions/{session}", json={"token_budget": number}),
        await client.patch(f"/sessions/{session}", json={"metadata": {"n": number}}),
        await client.post(f"/sessions/{session}/chat", json={"messages": [{"role": "user", "content": "x"}], "max_tokens": number}),
        await client.get("/users", params={"limit": str(number)}),
        await client.get("/users", params={"offset": str(number)}),
        await client.get("/users", params={"metadata_filter.n": str(number)}),
        await client.get(f"/sessions/{session}/history", params={"limit": str(number), "offset": str(number)}),
    ]
    assert {answer.status_code for answer in answers} <= {200, 201, 400, 422}


@pytest.mark.parametrize(
    "query",
    [
        "project=%00",
        "project=%ff",
        "metadata_filter.a=%00",
        "metadata_filter.%00=1",
        "metadata_filter=%7B%22a%22%3A%22%5Cu0000%22%7D",
        "metadata_filter=%7B%22%5Cud800%22%3A1%7D",
        "metadata_filter.a=%ed%a0%80",
        "metadata_filter.a=\\ud800",
        "metadata_filter[a][b]=1&metadata_filter[=2&metadata_filter]=3&metadata_filter..=4",
        "metadata_filter.a=" + "9" * 5_000,
        "metadata_filter.a=1e400&metadata_filter.b=-0&metadata_filter.c=0x10&metadata_filter.d=1_0&metadata_filter.e=%EF%BC%91",
        "metadata_filter." + "a." * 200 + "b=1",
        "metadata_filter=" + "%5B" * 3_000,
        "&".join(f"metadata_filter.a{number}=1" for number in range(200)),
        "limit=0",
        "limit=-1",
        "offset=-1",
        "limit=x",
        "sort_by=name",
        "direction=down",
    ],
)
async def test_query_that_is_odd_is_answered_or_refused_and_never_a_fault(server: ServerProcess, query: str) -> None:
    request = f"GET /users?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{AUTHORIZED}\r\n"
    status, _, body = await raw(server, request.encode())
    assert status in (200, 400, 404, 422)
    assert json.loads(body).keys() & {"items", "error"}


# --- heads


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b"Authorization", b"Bearer " + b"x" * 5_000, 403),
        (b"Authorization", b"\xff\xfe", 403),
        (b"Authorization", b"Bearer", 403),
        (b"Authorization", b"Bearer eyJ.eyJ.x", 403),
        (b"X-Auth-Key", b"\xe2\x82\xac", 403),
        (b"Authorization", KEY.encode(), 200),
        (b"Authorization", b"bearer   " + KEY.encode() + b"  ", 200),
        (b"X-Auth-Key", KEY.encode(), 200),
    ],
)
async def test_key_in_a_header_of_any_form_is_found_or_is_403(server: ServerProcess, name: bytes, value: bytes, status: int) -> None:
    got, _, body = await raw(server, b"GET /users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + name + b": " + value + b"\r\n\r\n")
    assert got == status
    if status == 403:
        assert json.loads(body) == {"error": {"message": "Could not validate API KEY", "code": "http_403", "type": "http_error"}}


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"X-Stainless-Retry-Count": "9" * 5_000}, {201}),
        ({"X-Stainless-Retry-Count": "-1"}, {201}),
        ({"X-Stainless-Retry-Count": "two"}, {201}),
        ({"Idempotency-Key": "k" * 256}, {422}),
        ({"Idempotency-Key": ""}, {201}),
        ({"X-Custom-Api-Key": "k" * 4_097}, {422}),
        ({"Content-Type": "text/plain"}, {422}),
        ({"Content-Type": "application/x-www-form-urlencoded"}, {422}),
        ({"Accept": "text/event-stream", "Traceparent": "nonsense"}, {201}),
    ],
)
async def test_chat_with_an_odd_header_is_answered_or_refused(client: Client, headers: dict[str, str], statuses: set[int]) -> None:
    session = await new_session(client, model="mentha/echo")
    body = json.dumps({"messages": [{"role": "user", "content": "x"}]})
    answer = await client.post(f"/sessions/{session}/chat", content=body, headers=headers)
    assert answer.status_code in statuses


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /users HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n",
        b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"POST /users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_request_that_is_no_http_is_refused(server: ServerProcess, request_: bytes) -> None:
    status, _, _ = await raw(server, request_)
    assert status in (0, 400)


async def test_head_without_an_end_is_cut_off(server: ServerProcess) -> None:
    status, _, _ = await raw(server, b"GET /users HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 4_000_000)
    # The client may still be sending when the connection is closed; then it does not get the answer.
    assert status in (0, 431)


async def test_head_of_usual_size_on_a_connection_that_is_used_again_is_served(client: Client) -> None:
    for _ in range(5):
        answer = await client.get("/users", headers={"X-Long": "x" * 30_000})
        assert answer.status_code == 200


async def test_head_with_very_many_headers_is_cut_off(server: ServerProcess) -> None:
    many = b"".join(b"X-%d: x\r\n" % number for number in range(200_000))
    status, _, _ = await raw(server, b"GET /users HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")
    assert status in (0, 431)


# --- the id of a request


async def test_every_answer_has_an_id_that_its_line_in_the_log_has_too(client: Client, server: ServerProcess) -> None:
    requests = [
        ("GET", "/users", {}, 200),
        ("GET", f"/users/{SOME_ID}", {}, 404),
        ("GET", "/users/x", {}, 422),
        ("GET", "/nowhere", {}, 404),
        ("PUT", "/users", {}, 405),
        ("GET", "/users", {"Authorization": "x"}, 403),
        ("POST", "/users", {"Content-Length": str(BODY_BYTES_MAX + 1)}, 413),
        ("OPTIONS", "/users", {"Origin": "http://x", "Access-Control-Request-Method": "GET"}, 200),
        ("GET", "/metrics", {}, 200),
    ]
    ids: dict[str, int] = {}
    for method, path, headers, status in requests:
        answer = await client.request(method, path, headers=headers, content=b"x" * (BODY_BYTES_MAX + 1) if status == 413 else None)
        assert answer.status_code == status
        ids[answer.headers["x-request-id"]] = status
    assert len(ids) == len(requests)

    def logged() -> dict[str, int]:
        lines = (json.loads(line) for line in server.log)
        return {line["request_id"]: line["status"] for line in lines if line["event"] == "request finished"}

    await until(lambda: ids.items() <= logged().items())


@pytest.mark.parametrize(
    ("given", "kept"), [("my-trace:0001", True), ("a b", False), ("x" * 65, False), ("short", False), ('"; DROP', False)]
)
async def test_id_that_a_client_gives_is_kept_where_it_is_harmless(client: Client, given: str, kept: bool) -> None:
    answer = await client.get("/users/x", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) == kept
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


# --- paths, methods, origins


@pytest.mark.parametrize("path", ["/users", "/healthz", "/readyz", "/openapi.json", "/", "/nowhere", "/jobs/x", f"/sessions/{SOME_ID}"])
async def test_api_prefix_serves_the_same(client: Client, path: str) -> None:
    plain, prefixed = await client.get(path), await client.get(f"/api{path}")
    assert plain.status_code == prefixed.status_code
    without_id = {"request_id": None}
    assert _with(plain.json(), without_id) == _with(prefixed.json(), without_id)


async def test_api_prefix_alone_is_the_root_and_a_longer_word_is_not_the_prefix(client: Client) -> None:
    assert (await client.get("/api")).json() == (await client.get("/")).json()
    assert (await client.get("/apiusers")).status_code == 404
    assert (await client.get("/api/api/users")).status_code == 404


@pytest.mark.parametrize(
    "path", ["/nowhere", "/nowhere/", "/users//", f"/agents/{SOME_ID}/nowhere", "/api/nowhere", "/%2e%2e/etc/passwd", "/agents%2Fx%2Fy"]
)
async def test_path_that_is_unknown_is_404_in_both_shapes(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "http_404"
    assert answer.json()["detail"] == "Not Found"
    assert "/docs" in error_of(answer)["fix"]


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/users"), ("DELETE", "/agents"), ("PATCH", f"/sessions/{SOME_ID}/chat"), ("POST", "/healthz")]
)
async def test_method_that_is_not_there_is_405_and_names_those_that_are(client: Client, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert error_of(answer)["code"] == "http_405"
    assert answer.json()["detail"] == "Method Not Allowed"
    assert answer.headers["allow"]
    assert method not in answer.headers["allow"]
    assert answer.headers["allow"] in error_of(answer)["fix"]


@pytest.mark.parametrize("origin", ["https://app.example.com", "null", "http://localhost:3000"])
async def test_preflight_from_any_origin_is_allowed(client: Client, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,x-stainless-lang"}
    answer = await client.options(f"/api/agents/{SOME_ID}", headers={**asked, "Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "x-stainless-lang" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "3600"


async def test_answers_to_another_origin_can_be_read_by_it_errors_too(client: Client) -> None:
    for path, status in (("/users", 200), ("/nowhere", 404), ("/users/x", 422)):
        answer = await client.get(path, headers={"Origin": "https://app.example.com"})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example.com")
        exposed = answer.headers["access-control-expose-headers"]
        assert exposed == "*" or "x-request-id" in exposed.lower()


def _with(body: Any, changed: dict[str, Any]) -> Any:
    return {**body, "error": {**body["error"], **changed}} if isinstance(body, dict) and isinstance(body.get("error"), dict) else body
