"""Files in messages: looked at when they come, put in their places each time a model is asked. Histories keep the references alone.

    note → parts of new messages get the file's name and its weight, or the request is refused
    fill → in what is sent, every part that names a file becomes text or an image; the newest first, as far as they have room

No connection is held while bytes are read. A text that was read out of a PDF is kept, so that each PDF is read once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from mentha.core import tokens
from mentha.core.config import Settings
from mentha.core.errors import FileContentMissing, FileInvalid, Unavailable
from mentha.core.json import JsonObject, dumps, loads
from mentha.sandbox.extract import Extractor
from mentha.store import files
from mentha.store.blobs import Blobs
from mentha.store.files import Stored
from mentha.store.pool import Database
from mentha.tools.file_parts import (
    HEAD_BYTES,
    file_of,
    files_of,
    image_part,
    kind_of,
    may_name_files,
    note,
    shown,
    text_of,
    text_part,
    with_parts,
)

# Different files in the messages of one request.
FILES_MAX = 100
_BYTES_PER_CHAR_MAX = 4


@dataclass(frozen=True, slots=True)
class Content:
    """What a model gets of a file.

    Attributes:
        text: None for an image, and where there is only a `fault`.
        image: its bytes.
        fault: why there is nothing.
    """

    name: str
    text: str | None = None
    image: bytes | None = None
    fault: str | None = None

    @property
    def size(self) -> int:
        """Bytes, or characters, which count as one each."""
        return len(self.image or self.text or "")


class Attachments:
    """Reads tenants' files for models. One for the process. `blobs` is where their bytes are."""

    def __init__(self, settings: Settings, database: Database, blobs: Blobs, extractor: Extractor) -> None:
        self._settings = settings
        self._database = database
        self.blobs = blobs
        self._extractor = extractor

    async def noted(self, tenant: UUID, messages: Sequence[JsonObject]) -> list[JsonObject]:
        """The same messages, where parts of type `file` say the name and about how many tokens the file counts.

        Raises:
            FileInvalid: a file is not there, can't be used where it stands, or all together are too large.
            Unavailable: the database or the blob store is away, or no process became free that reads PDFs.
        """
        named = list(files_of(messages))
        if not named:
            return list(messages)
        contents, room = await self._contents(tenant, named), self._settings.files_per_turn_bytes_max
        for message in messages:
            for part in message["content"] if isinstance(message.get("content"), list) else ():
                _check(part, contents)
        if sum(contents[file_id].size if file_id in contents else room + 1 for file_id in named) > room:
            raise FileInvalid(f"the files of these messages have more than {room:,} bytes", fix="name fewer files, or smaller ones")
        texts = {file_id: content.text for file_id, content in contents.items() if content.text is not None}
        counts = dict(zip(texts, await tokens.count_many(list(texts.values())), strict=True))

        def noted(part: JsonObject, file_id: UUID) -> JsonObject:
            if part["type"] != "file":
                return part
            weight = counts.get(file_id, tokens.TOKENS_PER_IMAGE)
            return {**part, "file": {"file_id": str(file_id), "name": shown(contents[file_id].name), "tokens": weight}}

        return [with_parts(message, noted) for message in messages]

    async def filled(self, tenant: UUID, messages: bytes) -> bytes:
        """A JSON array of messages in which no part names a file any more.

        A file that is gone or can't be used leaves a note in its place: a conversation must not end because somebody deleted a file.

        Raises:
            Unavailable: as `noted`.
        """
        if not may_name_files(messages):
            return messages
        parsed: list[JsonObject] = await asyncio.to_thread(loads, messages)
        named = list(files_of(parsed))
        if not named:
            return messages
        # The newest first; older ones have no room in any case.
        contents = await self._contents(tenant, list(dict.fromkeys(named))[:FILES_MAX])
        return await asyncio.to_thread(_filled, parsed, contents, self._settings)

    async def text(self, tenant: UUID, file_id: UUID) -> tuple[str, str]:
        """The name and the whole text of a file: of a PDF what can be read out of it.

        Raises:
            NotFound: the tenant has no such file.
            FileInvalid: it has no text, or more than a document may have.
            Unavailable: as `noted`.
        """
        async with self._database.connection() as tx:
            stored = await files.get(tx, tenant, file_id)
            ((_, kept),) = await files.get_many(tx, tenant, [file_id], chars_max=self._settings.doc_chars_max + 1) or [(stored, None)]
        content = await self._read(tenant, stored, kept, self._settings.doc_chars_max)
        if content.image is not None or not (content.text or "").strip():
            raise FileInvalid(f"the file '{shown(stored.file.name)}' has no text: a document can't be made of it")
        text = content.text or ""
        if len(text) > self._settings.doc_chars_max:
            raise FileInvalid(f"a document has at most {self._settings.doc_chars_max} characters; this file has more")
        return stored.file.name, text

    async def _contents(self, tenant: UUID, file_ids: Sequence[UUID]) -> dict[UUID, Content]:
        """What there is of each file in this order, faults included; once all together are larger than they may be, the rest is not read.

        Raises:
            Unavailable: it takes too long; what was read out of PDFs until then is kept.
        """
        wanted, chars_max = list(dict.fromkeys(file_ids)), self._settings.file_text_chars_max
        if len(wanted) > FILES_MAX:
            raise FileInvalid(f"at most {FILES_MAX} files in one request")
        async with self._database.connection() as tx:
            found = {each[0].file.id: each for each in await files.get_many(tx, tenant, wanted, chars_max=chars_max + 1)}
        contents, room = dict[UUID, Content](), self._settings.files_per_turn_bytes_max
        try:
            async with asyncio.timeout(self._settings.turn_timeout_s):
                for file_id in wanted:
                    contents[file_id] = await self._content(tenant, file_id, found.get(file_id), chars_max)
                    room -= contents[file_id].size
                    if room < 0:
                        break
        except TimeoutError:
            raise Unavailable("reading the files of these messages took too long") from None
        return contents

    async def _content(self, tenant: UUID, file_id: UUID, found: tuple[Stored, str | None] | None, chars_max: int) -> Content:
        if found is None:
            return Content("", fault=f"The file {file_id} is not there")
        try:
            return await self._read(tenant, *found, chars_max)
        except (FileInvalid, FileContentMissing) as error:
            return Content(found[0].file.name, fault=f"{error.message[:1].upper()}{error.message[1:]}")

    async def _read(self, tenant: UUID, stored: Stored, kept: str | None, chars_max: int) -> Content:
        """One file; of a text, a character more than `chars_max` tells that it is longer."""
        file = stored.file
        if kept is not None:
            return Content(file.name, text=kept)
        kind = kind_of(await self._bytes(tenant, stored, HEAD_BYTES))
        if kind == "image":
            if file.size > self._settings.file_image_bytes_max:
                raise FileInvalid(f"the image '{shown(file.name)}' has more than {self._settings.file_image_bytes_max:,} bytes")
            return Content(file.name, image=await self._bytes(tenant, stored, file.size))
        if kind == "pdf":
            return Content(file.name, text=(await self._pdf(tenant, stored))[: chars_max + 1])
        raw = await self._bytes(tenant, stored, _BYTES_PER_CHAR_MAX * (chars_max + 1))
        return Content(file.name, text=text_of(raw, name=file.name, whole=len(raw) == file.size)[: chars_max + 1])

    async def _pdf(self, tenant: UUID, stored: Stored) -> str:
        # Read when its turn has come: many that wait would fill the memory.
        source = partial(self._bytes, tenant, stored, stored.file.size)
        found = await self._extractor.pdf(tenant, source, chars_max=self._settings.doc_chars_max + 1)
        async with self._database.connection() as tx:
            await files.keep_text(tx, tenant, stored.file.id, stored.blob_id, found.text)
        return found.text

    async def _bytes(self, tenant: UUID, stored: Stored, count: int) -> bytes:
        return b"".join([chunk async for chunk in await self.blobs.get(tenant, stored.blob_id, 0, min(count, stored.file.size))])


