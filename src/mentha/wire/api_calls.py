"""Tools of type `api_call`: one HTTP request, with what is fixed of it and what the model may fill in.

Source: the contract's `Tools.ApiCallDef`; the original also took addresses with placeholders, like `https://example.com/items/{{id}}`.
"""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

from mentha.wire.common import Wire

HttpMethod = Literal["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"]
URL_CHARS_MAX = 8_192
TIMEOUT_S_MAX = 86_400

# A name in braces, single or double, stands for an argument of the call.
PLACEHOLDER = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|\{([^\W\d]\w*)\}")


def placeholders(url: str) -> list[str]:
    """The arguments that a URL has places for, in order, each once."""
    return list(dict.fromkeys(double or single for double, single in PLACEHOLDER.findall(url)))


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or any(char < " " for char in value):
        raise PydanticCustomError("url_parsing", "Must be a whole URL that begins with http:// or https:// and names a host")
    return value


# Stored as it was sent: what a URL library makes of it would lose the placeholders.
HttpUrl = Annotated[str, Field(max_length=URL_CHARS_MAX, json_schema_extra={"format": "uri"}), AfterValidator(_check_url)]


class SecretRef(Wire):
    """A secret, by its name."""

    name: str = Field(min_length=1, max_length=255, description="The name of the secret")


class ParameterSchema(Wire):
    """JSON Schema of what a call takes. Members that are not named here are kept."""

    model_config = ConfigDict(extra="allow")

    type: str = Field("object", description="Schema type (usually 'object')")
    properties: dict[str, dict[str, Any]] = Field(default={}, description="The parameters, each with its schema")
    required: list[str] = Field(default=[], description="Names of the parameters that must be there")
    additionalProperties: StrictBool | None = Field(None, description="Whether there may be others")  # noqa: N815 - named so by JSON Schema


class ApiCallDef(Wire):
    """An HTTP request. What is given here, every call has; the model gives the rest."""

    method: HttpMethod = Field(description="The HTTP method to use")
    url: HttpUrl = Field(description="The URL to call")
    schema_: dict[str, Any] | None = Field(None, alias="schema", description="Schema of the arguments, where there is no `params_schema`")
    headers: dict[str, str] | None = Field(None, description="Headers of the request. Secrets among them are shown as ENCRYPTED")
    secrets: dict[str, SecretRef] | None = Field(None, description="Secrets that the request uses, by name")
    content: str | None = Field(None, description="The body as base64")
    data: dict[str, Any] | None = Field(None, description="The body as a form")
    files: dict[str, Any] | None = Field(None, description="Files of a form")
    json_: Any | None = Field(None, alias="json", description="The body as JSON")
    cookies: dict[str, str] | None = Field(None, description="Cookies; their values are shown as ENCRYPTED")
    params: str | dict[str, Any] | None = Field(None, description="The query string")
    params_schema: ParameterSchema | None = Field(None, description="Schema of the arguments that the model gives")
    follow_redirects: StrictBool | None = Field(None, description="Whether to follow redirects")
    timeout: int | None = Field(None, ge=0, le=TIMEOUT_S_MAX, description="Time limit in seconds")
    include_response_content: StrictBool = Field(True, description="Whether the result has the body of the response")
