"""Calls of tools by the real runner, against servers of ours: what a tenant's server can cost everybody else."""

import json
import threading
from typing import Any
from uuid import UUID

import pytest

from mentha.core.config import Settings
from mentha.core.json import loads_hostile
from mentha.core.redact import MARK, Redactor
from mentha.tools import api_call
from mentha.tools.calls import Call, ToolFailed
from mentha.tools.integrations import answers
from mentha.tools.outbound import Outbound, OutboundResponse
from mentha.tools.run import ServerTools, Toolbox
from mentha.tools.system import Caller
from tests.support.wild_server import answer, saying, wild_server

TENANT = UUID(int=7)
SECRET = "Sk-0123-4567-89ab"


async def none(*_: Any) -> dict[str, str]:
    return {}


async def test_large_answer_is_read_and_looked_through_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is nested costs a second and more; while it takes that, others must be answered."""
    readers, lookers = list[Any](), list[Any]()
    look = Redactor.value

    def read(*given: Any, **more: Any) -> Any:
        readers.append(threading.current_thread())
        return loads_hostile(*given, **more)

    def looked(self: Redactor, value: Any) -> Any:
        lookers.append(threading.current_thread())
        return look(self, value)

    body = json.dumps([[n, SECRET] for n in range(9_000)]).encode()
    settings = Settings(outbound_allow=("127.0.0.1",))
    async with wild_server(saying(answer(body=body, content_type="application/json"))) as server:
        spec = {"method": "GET", "url": server.url(), "headers": {"Authorization": SECRET}}
        tool: Any = {"name": "get", "type": "api_call", "api_call": spec}
        tools = ServerTools(Toolbox(settings, Outbound(settings), {}, none), Caller(TENANT), [tool])
        monkeypatch.setattr(api_call, "loads_hostile", read)
        monkeypatch.setattr(Redactor, "value", looked)
        result = await tools.run(Call(0, "c", "get", "{}"))
    assert result.value["json"][-1] == [8_999, MARK]
    assert readers
    assert threading.main_thread() not in readers + lookers


def test_answer_of_a_service_with_very_many_parts_is_not_read() -> None:
    """Some services are where a tenant says, and what they answer is read on the event loop."""
    many = b"[" + b",".join([b"{}"] * answers.OBJECTS_MAX) + b"]"
    with pytest.raises(ToolFailed, match="objects and lists"):
        answers.json_of(OutboundResponse(status=200, headers=(), body=many, url="", redirects=0), "unstructured")
    assert answers.message_of(OutboundResponse(status=400, headers=(), body=many, url="", redirects=0)) == ""
