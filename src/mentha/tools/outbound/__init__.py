"""The one door for every connection that a tenant directs: calls of tools, addresses of integrations, images and files, mail, MCP.

`door.Outbound` is the one entrance; nothing else of this package is used outside of it but the values that it takes and gives.
"""

from mentha.tools.outbound.calls import OutboundCall, OutboundLimits, OutboundResponse
from mentha.tools.outbound.dial import Connection, Slots
from mentha.tools.outbound.door import CheckedUrl, Outbound

__all__ = ["CheckedUrl", "Connection", "Outbound", "OutboundCall", "OutboundLimits", "OutboundResponse", "Slots"]
