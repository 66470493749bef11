"""Laws of files: ranges are slices, base64 is taken strictly, names of downloads can't leave their header."""

import base64
import binascii
import re
from urllib.parse import unquote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mentha.core.errors import FileInvalid, RangeNotSatisfiable
from mentha.wire.downloads import disposition, is_known, range_of
from mentha.wire.files import decoded

SPACES = st.sampled_from(["", "\n", "\r\n", " ", "\t"])
NUMBERS = st.integers(0, 50) | st.just(10**18)
FEW = settings(max_examples=150, deadline=None)


@FEW
@given(raw=st.binary(max_size=40), begin=NUMBERS, last=NUMBERS | st.none())
def test_range_from_a_byte_is_the_slice_or_lies_beyond_the_end(raw: bytes, begin: int, last: int | None) -> None:
    header = f"bytes={begin}-{'' if last is None else last}"
    wanted = raw[begin:] if last is None else raw[begin : last + 1]
    if last is not None and last < begin:
        assert range_of(header, len(raw)) is None
        return
    try:
        part = range_of(header, len(raw))
    except RangeNotSatisfiable:
        assert wanted == b""
    else:
        assert part is not None
        assert raw[part[0] : part[1]] == wanted != b""


@FEW
@given(raw=st.binary(min_size=1, max_size=40), count=NUMBERS)
def test_range_of_the_last_bytes_is_the_end_of_the_file(raw: bytes, count: int) -> None:
    try:
        part = range_of(f"bytes=-{count}", len(raw))
    except RangeNotSatisfiable:
        assert count == 0
    else:
        assert part is not None
        assert raw[part[0] : part[1]] == raw[-count:]


@FEW
@given(
    header=st.text(max_size=30) | st.sampled_from(["bytes=", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes=0-x", "bytes=\u0661-\u0662"])
)
def test_range_of_any_text_is_nothing_or_within_the_file(header: str) -> None:
    part = range_of(header, 100)
    assert part is None or 0 <= part[0] < part[1] <= 100


@FEW
@given(raw=st.binary(min_size=1, max_size=200), width=st.integers(1, 76), space=SPACES)
def test_base64_with_any_breaks_gives_the_bytes(raw: bytes, width: int, space: str) -> None:
    coded = base64.b64encode(raw).decode()
    broken = "".join(coded[at : at + width] + space for at in range(0, len(coded), width))
    assert decoded(broken) == raw


@FEW
@given(text=st.text(max_size=30) | st.text("AQgw+/=-_ \n", max_size=12))
@example("QQ==QQ==")
@example("QR==")
@example("0000=")
def test_text_is_decoded_only_where_it_is_base64_and_else_refused_by_name(text: str) -> None:
    packed = re.sub(r"[ \t\r\n]+", "", text)
    try:
        raw = decoded(text)
    except FileInvalid as error:
        told = error.message
    else:
        told = "content: "
        assert raw == binascii.a2b_base64(packed)
        assert len(base64.b64encode(raw)) == len(packed)
    assert told.startswith("content: ")


@FEW
@given(name=st.text(max_size=40))
@example('a"; filename="b')
@example("..\\../x\r\nSet-Cookie: a=b")
def test_name_of_a_download_stays_in_its_header_and_in_its_folder(name: str) -> None:
    header = disposition(name)
    header.encode("ascii")
    found = re.fullmatch(r"""attachment; filename="([A-Za-z0-9 ._()-]+)"(?:; filename\*=UTF-8''([A-Za-z0-9%._~-]+))?""", header)
    assert found
    for each in (found[1], unquote(found[2] or found[1])):
        assert each not in (".", "..")
        assert not set(each) & set("/\\\r\n\0:")


@FEW
@given(tags=st.lists(st.text("abc", max_size=3), max_size=4), etag=st.text("abc", max_size=3))
def test_tag_is_known_where_it_is_in_the_list(tags: list[str], etag: str) -> None:
    assert is_known(", ".join(f'"{tag}"' for tag in tags), f'"{etag}"') == (etag in tags)
