"""The provider `dummy`: gives back what it is called with. For trying out tools, and for tests."""

from mentha.core.json import JsonValue
from mentha.tools.integrations.service import Service


async def echo(service: Service) -> JsonValue:
    """The arguments."""
    return service.arguments


METHODS = {"echo": echo}
