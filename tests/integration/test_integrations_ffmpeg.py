"""The provider `ffmpeg`: what its commands may say, and how its program is run. The program is a script, and ffmpeg itself where there is one."""

import asyncio
import base64
import shutil
import tempfile
from collections.abc import Iterator
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
async def test_program_that_fails_in_some_way_is_told_of_and_leaves_nothing(program: Path, title: str, told: str) -> None:
    before = set(Path(tempfile.gettempdir()).glob("mentha-ffmpeg-*"))
    given: dict[str, Any] = {"ffmpeg_timeout_s": 0.5} if title == "slow" else {"outbound_response_bytes_max": 1_000_000}
    error = await refusal(f"ffmpeg -i a.mp4 -metadata title={title} b.mp3", FILE, program=program, **given)
    assert told in error.message
    assert not error.retry
    assert set(Path(tempfile.gettempdir()).glob("mentha-ffmpeg-*")) <= before


async def test_call_that_is_cancelled_ends_its_program(program: Path, tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("mentha-ffmpeg-*"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await run("ffmpeg -i a.mp4 -metadata title=slow b.mp3", FILE, program=program)
    assert set(Path(tempfile.gettempdir()).glob("mentha-ffmpeg-*")) <= before


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


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
async def test_film_of_the_real_program_reads_no_other_file() -> None:
    program = Path(str(shutil.which("ffmpeg")))
    hostile = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    error = await refusal("ffmpeg -i a.mp4 b.mp3", base64.b64encode(hostile.encode()).decode(), program=program)
    assert "root:" not in error.message