def _check(part: JsonObject, contents: dict[UUID, Content]) -> None:
    """Raises: FileInvalid."""
    file_id = file_of(part)
    if file_id is None or file_id not in contents:
        return
    content = contents[file_id]
    if content.fault is not None:
        raise FileInvalid(f"messages: {content.fault[:1].lower()}{content.fault[1:]}")
    if part["type"] == "image_url" and content.image is None:
        raise FileInvalid(f"messages: the file '{shown(content.name)}' is no image", fix="name it in a part of type `file`")


def _filled(messages: Sequence[JsonObject], contents: dict[UUID, Content], settings: Settings) -> bytes:
    room = settings.files_per_turn_bytes_max

    def filled(part: JsonObject, file_id: UUID) -> JsonObject:
        nonlocal room
        content = contents.get(file_id)
        if content is None or content.size > room:
            room = 0
            return note(
                f"The file '{shown(content.name)}' was left out: too many files are in this conversation"
                if content
                else "A file was left out: too many files are in this conversation"
            )
        room -= content.size
        if content.image is not None:
            return image_part(content.image, part.get("image_url", {}).get("detail", "auto"))
        return (
            note(content.fault) if content.fault is not None else text_part(content.name, content.text or "", settings.file_text_chars_max)
        )

    done = [with_parts(message, filled) for message in reversed(messages)]
    return dumps(done[::-1])
