"""What each service of these tests is: how a tool is set up for it, and what it answers, by its own documentation. The servers are real."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.wild_server import Seen, answer

Json = Any
STATUS = {
    200: "200 OK",
    201: "201 Created",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    402: "402 Payment Required",
    403: "403 Forbidden",
    404: "404 Not Found",
    422: "422 Unprocessable Entity",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}


@dataclass(frozen=True)
class Vendor:
    """One method of a service.

    Attributes:
        wrong: the fields of the setup to change for a key that the service does not accept; empty where there is no key.
        named: the field that the failure must name then.
        says: the service: a request in, the bytes of an answer out.
        good: what the result of `arguments` must be.
        bases: further names of addresses in the setting, beside the provider's own.
    """

    provider: str
    method: str
    setup: Json
    arguments: Json
    says: Callable[[Seen], bytes]
    good: Json
    wrong: Json = field(default_factory=dict[str, Json])
    named: str = ""
    bases: tuple[str, ...] = ()

    @property
    def spec(self) -> Json:
        """The tool's member."""
        return {"provider": self.provider, "method": self.method, "setup": self.setup}


def told(body: Json, status: int = 200, **headers: str) -> bytes:
    """An answer of JSON."""
    return answer(STATUS[status], json.dumps(body).encode(), content_type="application/json", **headers)


def query_of(seen: Seen) -> dict[str, str]:
    return {name: ",".join(values) for name, values in parse_qs(urlsplit(seen.target).query, keep_blank_values=True).items()}


def path_of(seen: Seen) -> str:
    return urlsplit(seen.target).path


def form_of(seen: Seen) -> dict[str, str]:
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    return {name: values[0] for name, values in parse_qs(seen.body.decode(), keep_blank_values=True).items()}


def json_of(seen: Seen) -> Json:
    return json.loads(seen.body)


def parts_of(seen: Seen) -> dict[str, bytes]:
    """The fields and files of a multipart body, by name."""
    boundary = seen.headers["content-type"].partition("boundary=")[2].encode()
    found: dict[str, bytes] = {}
    for piece in seen.body.split(b"--" + boundary)[1:-1]:
        head, _, data = piece.strip(b"\r\n").partition(b"\r\n\r\n")
        found[head.decode().partition(' name="')[2].partition('"')[0]] = data
    return found
