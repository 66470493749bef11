"""Parts of messages that name files of the tenant, and what stands in their place when a model is asked. Pure.

    {"type": "file", "file": {"file_id": ID, "name": …, "tokens": …}}              text, a PDF or an image
    {"type": "image_url", "image_url": {"url": "mentha://files/ID", …}}            an image

These stand in histories; bytes never do.
"""

import base64
import codecs
from collections.abc import Callable, Iterator, Sequence
from typing import Literal
from uuid import UUID

from mentha.core.errors import FileInvalid
from mentha.core.json import JsonObject
from mentha.wire.files import URL_PREFIX

Kind = Literal["image", "pdf", "text"]
# So many first bytes tell what a file is.
HEAD_BYTES = 1_024
# Where none of these stands in the JSON of messages, none of its parts names a file. Quotes inside of texts are escaped.
_MARKS = (b'"file_id":"', URL_PREFIX.encode())
_PDF = b"%PDF-"
_BLANKS = b" \t\r\n\xef\xbb\xbf"
_IMAGES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"))


def may_name_files(messages: bytes) -> bool:
    """Whether JSON of messages has to be looked at. Mostly it has not, which costs next to nothing."""
    return any(mark in messages for mark in _MARKS)


def file_of(part: JsonObject) -> UUID | None:
    """The file that a part names."""
    kind = part.get("type")
    named = part["file"]["file_id"] if kind == "file" else part["image_url"]["url"] if kind == "image_url" else ""
    if kind == "file" or named.startswith(URL_PREFIX):
        return UUID(named.removeprefix(URL_PREFIX))
    return None


def files_of(messages: Sequence[JsonObject]) -> Iterator[UUID]:
    """All files that messages name, as often as they do, the last first."""
    for message in reversed(messages):
        content = message.get("content")
        for part in reversed(content if isinstance(content, list) else ()):
            if (file_id := file_of(part)) is not None:
                yield file_id


def with_parts(message: JsonObject, change: Callable[[JsonObject, UUID], JsonObject]) -> JsonObject:
    """A message whose parts that name files are changed, the last first; itself where there are none."""
    content = message.get("content")
    if not isinstance(content, list) or all(file_of(part) is None for part in content):
        return message
    changed: list[JsonObject] = []
    for part in reversed(content):
        file_id = file_of(part)
        changed.append(part if file_id is None else change(part, file_id))
    return {**message, "content": changed[::-1]}


def kind_of(head: bytes) -> Kind:
    """What a file is by its first bytes; what its name and its type say of it counts for nothing."""
    if image_type(head):
        return "image"
    # Some have a few bytes before their header. A text that speaks of PDFs is a text.
    return "pdf" if head.lstrip(_BLANKS).startswith(_PDF) or (_PDF in head and not _is_text(head)) else "text"


def _is_text(head: bytes) -> bool:
    try:
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False


def image_type(head: bytes) -> str | None:
    """The MIME type of an image that models take."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _IMAGES if head.startswith(magic)), None)


def text_of(raw: bytes, *, name: str, whole: bool) -> str:
    """The text in bytes, which may end in the middle of a character where they are not the `whole` file.

    Raises:
        FileInvalid: they are no text.
    """
    encoding = "utf-16" if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw, final=whole)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise FileInvalid(f"the file '{shown(name)}' is neither text in UTF-8 nor a PDF nor an image (PNG, JPEG, GIF, WebP)")
    return text


def text_part(name: str, text: str, chars_max: int) -> JsonObject:
    """A text, at most so much of it, under its name."""
    rest = "" if len(text) <= chars_max else f"\n[The file is longer: these are its first {chars_max} characters.]"
    return {"type": "text", "text": f"[File: {shown(name)}]\n{text[:chars_max]}{rest}"}


def image_part(raw: bytes, detail: str) -> JsonObject:
    """An image as a data URL."""
    url = f"data:{image_type(raw)};base64,{base64.b64encode(raw).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def note(text: str) -> JsonObject:
    """What a model reads in the place of a file that it does not get."""
    return {"type": "text", "text": f"[{text}]"}


def shown(name: str) -> str:
    """A name on one line."""
    return " ".join(name.split())
