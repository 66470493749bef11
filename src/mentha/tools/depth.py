"""How deep a call stands, told to a Mentha that an `api_call` asks for a turn or an execution: an agent that calls itself ends. Pure.

Told only where the path is that of such a request: other servers learn nothing. Whoever sends a number of their own gets less, never more,
and what a tool says of it does not count. `mcp/servers.py` tells the same in its own way.
"""

import re
from urllib.parse import urlsplit

from mentha.tools.system import Caller

HEADER = "mentha-depth"
_PATHS = re.compile(r".*/(?:sessions/[^/]+/chat|tasks/[^/]+/executions|responses)/?", re.ASCII)
_TOLD = re.compile(r"([0-9]{1,3}),([0-9]{1,3})", re.ASCII)


def told_to(url: str, method: str, caller: Caller) -> dict[str, str]:
    """The header for a request that this caller makes; none where the request begins neither a turn nor an execution."""
    if method != "POST" or not _PATHS.fullmatch(urlsplit(url).path):
        return {}
    return {HEADER: f"{caller.depth},{caller.executions}"}


def heard(text: str | None) -> tuple[int, int] | None:
    """In how many turns, and in how many executions, stands who asks; None where it says nothing that can be read."""
    found = _TOLD.fullmatch(text or "")
    return (int(found[1]), int(found[2])) if found else None
