"""Bodies of type `multipart/form-data`. Pure but for the boundary, which is chance. Source: RFC 7578."""

import re
import secrets
from collections.abc import Mapping, Sequence

from mentha.tools.calls import ToolFailed

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
File = tuple[str, bytes, str]


def form(fields: Sequence[tuple[str, str]], files: Mapping[str, File]) -> tuple[bytes, str]:
    """Fields and files as one body, with its type.

    Raises:
        ToolFailed: a name has control characters.
    """
    boundary = secrets.token_hex(16)
    pieces = [_piece(boundary, f'form-data; name="{_name(name)}"', value.encode("utf-8", "replace")) for name, value in fields]
    for name, (filename, data, kind) in files.items():
        if _UNSAFE.search(kind):
            raise ToolFailed(f"the type of the file `{name}` has control characters")
        pieces.append(_piece(boundary, f'form-data; name="{_name(name)}"; filename="{_name(filename)}"', data, kind))
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _piece(boundary: str, disposition: str, data: bytes, kind: str = "") -> bytes:
    typed = f"\r\ncontent-type: {kind}" if kind else ""
    return f"--{boundary}\r\ncontent-disposition: {disposition}{typed}\r\n\r\n".encode() + data + b"\r\n"


def _name(name: str) -> str:
    if _UNSAFE.search(name):
        raise ToolFailed("the name of a field or file has control characters")
    return name.replace("\\", "\\\\").replace('"', '\\"')
