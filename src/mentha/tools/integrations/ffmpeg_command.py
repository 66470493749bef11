"""A command for ffmpeg as a model writes it, read into arguments that can do no more than change the given files. Pure.

There is no shell. Everything is by lists of what is allowed, since ffmpeg reads and writes files in many ways: options, filters, formats
that are lists of other files. Inputs are the given files in their order, whatever the command calls them; there is one output, the last
word.

Source: ffmpeg's documentation of the command line, filters and formats.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from mentha.tools.calls import ToolFailed

COMMAND_CHARS_MAX = 8_000
WORDS_MAX = 200
# Endings of outputs, which choose the format, and what they are. None of these formats writes further files.
KINDS = {
    "aac": "audio/aac",
    "avi": "video/x-msvideo",
    "bmp": "image/bmp",
    "flac": "audio/flac",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "m4a": "audio/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "opus": "audio/opus",
    "png": "image/png",
    "tiff": "image/tiff",
    "ts": "video/mp2t",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
}
# Formats that inputs may have: none of them names other files. Without this list, an input could be a playlist of the machine's files.
FORMATS = (
    "aac,ac3,aiff,amr,asf,avi,flac,flv,gif,matroska,webm,mov,mp4,m4a,mp3,mpeg,mpegts,ogg,wav,w64,caf,au,h264,hevc,m4v,"
    "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif_pipe,jpegls_pipe"
)


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Options with a value. `-filter…`, `-vf`, `-af` and `-f` are looked at apart.
_VALUED = _listed(
    "ab ac ar aspect async b bf bufsize c channel_layout codec compression_level crf disposition fps_mode frame_size frames framerate g"
    " itsoffset level loop map map_channel map_chapters map_metadata maxrate metadata minrate movflags pix_fmt preset profile q qscale"
    " quality r s sample_fmt sc_threshold seek_timestamp ss sseof stream_loop strict sws_flags t tag threads to tune update vb vol vsync"
    " acodec vcodec scodec aframes vframes aq lossless x y ch_layout loglevel v"
)
_FLAGS = frozenset({"y", "n", "an", "vn", "sn", "dn", "shortest", "hide_banner", "nostdin", "copyts", "accurate_seek", "stats", "nostats"})
_FILTERS = frozenset({"vf", "af", "filter", "filter_complex", "lavfi"})
# Filters that look at nothing but what comes in.
_ALLOWED = _listed(
    "acompressor acrossfade adeclick adelay aecho afade aformat afftdn alimiter alphaextract alphamerge aloop amerge amix anull apad"
    " areverse aresample asetpts asetrate aselect asplit astats atempo atrim bandpass bass blackdetect blend boxblur bwdif chromakey"
    " colorbalance colorchannelmixer colorkey colorlevels compand concat crop cropdetect dcshift deband deblock decimate delogo"
    " drawbox drawgrid dynaudnorm edgedetect eq equalizer fade fieldorder format fps framerate gblur hflip highpass hqdn3d hstack hue"
    " interlace join lagfun loop loudnorm lowpass lutrgb lutyuv minterpolate mix negate noise null overlay pad palettegen paletteuse pan"
    " perspective pixelize reverse rotate scale scale2ref select setdar setpts setsar settb shear showspectrumpic showwaves"
    " showwavespic sidechaincompress silencedetect silenceremove smartblur split stereotools stereowiden superequalizer telecine"
    " thumbnail tile tmix tpad transpose treble trim unsharp vflip vibrance vignette volume volumedetect vstack xfade xstack yadif"
    " zoompan"
)
_OPTION = re.compile(r"-([a-z_][a-z0-9_]*)(:[a-z0-9:#-]*)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_0-9][\w .-]{0,200}", re.ASCII)
_LABELS = re.compile(r"^\s*(?:\[[\w:. ]*\]\s*)*")
_FILTER = re.compile(r"([a-z0-9_]+)(?:@[\w]+)?\s*(?:=|\[|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """What is run in a folder that has the files `inputs`: arguments, without the program, and the file that it makes."""

    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str
    kind: str


def command(text: str, files: int) -> Command:
    """Read a command.

    Args:
        files: how many files are given; as many inputs it must have.

    Raises:
        ToolFailed: it has anything that is not of the lists, or another number of inputs.
    """
    words = _words(text)
    arguments: list[str] = []
    inputs: list[str] = []
    *options, last = words
    rest = iter(options)
    for word in rest:
        if word == "-i":
            inputs.append(f"input-{len(inputs)}{_ending(_value(word, rest))}")
            arguments += ["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i", f"file:{inputs[-1]}"]
        else:
            arguments += _option(word, rest)
    if len(inputs) != files:
        raise ToolFailed(f"the command must have an `-i` for each of the {files} given files, and has {len(inputs)}")
    ending = last.rpartition(".")[2].lower()
    if not _NAME.fullmatch(last) or ending not in KINDS:
        raise ToolFailed("the last word of the command must be the name of one output, which ends with one of " + ", ".join(KINDS))
    output = f"output.{ending}"
    return Command((*arguments, f"file:{output}"), tuple(inputs), output, KINDS[ending])


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text) if len(text) <= COMMAND_CHARS_MAX else []
    except ValueError:
        words = []
    if not 3 <= len(words) <= WORDS_MAX or words[0] != "ffmpeg" or any("\x00" in word or "\n" in word for word in words):
        raise ToolFailed("the argument `cmd` must be one command like `ffmpeg -i input.mp4 -vn output.mp3`")
    return words[1:]


def _value(option: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise ToolFailed(f"the option `{option}` has no value")
    return value


def _ending(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ToolFailed("an input must be the name of a given file, without a folder")
    ending = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    return ending[0].lower() if ending else ""


def _option(word: str, rest: Iterator[str]) -> list[str]:
    match = _OPTION.fullmatch(word)
    name = match[1] if match else ""
    if name in _FLAGS:
        return [word]
    if name in _FILTERS:
        return [word, _graph(_value(word, rest))]
    if name == "f":
        return [word, _format(_value(word, rest))]
    if name in _VALUED:
        return [word, _value(word, rest)]
    raise ToolFailed(f"`{word}` is no option that may be used here; there may be one output, which is the last word")


def _format(name: str) -> str:
    if name not in KINDS and name not in ("matroska", "mpegts", "adts", "ipod", "image2"):
        raise ToolFailed("the option `-f` may only name a plain format, like mp4 or wav")
    return name


def _graph(text: str) -> str:
    """A graph of filters, each of which is one of the list."""
    for part in _parts(text):
        match = _FILTER.match(_LABELS.sub("", part, count=1))
        name = match[1] if match else ""
        if name not in _ALLOWED:
            raise ToolFailed(f"the filter `{(name or part)[:40]}` may not be used here")
        # An option whose name begins with a slash takes its value from a file.
        if re.search(r"[=:]\s*/|file\s*=", part):
            raise ToolFailed("a filter may not name a file")
    return text


def _parts(text: str) -> list[str]:
    """The filters of a graph. What is quoted is passed over as ffmpeg does it: until the next quote, and a backslash for one character."""
    parts, start, at, quoted = list[str](), 0, 0, False
    while at < len(text):
        char = text[at]
        if char == "'":
            quoted = not quoted
        elif char == "\\" and not quoted:
            at += 1
        elif char in ",;" and not quoted:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]
