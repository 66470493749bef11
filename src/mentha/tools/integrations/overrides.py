"""Integrations that an agent's, a session's or a task's `metadata` changes, tool by tool. Pure.

    {"x-integrations-setup": {"search": {"brave_api_key": "$ secrets.MINE"}}, "x-integrations-args": {"search": {"count": 3}}}

What metadata says wins over the tool; of several the last one wins. Its arguments are fixed like the tool's own, so a model is not asked
for them. Source: section 5.5 of the tasks' spec; in the original the keys were documented and never read.
"""

from collections.abc import Sequence

from mentha.core.json import JsonObject, JsonValue
from mentha.wire.integrations import PROVIDERS, method_of
from mentha.wire.schemas import known

_MEMBERS = {"x-integrations-setup": "setup", "x-integrations-args": "arguments"}


def overridden(tools: Sequence[JsonObject], metadata: Sequence[JsonObject | None]) -> list[JsonObject]:
    """The tools with what metadata changes. Apply it before tools are offered, and run what was offered.

    Args:
        tools: create-tool objects, their secrets sealed or not.
        metadata: the weakest first: the agent's, then that of the session or of the task. What is not of the form is ignored.
    """
    relevant = [each for each in metadata if each and _MEMBERS.keys() & each.keys()]
    return [_overridden(tool, relevant) for tool in tools] if relevant else list(tools)


def _overridden(tool: JsonObject, metadata: Sequence[JsonObject]) -> JsonObject:
    if tool.get("type") != "integration":
        return tool
    spec: JsonObject = dict(tool["integration"])
    method = method_of(spec["provider"], spec.get("method"))
    schemas = {"setup": PROVIDERS[spec["provider"]].setup, "arguments": method.arguments if method else {}}
    for key, name in _MEMBERS.items():
        for each in metadata:
            change = _object(_object(each.get(key)).get(tool["name"]))
            if change:
                spec[name] = {**(spec.get(name) or {}), **known(schemas[name], change)}
    return {**tool, "integration": spec}


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}
