"""Whose key a request came with, for what is recorded of it. Set where the key is checked; what the request starts inherits it. Pure."""

from contextvars import ContextVar
from uuid import UUID

# None outside of a request, and for one that came with a token (JWT).
key_id: ContextVar[UUID | None] = ContextVar("key_id", default=None)
