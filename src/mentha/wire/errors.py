"""The bodies of errors, as schemas for the published description. `api/errors.py` writes them."""

from typing import Any

from pydantic import Field

from mentha.wire.common import Wire, ours


class ValidationError(Wire):
    """One fault of a request. The value itself is never echoed: it may be a secret."""

    loc: list[str | int] = Field(title="Location")
    msg: str = Field(title="Message")
    type: str = Field(title="Error Type")


class HTTPValidationError(Wire):
    """A request with faults in its fields."""

    detail: list[ValidationError] = Field(default_factory=list[ValidationError])
    error: dict[str, Any] | None = Field(
        default=None, description="The same faults in the shape of all other errors.", json_schema_extra=ours()
    )


class ErrorBody(Wire):
    """What went wrong, and what to do.

    `code` and `type` are the original API's; `reason` is Mentha's stable name for the fault, listed in `docs/errors.md`.
    """

    message: str
    code: str
    type: str
    reason: str | None = None
    fix: str | None = None
    request_id: str | None = None
    id: str | None = Field(default=None, description="Of an unexpected fault: the log has the same id.")


class ErrorResponse(Wire):
    """Every error but a 422."""

    error: ErrorBody
