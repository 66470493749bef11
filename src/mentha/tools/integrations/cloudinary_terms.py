"""Cloudinary's terms: transformations as addresses write them, and signatures of uploads. Pure.

Source: Cloudinary's "Transformation reference" for the letters, "Generating authentication signatures" for the signature (version 2, the
default of Cloudinary's own clients since 2025: an `&` inside of a name or a value is written `%26`, so that none can pass for two).
"""

import hashlib
from collections.abc import Mapping
from urllib.parse import quote

from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.tools.calls import ToolFailed

STEPS_MAX = 50
LETTERS = {
    "angle": "a",
    "aspect_ratio": "ar",
    "audio_codec": "ac",
    "audio_frequency": "af",
    "background": "b",
    "bit_rate": "br",
    "border": "bo",
    "color": "co",
    "color_space": "cs",
    "crop": "c",
    "default_image": "d",
    "delay": "dl",
    "density": "dn",
    "dpr": "dpr",
    "duration": "du",
    "effect": "e",
    "end_offset": "eo",
    "fetch_format": "f",
    "flags": "fl",
    "format": "f",
    "fps": "fps",
    "gravity": "g",
    "height": "h",
    "if": "if",
    "keyframe_interval": "ki",
    "opacity": "o",
    "overlay": "l",
    "page": "pg",
    "prefix": "p",
    "quality": "q",
    "radius": "r",
    "start_offset": "so",
    "streaming_profile": "sp",
    "transformation": "t",
    "underlay": "u",
    "video_codec": "vc",
    "video_sampling": "vs",
    "width": "w",
    "x": "x",
    "y": "y",
    "zoom": "z",
}
# Where a list is not several values of one field, but words with a dot between.
_DOTTED = frozenset({"flags"})
_UNSIGNED = frozenset({"file", "cloud_name", "resource_type", "api_key", "signature"})
_SAFE = ":,._-|!$*()"


def transformation(steps: JsonValue) -> str:
    """The steps as a part of an address: `w_300,c_fill/e_sepia`.

    Raises:
        ToolFailed: they are no list of objects, too many, or have a field that is not known.
    """
    listed = steps if isinstance(steps, list) else [steps]
    if len(listed) > STEPS_MAX or not all(isinstance(each, dict) for each in listed):
        raise ToolFailed(f"the argument `transformation` must be a list of at most {STEPS_MAX} objects")
    return "/".join(written for each in listed if isinstance(each, dict) and (written := _step(each)))


def _step(step: JsonObject) -> str:
    terms: list[str] = []
    for name, value in step.items():
        if name == "raw_transformation":
            continue
        if name not in LETTERS and not name.startswith("$"):
            raise ToolFailed(f"the transformation `{name}` is not known; write it as `raw_transformation`")
        sign = "." if name in _DOTTED else ":"
        words = sign.join(map(_word, value)) if isinstance(value, list) else _word(value)
        terms.append(f"{LETTERS.get(name, name)}_{quote(words, safe=_SAFE)}")
    raw = step.get("raw_transformation")
    # A condition counts for what stands behind it; the order of the others means nothing.
    terms.sort(key=lambda term: not term.startswith("if_"))
    return ",".join([*terms, *([quote(raw, safe=_SAFE + "/")] if isinstance(raw, str) and raw else [])])


def _word(value: JsonValue) -> str:
    return value if isinstance(value, str) else dumps(value).decode()


def fields(params: Mapping[str, JsonValue]) -> dict[str, str]:
    """Parameters of an upload as texts; null and what is empty are left out."""
    found: dict[str, str] = {}
    for name, value in params.items():
        text = _field(name, value)
        if text:
            found[name] = text
    return found


def _field(name: str, value: JsonValue) -> str:
    if name in ("transformation", "eager") and isinstance(value, list | dict):
        steps = value if isinstance(value, list) else [value]
        return transformation(steps) if name == "transformation" else "|".join(transformation([each]) for each in steps)
    if isinstance(value, list):
        return ",".join(map(_word, value))
    if isinstance(value, dict):
        return "|".join(f"{key}={_word(each)}" for key, each in value.items())
    return "" if value is None else _word(value)


def signature(params: Mapping[str, str], secret: str) -> str:
    """The signature of an upload with these parameters."""
    signed = "&".join(sorted(f"{name}={value}".replace("&", "%26") for name, value in params.items() if name not in _UNSIGNED))
    return hashlib.sha1(f"{signed}{secret}".encode()).hexdigest()  # noqa: S324 - the service says which hash
