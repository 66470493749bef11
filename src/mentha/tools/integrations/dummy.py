"""The provider `dummy`: gives back what it is called with. For trying out tools, and for tests."""

from mentha.core.json import JsonObject, JsonValue


async def run(_setup: JsonObject, _method: str | None, arguments: JsonObject) -> JsonValue:
    """The arguments."""
    return arguments
