"""Files: bytes with a name, for chats and as sources of documents.

Source: the contract's `Files.*` and the SDK's signatures; section 3.4 of the behaviour spec for an empty file (400).
"""

import binascii
import contextlib
import re
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from mentha.core.errors import FileInvalid
from mentha.wire.common import TEXT_16K_CHARS_MAX, CanonicalName, Metadata, SafeUnicode, Wire, ours, read_only

# Source: the contract's Common.mimeType.
_WORD = r"[0-9A-Za-z!#$%&'*+.^_`|~-]+"
MIME_TYPE = rf"^(application|audio|font|example|image|message|model|multipart|text|video|x-(?:{_WORD}))\/({_WORD})$"
MIME_TYPE_CHARS_MAX = 120
# Standing in the place of a URL, this names a file of the tenant.
URL_PREFIX = "mentha://files/"

MimeType = Annotated[str, StringConstraints(max_length=MIME_TYPE_CHARS_MAX, pattern=MIME_TYPE)]
Description = Annotated[str, StringConstraints(max_length=TEXT_16K_CHARS_MAX)]
# What tools break long base64 with.
_SPACES = " \t\r\n"
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=]")


class FileOwner(Wire):
    """The agent or user that a file belongs to, and goes with."""

    id: UUID
    role: Literal["user", "agent"]


class File(Wire):
    """File model."""

    id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=ours())
    # Stored names are not checked again.
    name: str = Field(description="Name of the file")
    description: str = Field("", description="Description of the file")
    mime_type: str | None = Field(None, description="MIME type of the file")
    content: str | None = Field(
        None, description="The file in base64; null where it is too much for JSON, or was not asked for: see `GET /files/{file_id}/content`"
    )
    project: CanonicalName | None = Field(None, description="Canonical name of the project of the file")
    size: int = Field(ge=1, description="Size of the file in bytes", json_schema_extra=read_only())
    hash: str = Field(description="SHA-256 of the file in hexadecimal", json_schema_extra=read_only())
    metadata: Metadata = Field(None, json_schema_extra=ours())
    owner: FileOwner | None = Field(None, description="Whose file it is", json_schema_extra=ours())


class _FileFields(Wire):
    name: SafeUnicode = Field(description="Name of the file")
    description: Description = Field("", description="Description of the file")
    mime_type: MimeType | None = Field(None, description="MIME type of the file")
    project: CanonicalName | None = Field(None, description="Canonical name of the project of the file")
    metadata: Metadata = Field(default_factory=dict, json_schema_extra=ours())


class CreateFileRequest(_FileFields):
    """Payload for creating a file."""

    content: str = Field(description="Base64 encoded content of the file")
    owner: FileOwner | None = Field(None, description="The agent or user that the file belongs to", json_schema_extra=ours())


class UpdateFileRequest(_FileFields):
    """Payload for replacing what is said of a file; its content and owner stay, and without `project` it stays where it is."""


class PatchFileRequest(Wire):
    """Payload for changing some of what is said of a file. Metadata is merged."""

    name: SafeUnicode | None = Field(None, description="Name of the file; null keeps it")
    description: Description | None = Field(None, description="Description of the file; null empties it")
    mime_type: MimeType | None = Field(None, description="MIME type of the file; null removes it")
    project: CanonicalName | None = Field(None, description="Canonical name of the project of the file")
    metadata: Metadata = None


def decoded(content: str) -> bytes:
    """The bytes of base64, which may have spaces and line ends between its characters.

    Raises:
        FileInvalid: it is empty or no base64; the message says what is wrong, never what it holds.
    """
    packed = content
    # One by one: a pattern takes fifty times as long over text that has none of them, and holds the interpreter all the while.
    for space in _SPACES:
        packed = packed.replace(space, "")
    if not packed:
        raise FileInvalid("content: an empty file can't be stored")
    # The library takes padding that nothing asks for.
    if len(packed) % 4 == 0:
        with contextlib.suppress(ValueError):
            return binascii.a2b_base64(packed, strict_mode=True)
    raise FileInvalid(f"content: {_fault(packed)}", fix="encode the bytes of the file with the standard base64 alphabet")


def _fault(packed: str) -> str:
    if packed.startswith("data:"):
        return "a data URL is no base64: leave out what stands before its comma"
    found = _FOREIGN.search(packed)
    if found is None:
        return "no base64: its length or its padding is wrong"
    if found[0] in "-_":
        return "`-` and `_` belong to another alphabet of base64 (the one for URLs)"
    return f"character {found.start() + 1} is none of base64"
