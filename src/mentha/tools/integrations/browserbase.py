"""Browserbase: sessions of remote browsers.

Source: Browserbase's API reference. A session's `connectUrl` is `connect_url` in what is given, and goes to `remote_browser`.
"""

import base64
import re
from urllib.parse import quote

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.integrations import answers
from mentha.tools.integrations.service import Question, Service
from mentha.tools.multipart import form
from mentha.tools.outbound import OutboundResponse

BASE_URL = "https://api.browserbase.com"
GITHUB_URL = "https://github.com"
TIMEOUT_S_MIN, TIMEOUT_S_MAX = 60, 21_600
_REPOSITORY = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)
_REF = re.compile(r"[\w.-]{1,200}(?:/[\w.-]{1,200})*", re.ASCII)


async def list_sessions(service: Service) -> JsonValue:
    """`sessions`."""
    found = answers.json_of(await _get(service, "sessions", {"status": service.arguments.get("status")}), "browserbase")
    if not isinstance(found, list):
        raise answers.odd("browserbase")
    return {"sessions": found}


async def create_session(service: Service) -> JsonValue:
    """The new session, with `connect_url`."""
    given = service.arguments
    wanted: JsonObject = {
        "projectId": _project(service),
        "extensionId": given.get("extensionId"),
        "browserSettings": given["browserSettings"] or None,
        "timeout": min(max(given["timeout"], TIMEOUT_S_MIN), TIMEOUT_S_MAX),
        "keepAlive": given["keepAlive"] or None,
        "proxies": given["proxies"] or None,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    return _session(answers.object_of(await _post(service, "sessions", body), "browserbase"))


async def get_session(service: Service) -> JsonValue:
    """The session."""
    return _session(answers.object_of(await _get(service, _path(service)), "browserbase"))


async def complete_session(service: Service) -> JsonValue:
    """`success`: the browser ends."""
    # To end what is ended already changes nothing.
    await _post(service, _path(service), {"projectId": _project(service), "status": service.text("status")}, again=True)
    return {"success": True}


async def get_live_urls(service: Service) -> JsonValue:
    """`urls` at which people can watch, and steer."""
    return {"urls": answers.object_of(await _get(service, f"{_path(service)}/debug"), "browserbase")}


async def get_connect_url(service: Service) -> JsonValue:
    """`connect_url` of a session that runs."""
    session = _session(answers.object_of(await _get(service, _path(service)), "browserbase"))
    if not session.get("connect_url"):
        raise service.failed("the session does not run any more, or has no address to connect to", state=session.get("status"))
    return {"connect_url": session["connect_url"]}


async def get_logs(service: Service) -> JsonValue:
    """`logs`."""
    return {"logs": answers.json_of(await _get(service, f"{_path(service)}/logs"), "browserbase")}


async def get_recordings(service: Service) -> JsonValue:
    """`recordings`: the events of the page as `rrweb` has them. Deprecated there; its own clients still have it."""
    return {"recordings": answers.json_of(await _get(service, f"{_path(service)}/recording"), "browserbase")}


async def get_session_downloads(service: Service) -> JsonValue:
    """What the browser downloaded, as one ZIP archive in `base64`."""
    response = await _get(service, f"{_path(service)}/downloads")
    return {"base64": base64.b64encode(response.body).decode(), "mime_type": "application/zip"}


async def create_context(service: Service) -> JsonValue:
    """The new context."""
    return answers.object_of(await _post(service, "contexts", {"projectId": _project(service)}), "browserbase")


async def install_extension_from_github(service: Service) -> JsonValue:
    """`id` of the extension."""
    repository, ref = service.text("repositoryName"), service.text("ref") or "HEAD"
    if not _REPOSITORY.fullmatch(repository) or not _REF.fullmatch(ref) or ".." in f"{repository}/{ref}":
        raise service.failed("the argument `repositoryName` must be like owner/name, and `ref` a branch or a tag")
    url = f"{service.base(GITHUB_URL, 'github')}/{repository}/archive/{ref}.zip"
    archive = await service.ask(Question(url=url, follow_redirects=True))
    body, kind = form([], {"file": (f"{repository.partition('/')[2]}.zip", archive.body, "application/zip")})
    headers = {**_headers(service), "content-type": kind}
    question = Question(method="POST", url=f"{_base(service)}/extensions", headers=headers, body=body)
    return {"id": answers.object_of(await service.ask(question), "browserbase").get("id")}


def _session(session: JsonObject) -> JsonObject:
    return {**session, "connect_url": session.get("connectUrl")}


def _project(service: Service) -> str:
    return service.text("projectId") or service.text("project_id")


def _path(service: Service) -> str:
    return f"sessions/{quote(service.text('id'), safe='')}"


async def _get(service: Service, path: str, query: JsonObject | None = None) -> OutboundResponse:
    return await service.ask(Question(url=f"{_base(service)}/{path}", headers=_headers(service), query=query or {}))


async def _post(service: Service, path: str, body: JsonObject, *, again: bool = False) -> OutboundResponse:
    question = Question(method="POST", url=f"{_base(service)}/{path}", headers=_headers(service), json=body, again=again)
    return await service.ask(question)


def _base(service: Service) -> str:
    given = service.text("api_url").rstrip("/") or service.base(BASE_URL)
    return given if given.endswith("/v1") else f"{given}/v1"


def _headers(service: Service) -> dict[str, str]:
    return {"x-bb-api-key": service.text("api_key")}


METHODS = {
    "list_sessions": list_sessions,
    "create_session": create_session,
    "get_session": get_session,
    "complete_session": complete_session,
    "get_live_urls": get_live_urls,
    "get_connect_url": get_connect_url,
    "install_extension_from_github": install_extension_from_github,
    "create_context": create_context,
    "get_session_downloads": get_session_downloads,
    "get_logs": get_logs,
    "get_recordings": get_recordings,
}
