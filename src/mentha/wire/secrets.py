"""Secrets: values that tools and providers are given by name, and that no answer shows."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from mentha.wire.common import Metadata, Wire, ours, read_only

# What answers have in place of the value. Source: section 3.5 of the behaviour spec.
SHOWN = "ENCRYPTED"
VALUE_CHARS_MAX = 16_384


def _check_value(value: SecretStr) -> SecretStr:
    # The library's own words would be about items, which a text has none of.
    if not 1 <= len(value.get_secret_value()) <= VALUE_CHARS_MAX:
        raise PydanticCustomError("secret_length", "A value has 1 to {most} characters", {"most": VALUE_CHARS_MAX})
    # A client that sends back what it was shown would replace the secret by this word.
    if value.get_secret_value() == SHOWN:
        raise PydanticCustomError("secret_not_shown", "'ENCRYPTED' stands for a value in answers and can't be one: send the value itself")
    return value


Value = Annotated[SecretStr, Field(json_schema_extra={"minLength": 1, "maxLength": VALUE_CHARS_MAX}), AfterValidator(_check_value)]
# The database checks it, because a wrong name is a 400.
Name = Annotated[str, Field(json_schema_extra={"pattern": "^[a-zA-Z][a-zA-Z0-9_]*$", "maxLength": 255})]


class Secret(Wire):
    """A secret that can be used in tasks and sessions."""

    id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    metadata: Metadata = None
    name: str = Field(description="Name of the secret")
    description: str | None = Field(None, description="Description of what the secret is used for")
    value: str = Field(SHOWN, description="Always ENCRYPTED", json_schema_extra=read_only())


class CreateSecretRequest(Wire):
    """Payload for creating a secret."""

    metadata: Metadata = Field(default_factory=dict)
    name: Name = Field(description="Name of the secret: letters, digits and underscores")
    description: str | None = Field(None, description="Description of what the secret is used for")
    value: Value = Field(description="The secret itself")


class UpdateSecretRequest(Wire):
    """Payload for replacing a secret. Description and metadata stay as they are where they are left out or null."""

    metadata: dict[str, Any] | None = None
    name: Name = Field(description="Name of the secret: letters, digits and underscores")
    description: str | None = Field(None, description="Description of what the secret is used for")
    value: Value = Field(description="The secret itself")


class PatchSecretRequest(Wire):
    """Payload for changing some fields of a secret. Metadata is merged."""

    metadata: Metadata = Field(None, json_schema_extra=ours())
    name: Name | None = Field(None, json_schema_extra=ours())
    description: str | None = Field(None, json_schema_extra=ours())
    value: Value | None = Field(None, json_schema_extra=ours())
