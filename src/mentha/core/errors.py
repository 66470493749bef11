"""Every error that Mentha raises on purpose, in one tree. `api/errors.py` alone turns them into HTTP answers.

MenthaError
├── ConfigInvalid            the operator's settings; the process does not start
├── RequestRefused           the caller's fault: 4xx, a retry cannot help
│   ├── Forbidden            403  who is asking
│   ├── NotFound             404
│   ├── Conflict             409
│   ├── BodyTooLarge         413
│   ├── BadRequest           400
│   │   ├── ParticipantInvalid, ConstraintViolated, TemplateFailed, ExpressionFailed, SchemaInvalid, TaskInvalid, FileInvalid
│   ├── RangeNotSatisfiable  416  a part of a file that it does not have
│   ├── FieldInvalid         422  names the field
│   └── RateLimited          429  the limits of the key; a retry helps
├── ProviderError            a model's provider failed
│   ├── ProviderRefused      400  bad request, unknown model, context too long
│   ├── ProviderKeyInvalid   400  the provider does not accept the key
│   ├── ProviderRateLimited  429  a retry helps
│   ├── ProviderTimeout      504  no answer in time
│   │   └── EmbedderTimeout  504  a retry may help
│   └── ProviderUnavailable  502  a retry may help
├── OutboundError            a call to where a tenant wants
│   ├── OutboundRefused      400  we don't make it, or don't take its answer; a setting may allow it
│   ├── OutboundFailed       502  the other side, or the way to it, failed; a retry may help
│   └── OutboundTimeout      504  no whole answer in time
├── FileContentMissing       500  a file's row is there, its bytes are not
├── SecretsUnavailable       503  no key for the stored secrets, or one of them was damaged
└── Unavailable              503  the database is away, or the server is stopping; a retry helps
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class MenthaError(Exception):
    """The root. Not raised itself.

    Attributes:
        reason: the stable, documented name of this error (`docs/errors.md`).
        status: the HTTP status that fits it.
        retry: whether sending the same request again can help; `None` leaves it to the client's own rule for the status.
    """

    reason: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retry: ClassVar[bool | None] = False

    def __init__(self, message: str, *, fix: str | None = None, retry_after_s: float | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.retry_after_s = retry_after_s
        self.details = details


class ConfigInvalid(MenthaError):
    """A setting is wrong, or something that the server needs is missing. Shown on the terminal; nothing was started."""

    reason = "config_invalid"


class RequestRefused(MenthaError):
    """The request cannot be served as it is."""

    reason = "bad_request"
    status = 400


class Forbidden(RequestRefused):
    """The key is missing or wrong. The message never says which."""

    reason = "forbidden"
    status = 403


class NotFound(RequestRefused):
    """No such object for this tenant: it may not exist, or be another tenant's; the two look the same."""

    reason = "not_found"
    status = 404


class Conflict(RequestRefused):
    """A name is taken, or the object is in a state that forbids this."""

    reason = "conflict"
    status = 409


class BodyTooLarge(RequestRefused):
    """The body exceeds `body_bytes_max`, or `small_body_bytes_max` where none needs to be large."""

    reason = "body_too_large"
    status = 413


class BadRequest(RequestRefused):
    """Well-formed, but not possible as asked."""

    reason = "bad_request"
    status = 400


class ParticipantInvalid(BadRequest):
    """A session names an agent or a user that does not exist, or none at all."""

    reason = "participant_invalid"


class ConstraintViolated(BadRequest):
    """A value breaks a rule of the data model (blank text, a budget below one, a text too long)."""

    reason = "constraint_violated"


class TemplateFailed(BadRequest):
    """A template has a syntax error, or failed, or ran out of its time or memory."""

    reason = "template_failed"


