"""A process that reads the text out of one PDF and ends: `sandbox/extract.py` starts it, `main` is all of it.

It gets the file on its standard input, after it has given up everything that it does not need (`sandbox/lockdown.py`). On its standard
output goes one JSON object: {"text": …, "is_cut": bool} or {"failed": "encrypted" | "broken" | "memory"}. Time is kept by the server, which
kills it.
"""

import importlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, WrongPasswordError

from mentha.sandbox.lockdown import Memory, close_inherited, limit_cpu, lock_down

# What the libraries import inside functions: nothing can be imported any more when a file is read.
_PRELOADED = (
    *("zlib", "struct", "hashlib", "datetime", "unicodedata", "secrets", "uuid"),
    *("pypdf.filters", "pypdf.generic", "pypdf._encryption", "pypdf._text_extraction", "pypdf._cmap", "pypdf._page", "pypdf._codecs"),
    *(f"encodings.{name}" for name in ("ascii", "cp1252", "latin_1", "mac_roman", "utf_8", "utf_16", "utf_16_be", "utf_16_le", "charmap")),
    *(f"encodings.{name}" for name in ("gbk", "gb18030", "big5", "euc_kr", "shift_jis", "euc_jp", "cp949", "iso2022_jp", "unicode_escape")),
)
# Deeply nested objects end in a RecursionError long before they end the process.
_RECURSION_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Options:
    """What the server tells this process: limits, and its own process id."""

    parent_pid: int
    timeout_s: float
    memory_bytes_max: int
    chars_max: int


def main(raw_options: str) -> None:
    """Read standard input, write the answer, end."""
    options = Options(**json.loads(raw_options))
    close_inherited()
    logging.disable()
    for name in _PRELOADED:
        importlib.import_module(name)
    sys.setrecursionlimit(_RECURSION_MAX)
    outgoing = os.dup(1)
    os.dup2(2, 1)
    memory = Memory()
    lock_down(options.parent_pid, memory_bytes_max=memory.virtual_bytes() + options.memory_bytes_max, keep_fds=max(outgoing, memory.fd) + 1)
    limit_cpu(options.timeout_s)
    try:
        # Without escapes, which take the server ten times as long to read.
        answer = json.dumps(extracted(sys.stdin.buffer.read(), options.chars_max), ensure_ascii=False)
    except MemoryError:
        answer = '{"failed":"memory"}'
    left = memoryview(answer.encode())
    while left:
        left = left[os.write(outgoing, left) :]
    os.close(outgoing)
    # Nothing is to be tidied up, and a broken file may have left much.
    os._exit(0)


def extracted(raw: bytes, chars_max: int) -> dict[str, Any]:
    """The answer for one file. Pages are divided by an empty line."""
    text, length = list[str](), 0
    try:
        for page in _pages(raw):
            text.append(page)
            length += len(page) + 2
            if length > chars_max:
                break
    except MemoryError:
        raise
    except (FileNotDecryptedError, WrongPasswordError):
        return {"failed": "encrypted"}
    except Exception:  # noqa: BLE001 - a broken or hostile file raises anything; what was read of it so far is no less true
        if not text:
            return {"failed": "broken"}
    # Half of a surrogate pair and NUL are what no text of ours can hold.
    joined = "\n\n".join(text).strip().encode("utf-8", "replace").decode().replace("\0", "")
    return {"text": joined[:chars_max], "is_cut": len(joined) > chars_max}


def _pages(raw: bytes) -> Iterator[str]:
    reader = PdfReader(io.BytesIO(raw))
    # Many files are encrypted with an empty password, only to say what may be done with them.
    if reader.is_encrypted and not reader.decrypt(""):
        raise WrongPasswordError
    for page in reader.pages:
        yield (page.extract_text() or "").strip()
