"""ffmpeg on this machine: a command of a model, run on the files of its call in an empty folder.

Off until the operator names the program. What it may do is said by `ffmpeg_command.py`; what it may use, by `confined.py`: time, memory,
size of files, no environment, as `nobody` where the server is root.
"""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from mentha.core.json import JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import files
from mentha.tools.integrations.ffmpeg_command import Command, command
from mentha.tools.integrations.service import Service
from mentha.tools.outbound import Slots

LAUNCHER = Path(__file__).with_name("confined.py")
ERRORS_BYTES_MAX = 4_000
_OPENING = ("-nostdin", "-hide_banner", "-loglevel", "error", "-y")

# How many run, and of which tenant, by how many may; there is one number in a process.
_running: dict[int, tuple[Slots, Slots]] = {}


async def bash_cmd(service: Service) -> JsonValue:
    """`fileoutput` in base64, `mime_type`, and `result`, which is true."""
    settings = service.means.settings
    if settings.ffmpeg_bin is None or not os.access(settings.ffmpeg_bin, os.X_OK):
        raise service.failed(
            "`ffmpeg` does not run on this server: the operator can install it and name the program in MENTHA_FFMPEG_BIN,"
            " like /usr/bin/ffmpeg"
        )
    given = [files.decoded(each) for each in files.several(service.arguments.get("file"))]
    wanted = command(service.text("cmd"), len(given))
    count = settings.ffmpeg_at_once_max
    # One is left to the others where there are two or more. A tenant's own come first, so few of each stand in the line of all.
    all_, own = _running.setdefault(count, (Slots(count), Slots(max(1, count - 1))))
    async with own.held(service.tenant), all_.held(""):
        made = await _run(service, wanted, given)
    return {"fileoutput": base64.b64encode(made).decode(), "result": True, "mime_type": wanted.kind}


async def _run(service: Service, wanted: Command, given: list[bytes]) -> bytes:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="mentha-ffmpeg-"))
    try:
        await asyncio.to_thread(_fill, folder, wanted, given)
        await _execute(service, wanted, folder)
        made = await asyncio.to_thread(_made, folder / wanted.output, _output_bytes_max(service))
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
    if made is None:
        raise service.failed(f"ffmpeg made no output, or one of more than {_output_bytes_max(service):,} bytes")
    return made


def _fill(folder: Path, wanted: Command, given: list[bytes]) -> None:
    for name, data in zip(wanted.inputs, given, strict=True):
        (folder / name).write_bytes(data)


def _made(path: Path, bytes_max: int) -> bytes | None:
    # Whoever runs there could have made a link to what only this process may read.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(bytes_max + 1)
        return data if 0 < len(data) <= bytes_max else None
    return None


async def _execute(service: Service, wanted: Command, folder: Path) -> None:
    settings = service.means.settings
    limits = (settings.ffmpeg_memory_bytes_max, int(settings.ffmpeg_timeout_s) + 1, _output_bytes_max(service) + 1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(LAUNCHER), *map(str, limits), str(settings.ffmpeg_bin), *_OPENING, *wanted.arguments),
        cwd=folder,
        env={},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(settings.ffmpeg_timeout_s):
            said = await _errors(process)
            code = await process.wait()
    except TimeoutError:
        raise ToolFailed(f"ffmpeg did not end within {settings.ffmpeg_timeout_s:g} s: ask for less") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())
    if code:
        raise service.failed("ffmpeg failed", said=said.decode("utf-8", "replace").strip(), exit_code=code)


async def _errors(process: asyncio.subprocess.Process) -> bytes:
    """The beginning of what it says is wrong; the rest is read and let go, so that it never waits for a reader."""
    said = b""
    while process.stderr and (piece := await process.stderr.read(65_536)):
        said = (said + piece)[:ERRORS_BYTES_MAX]
    return said


def _output_bytes_max(service: Service) -> int:
    return service.means.outbound.limits.response_bytes_max


METHODS = {"bash_cmd": bash_cmd}