class ExpressionFailed(BadRequest):
    """An expression of a task is none, or failed, or ran out of its time or memory. The message may quote the data it worked on.

    Args:
        message: what is wrong, with the expression's text, shortened.
        expression: the whole text, as its author wrote it.
        kind: `syntax`, `refused`, `undefined`, `error`, `type`, `template`, or the limit that was broken: `time`, `memory`, `depth`,
            `input`, `output`, `calls`.
    """

    reason = "expression_failed"

    def __init__(self, message: str, expression: str = "", kind: str = "error", *, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.expression = expression
        self.kind = kind


class SchemaInvalid(BadRequest):
    """A tenant's JSON Schema is none, refers to something outside of itself, or exceeds a limit."""

    reason = "schema_invalid"


class TaskInvalid(BadRequest):
    """The definition of a task has something that can't work. `error.details.issues` lists all of it, each with its place and a fix.

    Args:
        issues: as the API shows them.
        paths: where in the definition each of them is.
    """

    reason = "task_invalid"

    def __init__(self, message: str, *, issues: Sequence[dict[str, Any]] = (), paths: Sequence[tuple[str | int, ...]] = ()) -> None:
        super().__init__(message, fix="see error.details.issues")
        self.issues = list(issues)
        self.paths = list(paths)


class FileInvalid(BadRequest):
    """A file is empty, no base64, larger than allowed, took too long to arrive, or can't be used for what was asked."""

    reason = "file_invalid"


class RangeNotSatisfiable(RequestRefused):
    """The part of a file that `Range` asks for lies beyond its end. `details["size"]` is the file's size in bytes."""

    reason = "range_not_satisfiable"
    status = 416


class FieldInvalid(RequestRefused):
    """One field is wrong in a way that only the server's state shows. Rendered like every other 422.

    Args:
        loc: the path to the field, like `("body", "messages", 0, "role")`.
    """

    reason = "validation_error"
    status = 422

    def __init__(self, message: str, *, loc: tuple[str | int, ...], kind: str = "value_error", fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.loc = loc
        self.kind = kind


class RateLimited(RequestRefused):
    """The key has used up its requests of this minute, or its tokens of this day (UTC). Wait `Retry-After`, then send again."""

    reason = "rate_limited"
    status = 429
    retry = True


class ProviderError(MenthaError):
    """The model's provider did not answer as it should. Nothing of the turn was stored; what was there stays."""

    reason = "provider_error"
    status = 502
    retry = True


class ProviderRefused(ProviderError):
    """The provider refuses this request (too long, unknown model, unsupported option); sending it again changes nothing."""

    reason = "llm_bad_request"
    status = 400
    retry = False


class ProviderKeyInvalid(ProviderError):
    """The provider does not accept the key that was used: the operator's, or the one in `X-Custom-Api-Key`."""

    reason = "llm_key_invalid"
    status = 400
    retry = False


class ProviderRateLimited(ProviderError):
    """The provider's rate limit or quota is used up. Wait `retry_after_s`, then send again."""

    reason = "llm_rate_limited"
    status = 429
    retry = True


class ProviderTimeout(ProviderError):
    """No answer within the time limit. Sending again would run, and bill, the whole turn again."""

    reason = "llm_timeout"
    status = 504
    retry = False


class EmbedderTimeout(ProviderTimeout):
    """No vectors within the time limit. Sending again costs little; background work does it by itself."""

    reason = "embedder_timeout"
    retry = True


class ProviderUnavailable(ProviderError):
    """The provider cannot be reached, or failed (5xx), or broke its answer off."""

    reason = "llm_api_error"
    status = 502
    retry = True


class OutboundError(MenthaError):
    """A call to where a tenant wants did not succeed. No message holds the path, a header or a body of the call."""

    reason = "outbound_error"
    status = 502


class OutboundRefused(OutboundError):
    """The call is not made, or its answer not taken: its address, port, form, certificate or size is not right. `fix` tells what may help.

    Args:
        rule: the stable name of what was broken, like `address_not_public`; the event `OutboundRefusedSeen` has it.
    """

    reason = "outbound_refused"
    status = 400
    retry = False

    def __init__(self, message: str, *, rule: str = "other", fix: str | None = None, **details: Any) -> None:
        super().__init__(message, fix=fix, **details)
        self.rule = rule


class OutboundFailed(OutboundError):
    """The name can't be found, the server can't be reached, it has no TLS that can be used, or its answer is broken. A retry may help.

    Attributes:
        is_sent: the call went out before it failed, so it may have had its effect: to repeat it is for who knows that twice does no harm.
    """

    reason = "outbound_failed"
    status = 502
    retry = True
    is_sent: bool = False


class OutboundTimeout(OutboundError):
    """No whole answer within the time limit. The call may have had its effect, so it is not sent again by itself."""

    reason = "outbound_timeout"
    status = 504
    retry = False


class Unavailable(MenthaError):
    """The server cannot answer now: the database is away, every connection is busy, or the server is stopping."""

    reason = "unavailable"
    status = 503
    retry = True

    def __init__(self, message: str, *, retry_after_s: float = 1.0, **details: Any) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **details)


class FileContentMissing(MenthaError):
    """The bytes of a file are not where they were put: the store was emptied, or another one is configured. The operator can help."""

    reason = "file_content_missing"
    status = 500
    retry = False


class SecretsUnavailable(MenthaError):
    """The server has not the key that stored secrets are encrypted with, or what is stored of one was changed. The operator can help."""

    reason = "secrets_unavailable"
    status = 503
    retry = False

    def __init__(self, message: str, *, retry_after_s: float = 60.0, **details: Any) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **details)
