"""The provider `ffmpeg`: what its commands may say, and how its program is run. The program is a script, and ffmpeg itself where there is one."""

import asyncio
import base64
import io
import math
import shutil
import struct
import tempfile
import wave
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config
from mentha.tools import integrations
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import Means
from mentha.tools.integrations.ffmpeg_command import FORMATS, command
from mentha.tools.outbound import Outbound

FILE = base64.b64encode(b"a film").decode()
OPENING = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
INPUT = ["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i"]
# The last argument is the output: where it came to, it says how it was called and with what.
SCRIPT = """#!/bin/sh
for last; do :; done
out="${last#file:}"
case "$*" in
  *fails*) echo "no such stream in $PWD" >&2; exit 3;;
  *slow*) /bin/sleep 600;;
  *large*) head -c 3000000 /dev/zero > "$out"; exit 0;;
  *link*) ln -s /etc/passwd "$out"; exit 0;;
  *nothing*) exit 0;;
esac
{ printf '%s\\n' "$@"; echo "--"; ls; echo "--"; env; ulimit -v; id -u; } > "$out"
"""


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """A program that `nobody` can reach, too."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "ffmpeg"
        path.write_text(SCRIPT)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Path]]]:
    """The folders that calls have left; those of other tests, which may run at the same time, are elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield lambda: list(Path(folder).iterdir())


async def run(cmd: str, *files: str, program: Path | None, **settings: Any) -> Any:
    async def none(*_: Any) -> dict[str, str]:
        return {}

    given = config.load(environ={}, flags={"ffmpeg_bin": program, **settings})
    file: Any = files[0] if len(files) == 1 else list(files)
    return await integrations.run(Means(given, Outbound(given), none), UUID(int=7), {"provider": "ffmpeg"}, {"cmd": cmd, "file": file})


