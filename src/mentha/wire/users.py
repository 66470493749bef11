"""Users: whom agents talk to."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from mentha.wire.common import CanonicalName, Metadata, SafeUnicode, Wire, read_only


class User(Wire):
    """User model."""

    id: UUID = Field(json_schema_extra=read_only())
    metadata: Metadata = None
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    # Stored names are not checked again: the default is the empty string, which the rule for given names refuses.
    name: str = Field("", description="Name of the user")
    about: str = Field("", description="About the user")
    project: CanonicalName | None = Field(None, description="Canonical name of the project of the user")


class CreateUserRequest(Wire):
    """Payload for creating a user."""

    metadata: Metadata = Field(default_factory=dict)
    name: SafeUnicode = Field("", description="Name of the user")
    about: str = Field("", description="About the user")
    project: CanonicalName | None = Field(None, description="Canonical name of the project of the user")


class CreateOrUpdateUserRequest(CreateUserRequest):
    """Payload for creating a user under an id of one's own, or replacing it."""


class UpdateUserRequest(CreateUserRequest):
    """Payload for replacing a user; without `project` it stays where it is."""


class PatchUserRequest(Wire):
    """Payload for changing some fields of a user. Metadata is merged."""

    metadata: Metadata = None
    name: SafeUnicode | None = None
    about: str | None = None
    project: CanonicalName | None = None


class UserPage(Wire):
    """A page of users."""

    items: list[User]
