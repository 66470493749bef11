"""Projects: a tenant's named groups of agents, users and files."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from mentha.wire.common import CanonicalName, DisplayName, Metadata, Wire, read_only


class Project(Wire):
    """Project model."""

    id: UUID = Field(json_schema_extra=read_only())
    metadata: Metadata = None
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    canonical_name: CanonicalName
    name: DisplayName


class CreateProjectRequest(Wire):
    """Payload for creating a project."""

    name: DisplayName
    canonical_name: CanonicalName | None = None
    metadata: Metadata = Field(default_factory=dict)


class CreateOrUpdateProjectRequest(CreateProjectRequest):
    """Payload for creating a project under an id of one's own, or replacing it."""


class UpdateProjectRequest(CreateProjectRequest):
    """Payload for replacing a project; without `canonical_name` the name stays."""


class PatchProjectRequest(Wire):
    """Payload for changing some fields of a project. Metadata is merged."""

    name: DisplayName | None = None
    canonical_name: CanonicalName | None = None
    metadata: Metadata = None


class ProjectPage(Wire):
    """A page of projects."""

    items: list[Project]