async def refusal(cmd: str, *files: str, **given: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as failed:
        await run(cmd, *files, **given)
    return failed.value


async def test_command_is_run_on_the_given_files_in_an_empty_folder_without_environment(program: Path) -> None:
    made = await run("ffmpeg -y -i my.MP4 -i 'b c.wav' -c:v copy -vf \"scale=1:2\" out.mkv", FILE, FILE, program=program)
    assert (made["result"], made["mime_type"]) == (True, "video/x-matroska")
    arguments, listing, rest = base64.b64decode(made["fileoutput"]).decode().split("\n--\n")
    inputs = [*INPUT, "file:input-0.mp4", *INPUT, "file:input-1.wav"]
    assert arguments.split("\n") == [*OPENING, "-y", *inputs, "-c:v", "copy", "-vf", "scale=1:2", "file:output.mkv"]
    assert listing.split("\n") == ["input-0.mp4", "input-1.wav", "output.mkv"]
    shown, memory_kb, user = rest.strip().rsplit("\n", 2)
    assert [line for line in shown.split("\n") if line and line.partition("=")[0] not in ("PWD", "_", "OLDPWD", "SHLVL")] == []
    assert (int(memory_kb), user == "0") == (1_000_000_000 // 1_024, False)


async def test_program_that_is_not_there_says_what_the_operator_can_do(tmp_path: Path) -> None:
    for program in (None, tmp_path / "nothing"):
        assert "MENTHA_FFMPEG_BIN" in (await refusal("ffmpeg -i a.mp4 b.mp3", FILE, program=program)).message


@pytest.mark.parametrize(
    ("title", "told"),
    [("fails", "no such stream"), ("slow", "did not end"), ("large", "ffmpeg"), ("link", "no output"), ("nothing", "no output")],
)
async def test_program_that_fails_in_some_way_is_told_of_and_leaves_nothing(
    program: Path, folders: Callable[[], list[Path]], title: str, told: str
) -> None:
    given: dict[str, Any] = {"ffmpeg_timeout_s": 0.5} if title == "slow" else {"outbound_response_bytes_max": 1_000_000}
    error = await refusal(f"ffmpeg -i a.mp4 -metadata title={title} b.mp3", FILE, program=program, **given)
    assert told in error.message
    assert not error.retry
    assert folders() == []


async def test_call_that_is_cancelled_ends_its_program(program: Path, folders: Callable[[], list[Path]]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await run("ffmpeg -i a.mp4 -metadata title=slow b.mp3", FILE, program=program)
    assert folders() == []


@pytest.mark.parametrize(
    "cmd",
    [
        "ffmpeg -i a.mp4 b.mp3; rm -rf /",
        "ffmpeg -i a.mp4 b.mp3 && id",
        "ffmpeg -i a.mp4 $(id).mp3",
        "ffmpeg -i a.mp4 b.mp3 | cat",
        "sh -c 'ffmpeg -i a.mp4 b.mp3'",
        "ffmpeg -i /etc/passwd b.mp3",
        "ffmpeg -i http://169.254.169.254/x.mp4 b.mp3",
        "ffmpeg -i concat:a.mp4 b.mp3",
        "ffmpeg -f concat -safe 0 -i a.txt b.mp4",
        "ffmpeg -f lavfi -i a.mp4 b.mp4",
        "ffmpeg -i a.mp4 -f hls b.mp4",
        "ffmpeg -i a.mp4 b.m3u8",
        "ffmpeg -i a.mp4 ../b.mp4",
        "ffmpeg -i a.mp4 /tmp/b.mp4",
        "ffmpeg -i a.mp4 tcp://example.com/b.mp4",
        "ffmpeg -i a.mp4 b.mp4 c.mp4",
        "ffmpeg -i a.mp4 -vf movie=/etc/passwd b.mp4",
        "ffmpeg -i a.mp4 -vf 'scale=1:1,subtitles=/etc/passwd' b.mp4",
        "ffmpeg -i a.mp4 -filter_complex '[0:v]scale=1:1[a];[a]drawtext=textfile=/etc/passwd' b.mp4",
        "ffmpeg -i a.mp4 -vf \"scale='1:1',movie=x\" b.mp4",
        r"ffmpeg -i a.mp4 -vf 'scale=\'\'1,movie=x' b.mp4",
        "ffmpeg -i a.mp4 -vf scale=/w=/etc/passwd b.mp4",
        "ffmpeg -i a.mp4 -af loudnorm=stats_file=x b.mp4",
        "ffmpeg -i a.mp4 -filter_script x b.mp4",
        "ffmpeg -i a.mp4 -/vf x b.mp4",
        "ffmpeg -i a.mp4 -protocol_whitelist http b.mp4",
        "ffmpeg -i a.mp4 -format_whitelist hls b.mp4",
        "ffmpeg -i a.mp4 -passlogfile x b.mp4",
        "ffmpeg -i a.mp4 -x264-params stats=x b.mp4",
        "ffmpeg -i a.mp4 -attach /etc/passwd b.mkv",
        "ffmpeg -i a.mp4 -dump_attachment:t x b.mkv",
        "ffmpeg -i a.mp4 -progress http://example.com b.mkv",
        "ffmpeg -i a.mp4 -report b.mkv",
        "ffmpeg -i a.mp4 -i b.mp4 c.mp4",
        "ffmpeg b.mp4",
        "ffmpeg -i a.mp4 'b.mp4",
        "",
        "ffmpeg -i a.mp4 -vf",
    ],
)
def test_command_that_would_do_more_than_change_its_file_is_refused(cmd: str) -> None:
    with pytest.raises(ToolFailed):
        command(cmd, 1)


@pytest.mark.parametrize(
    "cmd",
    [
        "ffmpeg -i input.mp4 -vn -acodec copy output.aac",
        "ffmpeg -i in.mov -ss 00:00:01 -t 5 -c:v libx264 -crf 23 -preset fast -c:a aac -b:a 128k -movflags +faststart out.mp4",
        'ffmpeg -i in.mp4 -vf "fps=10,scale=320:-1:flags=lanczos,split[a][b];[a]palettegen[p];[b][p]paletteuse" -loop 0 out.gif',
        "ffmpeg -i in.mp4 -vf \"select='eq(n,0)'\" -frames:v 1 out.png",
        r"ffmpeg -i in.mp4 -vf 'select=gt(scene\,0.4),scale=iw/2:ih/2' -vframes 1 out.jpg",
        "ffmpeg -i a.wav -filter:a 'atempo=1.5, volume=0.5' -ar 16000 -ac 1 out.flac",
        "ffmpeg -i a.mp4 -filter_complex '[0:v]hflip[v];[0:a]anull[a]' -map '[v]' -map '[a]' out.webm",
    ],
)
def test_command_as_people_write_it_is_taken(cmd: str) -> None:
    assert command(cmd, 1).inputs


def sound() -> str:
    """A tone of a second, as a WAV file in base64."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"".join(int(9_000 * math.sin(each / 6)).to_bytes(2, "little", signed=True) for each in range(16_000)))
    return base64.b64encode(written.getvalue()).decode()


def picture() -> str:
    """A PNG picture in base64, of 64 by 48 pixels."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    # 8 bits a channel, three channels; each row begins with the kind of its filter, which is none.
    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(range(192))) * 48)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", rows) + piece(b"IEND", b"")).decode()


REAL = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


@REAL
@pytest.mark.parametrize(
    ("cmd", "makers", "kind", "start", "mark"),
    [
        ("ffmpeg -i a.wav -ar 8000 -filter:a 'volume=0.5' b.flac", [sound], "audio/flac", 0, b"fLaC"),
        ("ffmpeg -i a.wav -b:a 64k b.mp3", [sound], "audio/mpeg", 0, b"ID3"),
        ("ffmpeg -i a.png -vf scale=32:-2 b.jpg", [picture], "image/jpeg", 0, b"\xff\xd8"),
        ("ffmpeg -i a.png -i a.wav -c:v libx264 -pix_fmt yuv420p -c:a aac -shortest b.mp4", [picture, sound], "video/mp4", 4, b"ftyp"),
    ],
)
async def test_file_is_changed_by_the_real_program_within_its_limits(
    cmd: str, makers: list[Callable[[], str]], kind: str, start: int, mark: bytes
) -> None:
    made = await run(cmd, *(make() for make in makers), program=Path(str(shutil.which("ffmpeg"))))
    assert made["mime_type"] == kind
    assert base64.b64decode(made["fileoutput"])[start:].startswith(mark)


@REAL
async def test_film_of_the_real_program_reads_no_other_file() -> None:
    program = Path(str(shutil.which("ffmpeg")))
    hostile = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    error = await refusal("ffmpeg -i a.mp4 b.mp3", base64.b64encode(hostile.encode()).decode(), program=program)
    assert "root:" not in error.message
