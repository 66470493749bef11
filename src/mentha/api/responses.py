"""The errors that routes document, by status."""

from typing import Any

from mentha.wire.errors import ErrorResponse

_TEXTS = {
    400: "Bad Request",
    403: "Missing or wrong API key",
    404: "Not Found",
    409: "Conflict",
    413: "Request body too large",
    416: "The file does not have this part",
    422: "Validation Error",
    429: "Rate limited by the model's provider",
    500: "Unexpected fault",
    502: "The model's provider failed",
    503: "Not available now; try again after Retry-After",
    504: "The model's provider did not answer in time",
}
Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """Response descriptions for `statuses`, and for those that every route with a key can give: 403, 413, 500 and 503."""
    return {status: {"model": ErrorResponse, "description": _TEXTS[status]} for status in sorted({*statuses, 403, 413, 500, 503})}
